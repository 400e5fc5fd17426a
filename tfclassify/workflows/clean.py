"""``clean``: which labels and photos of a run's or a cross-validation's data look wrong.

Owns: what is judged by which model, the order of the searches, what is written. Does not own:
the searches (``labelling.issues``), the decisions (``data.corrections``).
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfclassify.data.corrections import (
    Action,
    count_actions,
    read_corrections,
    write_corrections,
)
from tfclassify.data.index import Index, load_index
from tfclassify.data.scan import scan
from tfclassify.errors import ModelError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.files import write_text
from tfclassify.judging.answers import read_answers
from tfclassify.judging.folds import read_folds
from tfclassify.labelling.board import Board
from tfclassify.labelling.clean_page import (
    SHOWN_PHOTOS,
    CleanReport,
    describe_suspects,
    render_clean_page,
    write_queue,
)
from tfclassify.labelling.confident import RankBy
from tfclassify.labelling.features import read_features
from tfclassify.labelling.issues import (
    Issue,
    Suspect,
    find_conflicting,
    find_contradicted,
    find_hardest,
    find_outliers,
    find_poor_photos,
    rank_suspects,
)
from tfclassify.labelling.quality import measure_photos
from tfclassify.labelling.review import list_corrections, open_review
from tfclassify.labelling.session import is_session, open_session
from tfclassify.pages.pictures import Photo, read_thumbnail
from tfclassify.pages.rendering import Command, format_now
from tfclassify.pages.wording import count_of
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.directory import RunDirectory, is_crossval
from tfclassify.scoring.verdicts import Answers
from tfclassify.workflows.start import start_tensorflow, verb

#: Splits of a run whose images it was not trained on.
_HELD_OUT = ("validation", "test")


@dataclass(frozen=True)
class CleanRequest:
    """What to look through.

    Attributes:
        target: A run or a cross-validation.
        rank: What contradicted labels are ranked by.
        has_features: Whether the network looks at all images again, for outliers.
        has_photos: Whether photos are measured: dark, blurred, empty.
        out: Folder to write into; None for ``clean`` in the target.
    """

    target: Path
    rank: RankBy = "self_confidence"
    has_features: bool = True
    has_photos: bool = True
    out: Path | None = None


@dataclass(frozen=True)
class CleanResult:
    """What was found.

    Attributes:
        report: Everything.
        page: The page.
        queue: ``issues.csv``: the suspects, to be filled in as corrections.
        answers: The images and what the model said.
        data: The section ``data`` of their recipe.
    """

    report: CleanReport
    page: Path
    queue: Path
    answers: Answers
    data: Mapping[str, Any]

    @property
    def session(self) -> Path:
        """The session of a review; it need not be there."""
        return self.queue.with_name("session")

    @property
    def corrections(self) -> Path:
        """``corrections.csv``: what a review decided; it need not be there."""
        return self.queue.with_name("corrections.csv")

    @property
    def suspects(self) -> tuple[Suspect, ...]:
        """The images to look at, in order."""
        return self.report.suspects

    def describe(self) -> str:
        """Write it for a terminal."""
        files = [self.page, self.queue, *([self.corrections] if self.corrections.exists() else [])]
        return "\n".join([f"{describe_suspects(self.report)}\n", *map(str, files)])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        corrections = str(self.corrections) if self.corrections.exists() else None
        paths = {"page": str(self.page), "queue": str(self.queue), "corrections": corrections}
        return {**self.report.to_dict(), **paths}


@dataclass(frozen=True, eq=False)
class _Material:
    """Images that a model judged without having trained on them."""

    answers: Answers
    index: Index
    recipe: Recipe
    bundle: Path
    judged: str
    remarks: tuple[str, ...]


@verb
def clean_target(request: CleanRequest, observer: Observer = SILENT) -> CleanResult:
    """Find labels and photos that should be looked at.

    Raises:
        TargetError: If there is no such run or cross-validation.
        RequestError: If a run held no images out.
        RunError: If it is not finished.
    """
    material = _open(request.target)
    for remark in material.remarks:
        observer.on_note(remark)
    folder = request.out or request.target / "clean"
    folder.mkdir(parents=True, exist_ok=True)
    suspects = rank_suspects(material.answers, _find_issues(request, material, folder, observer))
    kept = _read_kept(material.recipe)
    left = tuple(each for each in suspects if each.image not in kept)
    report = CleanReport(
        created=format_now(),
        target=str(request.target),
        images=len(material.answers),
        judged=material.judged,
        suspects=left,
        kept=len(suspects) - len(left),
        remarks=material.remarks,
        photos=_take_photos(left),
        commands=_list_commands(request, folder),
    )
    page, queue = folder / "clean.html", folder / "issues.csv"
    write_queue(queue, left)
    write_text(page, render_clean_page(report))
    data = material.recipe.data.model_dump(mode="json", exclude_defaults=True)
    result = CleanResult(report, page, queue, material.answers, data)
    conclude_review(result)
    return result


def start_review(result: CleanResult) -> Board:
    """Open the suspects for somebody to keep, relabel or drop.

    Raises:
        RequestError: If there are none.
    """
    return open_review(result.session, result.suspects, result.answers, result.data)


def conclude_review(result: CleanResult) -> dict[Action, int]:
    """Write ``corrections.csv`` of what was decided so far, where there was a review.

    Returns:
        How many of each kind; nothing where there was no review.
    """
    if not is_session(result.session):
        return {}
    answers = result.answers
    given = dict(zip(answers.images, answers.label_names, strict=True))
    reasons = {each.image: each.reason for each in result.suspects}
    found = list_corrections(open_session(result.session), given, reasons)
    write_corrections(result.corrections, found)
    return count_actions(found)


def _open(target: Path) -> _Material:
    if is_crossval(target):
        place = CrossvalDirectory.open(target)
        return _Material(
            read_folds(place).first,
            load_index(place.index_path),
            load_recipe(place.recipe_path),
            place.fold(1, 1).bundle_dir,
            f"Each image was judged by that of {place.plan.folds} models that trained on none of "
            "its group.",
            (),
        )
    run = RunDirectory.open(target, needs_bundle=True)
    index, recipe = load_index(run.index_path), load_recipe(run.recipe_path)
    splits = [split for split in _HELD_OUT if len(index.in_split(split))]
    if not splits:
        raise RequestError(
            f"{target}: held no image out, and what a model says of images that it trained on "
            f"flatters their labels; judge each by a model that did not see it: {_crossval(run)}"
        )
    answers = Answers.join([read_answers(run.answers_path, index, split) for split in splits])
    trained = len(index.in_split("train"))
    remarks = (
        f"{count_of(trained, 'training image')} were not looked at: what a model says of images "
        f"that it trained on flatters their labels. To look at all of them: {_crossval(run)}, then "
        "clean that.",
    )
    judged = f"The run’s model judged its {' and '.join(splits)} images."
    return _Material(answers, index, recipe, run.bundle_dir, judged, remarks)


def _crossval(run: RunDirectory) -> str:
    return f"`{shlex.join(['tfclassify', 'crossval', str(run.recipe_path)])}`"


def _find_issues(
    request: CleanRequest, material: _Material, folder: Path, observer: Observer
) -> list[Issue]:
    answers = material.answers
    issues = [*find_contradicted(answers, request.rank), *find_hardest(answers)]
    frame = material.index.frame.set_index("image", drop=False).loc[list(answers.images)]
    seen = scan(
        material.index.with_frame(frame.assign(status="ok")),
        max_pixels=material.recipe.data.max_pixels,
        observer=observer,
    )
    issues += find_conflicting(answers, seen.thumbnails)
    if request.has_photos:
        issues += find_poor_photos(measure_photos(answers.paths, observer))
    if request.has_features:
        issues += _find_unlike(material, folder, observer)
    return issues


def _find_unlike(material: _Material, folder: Path, observer: Observer) -> list[Issue]:
    start_tensorflow()
    try:
        seen = read_features(material.bundle, material.answers.paths, folder, observer)
    except ModelError as error:
        observer.on_warning(f"no outliers are looked for: {error}")
        return []
    return find_outliers(seen.values, seen.is_there)


def _read_kept(recipe: Recipe) -> set[str]:
    """Return the images that somebody has looked at and kept, by the recipe's corrections."""
    path = recipe.data.corrections
    if path is None or not Path(path).exists():
        return set()
    return {each.file for each in read_corrections(Path(path)) if each.action == "keep"}


def _take_photos(suspects: Sequence[Suspect]) -> dict[str, tuple[Photo, ...]]:
    """Show the first suspects of each kind; without a picture where there is none any more."""
    photos: dict[str, list[Photo]] = {}
    counted: Counter[str] = Counter()
    for each in suspects:
        counted[each.kind] += 1
        if counted[each.kind] <= SHOWN_PHOTOS:
            photos.setdefault(each.kind, []).append(_take_photo(each))
    return {kind: tuple(found) for kind, found in photos.items()}


def _take_photo(each: Suspect) -> Photo:
    titles = (each.given or "no label", *([f"→ {each.suggestion}"] if each.suggestion else []))
    return Photo(each.image, read_thumbnail(each.path), titles, (each.reason,))


def _list_commands(request: CleanRequest, folder: Path) -> tuple[Command, ...]:
    target = shlex.quote(str(request.target))
    repeat = f"tfclassify clean {target}"
    repeat += f" --rank {request.rank}" if request.rank != "self_confidence" else ""
    repeat += "" if request.has_features else " --no-features"
    repeat += "" if request.has_photos else " --no-photos"
    repeat += f" --out {shlex.quote(str(request.out))}" if request.out else ""
    queue = f"data:\n  corrections: {folder / 'issues.csv'}"
    return (
        Command("Look at them one by one: keep, relabel, drop", f"{repeat} --review"),
        Command("Or fill in the column action (keep, relabel, drop), then in the recipe", queue),
        Command("Look again", repeat),
    )
