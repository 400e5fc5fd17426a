"""``runs``: what runs there are, how they fared, what they cost; and clearing them up.

Owns: finding runs below a folder, their rows, dropping what only resuming needs.
Does not own: what the files of a run hold (``runs.documents``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tfclassify.errors import RunError, TargetError
from tfclassify.events import SILENT, Observer
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.directory import RunDirectory, is_crossval, is_run, list_folders
from tfclassify.runs.documents import CrossvalMetrics, Headline, RunMetrics, read_document
from tfclassify.workflows.start import verb

SortKey = Literal["date", "name", "score", "time", "size"]


@dataclass(frozen=True)
class RunsRequest:
    """Which runs to look at.

    Attributes:
        where: A folder of runs, of folders of runs, or one run or cross-validation.
        sort: What rows are sorted by: the newest, best, longest, largest first; by name.
        clean: Whether finished runs drop what only resuming needs.
        dry_run: With ``clean``: only say what would be dropped.
    """

    where: Path = Path("reports")
    sort: SortKey = "date"
    clean: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class RunRow:
    """One run or cross-validation.

    Attributes:
        path: Its folder.
        kind: ``run``, ``ensemble`` or ``crossval``.
        status: ``finished``, ``unfinished``, or what is wrong with its files.
        date: When it was begun, UTC.
        score: What stands on top of its report; None without any.
        epochs: Finished epochs, of all folds together.
        training_seconds: Of all epochs; None where it is not known.
        size_bytes: Of all its files.
        state_bytes: Of these, what only resuming needs.
    """

    path: Path
    kind: Literal["run", "ensemble", "crossval"]
    status: str
    date: datetime
    score: Headline | None
    epochs: int
    training_seconds: float | None
    size_bytes: int
    state_bytes: int


@dataclass(frozen=True)
class RunsResult:
    """What there is.

    Attributes:
        rows: Run by run, sorted.
        freed_bytes: What ``clean`` dropped, or would drop.
        shown: The one run that was named, or None where a folder of them was.
    """

    rows: tuple[RunRow, ...]
    freed_bytes: int
    shown: RunMetrics | None


@verb
def list_runs(request: RunsRequest, observer: Observer = SILENT) -> RunsResult:
    """List runs, sort them, and clear them up if asked to.

    Raises:
        TargetError: If there is no such folder.
        RunError: If a run that is to be cleaned is worked in.
    """
    if not request.where.is_dir():
        raise TargetError(f"{request.where}: no such folder; `tfclassify train` makes runs")
    places = list(_find_places(request.where))
    freed = 0
    if request.clean:
        finished = [run for place in places for run in _list_safely(place) if run.is_finished]
        for run in finished:
            with run.lock():
                freed += run.drop_state(is_tried_only=request.dry_run)
    rows = sorted((_read_row(place) for place in places), key=_KEYS[request.sort])
    shown = None
    if len(rows) == 1 and is_run(request.where) and rows[0].score is not None:
        shown = read_document(RunMetrics, RunDirectory(request.where).metrics_path, "train anew")
    return RunsResult(tuple(rows), freed, shown)


_KEYS: dict[SortKey, Callable[[RunRow], tuple[object, ...]]] = {
    "date": lambda row: (-row.date.timestamp(), str(row.path)),
    "name": lambda row: (str(row.path),),
    "score": lambda row: (-((row.score and row.score.value) or -1.0), str(row.path)),
    "time": lambda row: (-(row.training_seconds or 0.0), str(row.path)),
    "size": lambda row: (-row.size_bytes, str(row.path)),
}


def _find_places(where: Path, depth: int = 2) -> Iterator[Path]:
    """Yield runs and cross-validations in a folder and the folders in it, without folds."""
    if is_run(where) or is_crossval(where):
        yield where
    elif depth:
        for folder in list_folders(where):
            if not folder.name.startswith("."):
                yield from _find_places(folder, depth - 1)


def _list_inside(place: Path) -> list[RunDirectory]:
    """Return the run that a folder is, or the folds of a cross-validation."""
    if not is_crossval(place):
        return [RunDirectory.open(place)]
    opened = CrossvalDirectory.open(place)
    folds = [opened.fold(*each) for each in opened.plan.places()]
    return [fold for fold in folds if is_run(fold.path)]


def _list_safely(place: Path) -> list[RunDirectory]:
    """Return the same, and nothing of what is damaged: its row says so."""
    try:
        return _list_inside(place)
    except (RunError, TargetError):
        return []


def _read_row(place: Path) -> RunRow:
    """Read one row; what is damaged is said in it, and hides no other run."""
    own = RunDirectory(place)
    kind: Literal["run", "ensemble", "crossval"] = "run"
    if is_crossval(place):
        kind = "crossval"
    elif own.ensemble_path.exists():
        kind = "ensemble"
    score, seconds, epochs, state = None, None, 0, 0
    status = "finished" if own.report_path.exists() else "unfinished"
    try:
        runs = _list_inside(place)
        epochs = sum(run.count_epochs() for run in runs)
        state = sum(run.drop_state(is_tried_only=True) for run in runs)
        if own.metrics_path.exists():
            score, seconds = _read_score(own.metrics_path, kind)
    except (RunError, TargetError) as error:
        status = f"damaged: {error}"
    date = datetime.fromtimestamp(place.stat().st_ctime, UTC)
    for marker in (own.recipe_path, place / "crossval.yaml"):
        if marker.is_file():
            date = datetime.fromtimestamp(marker.stat().st_mtime, UTC)
    return RunRow(place, kind, status, date, score, epochs, seconds, _measure(place), state)


def _read_score(path: Path, kind: str) -> tuple[Headline | None, float | None]:
    if kind == "crossval":
        found = read_document(CrossvalMetrics, path, "cross-validate anew")
        return found.headline, sum(fold.training_seconds for fold in found.each_fold)
    scores = read_document(RunMetrics, path, "train anew")
    return scores.headline, scores.training_seconds


def _measure(folder: Path) -> int:
    """Return the bytes of all files in a folder; links are not followed."""
    size = 0
    for above, _, names in os.walk(folder):
        for name in names:
            size += (Path(above) / name).lstat().st_size
    return size
