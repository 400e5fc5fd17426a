"""What a training ended with, for a comparison bit by bit, and what it has so far."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from tests.reliability.scene import is_search, list_runs
from tfclassify.recipe.loading import load_recipe
from tfclassify.runs.directory import RunDirectory, is_crossval
from tfclassify.tuning.folder import SearchFolder

#: Keys that say how long something took, which no resuming can repeat.
TIMES = ("seconds", "training_seconds", "images_per_second")
TABLES = ("predictions.csv", "index.csv", "mining.csv")


def read_outcome(place: Path) -> dict[str, Any]:
    """Return all that must be the same however often a training was broken off.

    Args:
        place: A finished run, cross-validation or search.

    Returns:
        By name: the arrays of the saved model as hashes of their bytes, the history and
        the metrics without times, the tables as bytes; of every fold.
    """
    if is_search(place):
        return _read_search(place)
    found: dict[str, Any] = {}
    for run in list_runs(place):
        own = run.path.relative_to(place).as_posix()
        found[f"{own}/weights"] = hash_weights(run.bundle_dir / "model.keras")
        found[f"{own}/history"] = _drop_times(run.read_journal())
        found |= _read_tables(run.path, own)
    if is_crossval(place):
        found |= _read_tables(place, "all")
    return found


def _read_search(place: Path) -> dict[str, Any]:
    """Return every proposal and what came of it, the trials' answers and the best recipe."""
    journal = SearchFolder.open(place).journal()
    found: dict[str, Any] = {"best.yaml": (place / "best.yaml").read_bytes()}
    for number, trial in journal.trials.items():
        assert trial.ended is not None
        found[f"trial {number}"] = (
            trial.asked.values,
            trial.asked.known,
            trial.state,
            trial.ended.score,
            trial.ended.curve,
        )
        answers = place / f"trial-{number:04d}" / "validation.npy"
        found[f"answers of {number}"] = answers.read_bytes() if answers.exists() else None
    return found


def _read_tables(folder: Path, name: str) -> dict[str, Any]:
    content = json.loads((folder / "metrics.json").read_text("utf-8"))
    tables = {table: folder / table for table in TABLES}
    return {
        f"{name}/metrics": _drop_times(content),
        **{f"{name}/{table}": path.read_bytes() for table, path in tables.items() if path.exists()},
    }


def hash_weights(model: Path) -> dict[str, str]:
    """Return the SHA-256 of each array in a ``.keras`` file, by its name there."""
    hashes: dict[str, str] = {}

    def note(name: str, part: object) -> None:
        if isinstance(part, h5py.Dataset):
            hashes[name] = f"{part.shape} {hashlib.sha256(part[()].tobytes()).hexdigest()}"

    with zipfile.ZipFile(model) as archive:
        data = archive.read("model.weights.h5")
    with h5py.File(io.BytesIO(data), "r") as file:
        file.visititems(note)
    assert hashes
    return hashes


def find_differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Name what is not the same in two outcomes."""
    return [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]


def count_epochs(place: Path) -> int:
    """Open everything that a broken training left; return the epochs that it will go on from.

    Of a search, these are the trials that have ended.

    Raises:
        AssertionError: If the journal tells of an epoch that the state does not have, or
            lacks more than the last one that it has.
        TfclassifyError: If a file cannot be read.
    """
    if is_search(place):
        return len(SearchFolder.open(place).journal().order)
    return sum(_count_run(run) for run in list_runs(place))


def _count_run(run: RunDirectory) -> int:
    from tfclassify.training.state import load_last, load_snapshot

    assert RunDirectory.open(run.path) == run
    load_recipe(run.recipe_path)
    told = run.read_journal()
    kept: list[dict[str, Any]] = []
    for path in sorted(run.state_dir.glob("*.npz")):
        load_snapshot(path)
    if (run.state_dir / "last.npz").exists():
        kept = list(load_last(run.state_dir / "last.npz").facts["records"])
    elif run.is_finished:  # what only resuming needs was dropped
        return len(told)
    assert kept[: len(told)] == told, "the journal tells of what the state does not have"
    assert len(kept) - len(told) in (0, 1), "the journal lacks epochs"
    return len(kept)


def _drop_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _drop_times(item) for key, item in value.items() if key not in TIMES}
    return [_drop_times(item) for item in value] if isinstance(value, list) else value
