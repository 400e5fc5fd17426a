"""``agree``: how well the labellers of a session agree, and what their answers come to."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tfclassify.data.consensus import OUTCOMES, Consensus, describe, write_tables
from tfclassify.data.journals import Answer
from tfclassify.data.readers import read_source
from tfclassify.errors import DataError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_text
from tfclassify.labelling.agree_page import AgreeReport, describe_agreement, render_agree_page
from tfclassify.labelling.agreement import Agreement, measure_agreement
from tfclassify.labelling.ratings import Distance, make_ratings
from tfclassify.labelling.session import Session, open_session
from tfclassify.pages.pictures import Photo, read_thumbnail
from tfclassify.pages.rendering import Command, format_now
from tfclassify.recipe.schema import DataRecipe
from tfclassify.workflows.start import verb

#: Pictures of disputed images on the page.
SHOWN = 24


@dataclass(frozen=True)
class AgreeRequest:
    """Whose answers to compare.

    Attributes:
        session: The session's folder.
        distance: How far two answers are apart; None: MASI where an image may have several
            labels, else the same or not.
        out: Folder to write into; None for ``agreement`` in the session.
        seed: Of the resampled images.
    """

    session: Path
    distance: Distance | None = None
    out: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class AgreeResult:
    """What was found.

    Attributes:
        report: Everything.
        page: The page.
        tables: ``majority.csv``, ``adjudicated.csv`` and ``rejected.csv``, by outcome.
    """

    report: AgreeReport
    page: Path
    tables: dict[str, Path]

    @property
    def agreement(self) -> Agreement:
        """The coefficients on the labels."""
        return self.report.agreement

    def describe(self) -> str:
        """Write it for a terminal."""
        return describe_agreement(self.report)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        fine = self.report.fine
        return {
            "session": self.report.session,
            "labels": self.agreement.to_dict(),
            "with_sublabels": None if fine is None else fine.to_dict(),
            "outcomes": self.report.outcomes,
            "disputed": self.report.disputed,
            "page": str(self.page),
            "tables": {name: str(path) for name, path in self.tables.items()},
        }


@verb
def agree_session(request: AgreeRequest, observer: Observer = SILENT) -> AgreeResult:
    """Measure agreement, settle the answers, and write page and tables.

    Raises:
        TargetError: If there is no such session.
        RequestError: If fewer than two labelled any image.
        DataError: If a journal is damaged.
    """
    session = open_session(request.session)
    answers, settled = session.list_answers(), session.settle()
    agreement = _measure(request, session, answers, with_sublabels=False)
    has_finer = any(answer.sublabel for answer in answers)
    fine = _measure(request, session, answers, with_sublabels=True) if has_finer else None
    folder = request.out or request.session / "agreement"
    folder.mkdir(parents=True, exist_ok=True)
    tables = write_tables(folder, settled.values())
    counted = Counter(each.outcome for each in settled.values())
    disputed = [each for each in settled.values() if each.is_disputed]
    report = AgreeReport(
        created=format_now(),
        session=str(request.session),
        agreement=agreement,
        fine=fine,
        outcomes={outcome: counted[outcome] for outcome in OUTCOMES},
        disputed=len(disputed),
        photos=_take_photos(session, disputed[:SHOWN], observer),
        commands=_list_commands(request),
    )
    page = folder / "agree.html"
    write_text(page, render_agree_page(report))
    return AgreeResult(report, page, {str(name): path for name, path in tables.items()})


def _measure(
    request: AgreeRequest, session: Session, answers: list[Answer], *, with_sublabels: bool
) -> Agreement:
    words = session.vocabulary
    distance = request.distance or ("masi" if words.is_multi_label else "nominal")
    ratings = make_ratings(answers, words.names, distance=distance, with_sublabels=with_sublabels)
    return measure_agreement(ratings, seed=request.seed)


def _take_photos(
    session: Session, disputed: list[Consensus], observer: Observer
) -> tuple[Photo, ...]:
    """Show images with what each labeller said; without a picture where there is none any more."""
    if not disputed:
        return ()
    try:
        frame = read_source(DataRecipe.model_validate(session.facts.data)).index.frame
    except DataError as error:
        observer.on_warning(f"the page shows no pictures: {error}")
        return ()
    places = dict(zip(frame["image"], frame["path"], strict=True))
    return tuple(_take_photo(each, places.get(each.image)) for each in disputed)


def _take_photo(each: Consensus, path: str | None) -> Photo:
    lines = tuple(f"{name}: {describe(answer)}" for name, answer in each.answers.items())
    return Photo(each.image, read_thumbnail(path), (), lines)


def _list_commands(request: AgreeRequest) -> tuple[Command, ...]:
    session = shlex.quote(str(request.session))
    repeat = f"tfclassify agree {session}"
    repeat += f" --distance {request.distance}" if request.distance else ""
    repeat += f" --out {shlex.quote(str(request.out))}" if request.out else ""
    return (
        Command("Decide on the images in dispute", f"tfclassify label {session} --review"),
        Command("Measure again", repeat),
    )
