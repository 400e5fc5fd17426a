"""``label``: open a session on a source, and say what came of it.

Owns: what the user asked for, finding or making the session, its vocabulary, somebody's
answers to start from, tables of what was answered. Does not own: journals and images
(``labelling``), the page (``web.studio``, which calls this).
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfclassify.data.columns import conclude_source
from tfclassify.data.journals import ADJUDICATOR
from tfclassify.data.readers import read_rows
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.labelling.board import Adviser, Board, Images
from tfclassify.labelling.session import (
    FACTS,
    Facts,
    Session,
    create_session,
    is_session,
    open_session,
    write_facts,
)
from tfclassify.labelling.tables import FORMS, Form, read_answers, write_folders, write_table
from tfclassify.labelling.vocabulary import Vocabulary, make_vocabulary, read_vocabulary
from tfclassify.pages.wording import count_of
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import DataRecipe
from tfclassify.workflows.start import start_tensorflow, verb

#: Folder of the sessions that are named after their source.
SESSIONS = Path("sessions")
_SHOWN = 3  # names of strangers in a remark


@dataclass(frozen=True, kw_only=True)
class LabelRequest:
    """What to label, by whom, and where the page is.

    Attributes:
        source: Folder, archive, table or address of images, a recipe, or a session.
        session: The session's folder; None for ``sessions/<source's name>``.
        labels: The labels; empty for the vocabulary's or the source's own.
        vocabulary: A file with labels, sub-labels and marks.
        several: Whether an image may have several labels.
        labeller: Who labels; None for the user's name.
        overlap: Share of the images that two labellers answer; None for the session's.
        columns: Which column of a table holds what, where the user says it.
        answers: Somebody's table or folders to start from.
        review: Whether to show all labellers' answers and adjudicate.
        run: A run whose model suggests labels and knows look-alikes; None for no model.
        order: In which order images come first, by a name of ``labelling.board.ORDERS`` or of
            the model's orders.
        out: Table or folder to write in place of labelling.
        form: Which kind.
        host: Where the page is served.
        port: Its port; None for the usual one.
        opens_browser: Whether the page is opened in the user's browser.
    """

    source: str
    session: Path | None = None
    labels: tuple[str, ...] = ()
    vocabulary: Path | None = None
    several: bool = False
    labeller: str | None = None
    overlap: float | None = None
    columns: Mapping[str, str | None] = field(default_factory=dict)
    answers: Path | None = None
    review: bool = False
    run: Path | None = None
    order: str = "name"
    out: Path | None = None
    form: Form = "columns"
    host: str = "127.0.0.1"
    port: int | None = None
    opens_browser: bool = True


@dataclass(frozen=True)
class LabelResult:
    """What came of it.

    Attributes:
        session: The session's folder.
        labeller: Who labelled; empty where a table was written.
        images: How many images the source has.
        answered: Images that the labeller has answered; rows or photos where a table or
            folders were written.
        skipped: Images that the labeller has skipped.
        seconds: How long the labeller's answers took, together.
        out: What was written, or None.
    """

    session: Path
    labeller: str
    images: int
    answered: int
    skipped: int = 0
    seconds: float = 0.0
    out: Path | None = None

    @property
    def images_per_hour(self) -> float | None:
        """The labeller's speed; None where nothing was answered."""
        return 3600 * self.answered / self.seconds if self.seconds else None


@dataclass(frozen=True)
class LabelWork:
    """A session that is open for work.

    Attributes:
        board: Its images and answers.
        labeller: Who labels.
        remarks: What the user should know.
    """

    board: Board
    labeller: str
    remarks: tuple[str, ...]

    def conclude(self) -> LabelResult:
        """Say how far the labeller has come."""
        session = self.board.session
        answers = session.read_answers(self.labeller).values()
        skipped = sum(answer.is_skipped for answer in answers)
        return LabelResult(
            session.folder,
            self.labeller,
            len(self.board.images.names),
            len(answers) - skipped,
            skipped,
            sum(answer.seconds for answer in answers),
        )


@verb
def start_labelling(request: LabelRequest, observer: Observer = SILENT) -> LabelWork:
    """Open the session, or make it, and have the labeller sit down.

    Raises:
        RequestError: If something of the request is impossible.
        DataError: If the source or a journal cannot be read.
        RunError: If the labeller is at work in another process.
    """
    session, images = _open(request, observer)
    remarks = [*_follow_source(session, images)]
    labeller = request.labeller or guess_name()
    if labeller == ADJUDICATOR:
        raise RequestError(f"--labeller {labeller}: is who reviews; use --review, or another name")
    if request.review:
        labeller = ADJUDICATOR
    adviser = None if request.run is None else _ask_model(request.run, session, images, observer)
    board = Board(session, images, adviser, is_review=request.review)
    try:
        board.check_order(request.order)
        board.sit_down(labeller)
        if request.answers is not None:
            remarks += _take_answers(board, request.answers, labeller)
    except BaseException:
        board.close()
        raise
    for remark in remarks:
        observer.on_warning(remark)
    return LabelWork(board, labeller, tuple(remarks))


def _ask_model(run: Path, session: Session, images: Images, observer: Observer) -> Adviser:
    """Have a run's model look at the images; what it saw is kept in the session."""
    from tfclassify.export.artefact import find_bundle
    from tfclassify.labelling.suggestions import make_adviser

    start_tensorflow()
    bundle = find_bundle(run)
    return make_adviser(
        bundle, images.paths, images.given, session.vocabulary, session.folder / "model", observer
    )


@verb
def finish_labelling(request: LabelRequest, observer: Observer = SILENT) -> LabelResult:
    """Write the session's answers as a table or as folders.

    Raises:
        RequestError: If there is no such session or form, or what is to be written is there.
        DataError: If the source or a journal cannot be read.
    """
    assert request.out is not None
    if request.form not in FORMS:
        raise RequestError(f"--form {request.form}: must be one of {', '.join(FORMS)}")
    session, images = _open(request, observer)
    if request.form == "folders":
        settled = {
            name: each.labels
            for name, each in session.settle().items()
            if each.outcome != "rejected"
        }
        paths = dict(zip(images.names, images.paths, strict=True))
        count = write_folders(request.out, settled, paths)
    else:
        answers = session.list_answers(has_adjudicated=True)
        count = write_table(request.out, answers, session.vocabulary, request.form)
    return LabelResult(session.folder, "", len(images.names), count, out=request.out)


def guess_name() -> str:
    """Return the user's name as a labeller's, ``me`` where the system knows none."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        name = ""
    return re.sub(r"[^\w.@+-]", "", name).strip(".+-@")[:60] or "me"


def _open(request: LabelRequest, observer: Observer) -> tuple[Session, Images]:
    """Find the session, or make it, and read its images."""
    folder = request.session
    if folder is None:
        own = Path(request.source)
        folder = own if is_session(own) else SESSIONS / _name_source(request.source)
    if is_session(folder):
        session = open_session(folder)
        _check_same(request, session)
        images, _, _ = _read_images(session.facts.data, observer)
        return session, images
    if request.out is not None or request.review:
        raise RequestError(f"{folder}: there is no session yet; label something first")
    data, remarks = _conclude(request, observer)
    for remark in remarks:
        observer.on_note(remark)
    images, classes, is_multi_label = _read_images(data, observer)
    vocabulary = _choose_words(request, classes, is_multi_label)
    facts = Facts(
        data=data,
        vocabulary=vocabulary,
        overlap=request.overlap or 0.0,
        images=len(images.names),
        digest=images.digest,
    )
    return create_session(folder, facts), images


def _name_source(source: str) -> str:
    stem = re.split(r"[/\\]", source.rstrip("/\\"))[-1].split(".")[0]
    return re.sub(r"[^\w-]+", "-", stem).strip("-") or "session"


def _conclude(request: LabelRequest, observer: Observer) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the section ``data`` that reads the source, with its path made absolute."""
    if Path(request.source).suffix in (".yaml", ".yml"):
        recipe = load_recipe(Path(request.source))
        data = recipe.data.model_dump(mode="json", exclude_defaults=True)
        return {**data, "source": _place_source(data["source"])}, ()
    concluded = conclude_source(request.source, request.columns, observer)
    return {**concluded.data, "source": _place_source(request.source)}, concluded.remarks


def _place_source(source: str) -> str:
    """Return a source as it is named from any folder."""
    if "://" in source or source.startswith("builtin:"):
        return source
    return os.path.abspath(Path(source).expanduser())  # noqa: PTH100  # a link stays one


def _read_images(
    data: Mapping[str, Any], observer: Observer
) -> tuple[Images, tuple[str, ...], bool]:
    """Return the images, the classes, and whether an image may have several."""
    found = read_rows(DataRecipe(**data), observer=observer)
    usable = [row for row in found.rows if not row.fault]
    if len(usable) < len(found.rows):
        missing = len(found.rows) - len(usable)
        shown = found.source.shown
        observer.on_warning(f"{shown}: {count_of(missing, 'image')} left out: no such file")
    alone = {label: (label,) if label else () for label in {row.label for row in usable}}
    images = Images(
        tuple(row.image for row in usable),
        tuple(row.path for row in usable),
        tuple(row.labels if found.is_multi_label else alone[row.label] for row in usable),
    )
    return images, found.classes, found.is_multi_label


def _choose_words(
    request: LabelRequest, classes: tuple[str, ...], is_multi_label: bool
) -> Vocabulary:
    if request.vocabulary is not None and request.labels:
        raise RequestError("--labels and --vocabulary: both say the labels; use one of the two")
    if request.vocabulary is not None:
        return read_vocabulary(request.vocabulary)
    names = request.labels or classes
    if not names:
        raise RequestError(
            f"{request.source}: its images have no labels yet, so say which there are: --labels "
            "cat,dog, or --vocabulary FILE for sub-labels, marks and keys"
        )
    where = "--labels" if request.labels else request.source
    return make_vocabulary(names, several=request.several or is_multi_label, where=where)


def _check_same(request: LabelRequest, session: Session) -> None:
    """Refuse what would change a session that has begun."""
    place = session.folder / FACTS
    if not is_session(Path(request.source)):
        is_recipe = Path(request.source).suffix in (".yaml", ".yml")
        source = _conclude(request, SILENT)[0]["source"] if is_recipe else request.source
        if _place_source(source) != session.facts.data.get("source"):
            raise RequestError(
                f"{session.folder}: is a session on {session.facts.data.get('source')}, got "
                f"{request.source}; name another folder with --session"
            )
    words = session.vocabulary
    if (request.labels and request.labels != words.names) or (
        request.vocabulary is not None and read_vocabulary(request.vocabulary) != words
    ):
        raise RequestError(
            f"{session.folder}: has begun with other words ({', '.join(words.names[:10])}); "
            f"change vocabulary in {place}, or name another folder with --session"
        )
    if request.overlap is not None and request.overlap != session.facts.overlap:
        raise RequestError(
            f"{session.folder}: has begun with --overlap {session.facts.overlap:g}, got "
            f"{request.overlap:g}; leave it out"
        )


def _follow_source(session: Session, images: Images) -> list[str]:
    """Say what has changed in the source since the session was last opened."""
    facts, digest = session.facts, images.digest
    remarks = []
    if facts.digest and facts.digest != digest:
        known = set(images.names)
        gone = {each.image for each in session.list_answers(has_adjudicated=True)} - known
        kept = f"; {count_of(len(gone), 'answered image')} no longer there, kept" if gone else ""
        remarks.append(
            f"{facts.data.get('source')}: has changed since this session was last opened, "
            f"{facts.images:,} images then, {len(images.names):,} now{kept}"
        )
    if facts.digest != digest:
        changed = facts.model_copy(update={"images": len(images.names), "digest": digest})
        write_facts(Session(session.folder, changed))
    return remarks


def _take_answers(board: Board, path: Path, labeller: str) -> list[str]:
    """Write somebody's answers into journals; what was answered here already stays."""
    taken = read_answers(path, board.images.names, board.vocabulary, labeller)
    remarks, count, passed = [], 0, 0
    for who, answers in taken.answers.items():
        journal = board.sit_down(who)
        fresh = {name: said for name, said in answers.items() if name not in journal.answers}
        passed += len(answers) - len(fresh)
        count += len(fresh)
        if fresh:
            seconds = sum(answer.seconds for answer in fresh.values())
            journal.answer(fresh, seconds=seconds)
    remarks.append(f"{path}: {count_of(count, 'answer')} taken in")
    if passed:
        remarks.append(f"{path}: {count_of(passed, 'answer')} passed over, answered here already")
    if taken.strangers:
        shown = ", ".join(map(repr, taken.strangers[:_SHOWN]))
        remarks.append(
            f"{path}: {count_of(len(taken.strangers), 'row')} passed over, of no image of this "
            f"source: {shown}"
        )
    return remarks
