"""Runs and cross-validations as things to compare: their scores and their answers.

Owns: choosing the split that all were judged on, reading scores and answers back, which
images two of them share. Does not own: the tests (``scoring.comparison``), the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfclassify.data.index import load_index
from tfclassify.errors import RequestError, RunError, ScoringError, TargetError
from tfclassify.judging.answers import read_answers
from tfclassify.judging.folds import JUDGED, OUT_OF_FOLD, find_units, read_folds
from tfclassify.pages.wording import count_of
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.directory import RunDirectory, is_crossval
from tfclassify.runs.documents import CrossvalMetrics, Judged, RunMetrics, read_document
from tfclassify.scoring.judgement import Judgement
from tfclassify.scoring.verdicts import Answers

#: Splits that runs are compared on, the first that all of them have.
SPLITS = ("test", "validation")
_WAY_OUT = "train the run again"


@dataclass(frozen=True)
class Contender:
    """One model, or one cross-validated recipe, that is compared.

    Attributes:
        name: What it is called.
        path: Its run or cross-validation.
        model: The run whose model is profiled: itself, or the first fold.
        recipe: What it was trained by.
        judged_on: The split.
        judgement: Its scores, as it reported them.
        answers: What it said about each image.
        units: What is resampled together, a name for each answer, or None.
        views: Views of an image that are averaged.
        training_seconds: Time of all epochs, or None.
    """

    name: str
    path: Path
    model: Path
    recipe: Recipe
    judged_on: str
    judgement: Judgement
    answers: Answers
    units: list[str] | None
    views: int
    training_seconds: float | None

    def keys(self) -> list[tuple[str, int]]:
        """Name each answer: the image, and how often it was there before."""
        seen: dict[str, int] = {}
        keys = []
        for name in self.answers.images:
            seen[name] = seen.get(name, 0) + 1
            keys.append((name, seen[name]))
        return keys

    def facts(self) -> dict[tuple[str, int], tuple[str, str]]:
        """Return what must be the same for an image to be the same: its bytes and label."""
        labels = map(JOINING_SIGN.join, self.answers.label_names)
        pairs = zip(self.answers.digests, labels, strict=True)
        return dict(zip(self.keys(), pairs, strict=True))


def read_contenders(paths: Sequence[Path], split: str | None) -> list[Contender]:
    """Read what was measured of every run or cross-validation.

    Args:
        paths: What the user named.
        split: The split to compare on, or None for the best that all have.

    Raises:
        TargetError: If a path is neither a run nor a cross-validation.
        RequestError: If a run has not been judged on the split, or none is common.
        RunError: If what a run left cannot be read.
    """
    places = [_open(path) for path in paths]
    scores = [
        (place, read_document(RunMetrics, place.metrics_path, _WAY_OUT))
        for place in places
        if isinstance(place, RunDirectory)
    ]
    chosen = _choose_split([(run.path, set(found.splits)) for run, found in scores], split)
    by_run = dict(scores)
    return [
        _read_run(place, by_run[place], name, chosen)
        if isinstance(place, RunDirectory)
        else _read_crossval(place, name)
        for place, name in zip(places, _name(places), strict=True)
    ]


def _open(path: Path) -> RunDirectory | CrossvalDirectory:
    place = CrossvalDirectory.open(path) if is_crossval(path) else RunDirectory.open(path)
    if not place.metrics_path.exists() or not place.predictions_path.exists():
        raise TargetError(
            f"{place.path}: has no scores yet, since it has not ended; {place.describe_way_on()}"
        )
    return place


def _choose_split(runs: Sequence[tuple[Path, set[str]]], split: str | None) -> str:
    for path, there in runs:
        if not there or (split is not None and split not in there):
            wanted = f"{split} images" if split else "images"
            raise RequestError(
                f"{path}: was not judged on {wanted} of its own"
                + (f", but on {' and '.join(sorted(there))}" if there else "")
                + "; a run needs held-out images to be compared"
            )
    if split is not None:
        return split
    common = [name for name in SPLITS if all(name in there for _, there in runs)]
    if not common:
        named = ", ".join(f"{path} on {' and '.join(sorted(there))}" for path, there in runs)
        raise RequestError(f"compare: the runs were judged on different splits: {named}")
    return common[0]


def _name(places: Sequence[RunDirectory | CrossvalDirectory]) -> list[str]:
    """Call each by its last two names, or by its whole path where that is not enough."""
    names = ["/".join(place.path.absolute().parts[-2:]) for place in places]
    if len(set(names)) == len(names):
        return names
    paths = [str(place.path) for place in places]
    if len(set(paths)) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise RequestError(f"compare: {twice} is named twice; name each run once")
    return paths


def _read_run(run: RunDirectory, scores: RunMetrics, name: str, split: str) -> Contender:
    judged = scores.splits[split]
    answers = read_answers(run.answers_path, load_index(run.index_path), split)
    return Contender(
        name,
        run.path,
        run.path,
        load_recipe(run.recipe_path),
        split,
        read_stored(run.metrics_path, judged.headline),
        answers,
        answers.units,
        len(judged.views),
        scores.training_seconds,
    )


def _read_crossval(place: CrossvalDirectory, name: str) -> Contender:
    scores = read_document(CrossvalMetrics, place.metrics_path, place.describe_way_on())
    first = place.fold(1, 1)
    judged = read_document(RunMetrics, first.metrics_path, _WAY_OUT).splits
    answers = read_folds(place).all
    return Contender(
        name,
        place.path,
        first.path,
        load_recipe(place.recipe_path),
        OUT_OF_FOLD,
        read_stored(place.metrics_path, scores.out_of_fold),
        answers,
        find_units(answers, place.plan.repeats),
        len(judged[JUDGED].views) if JUDGED in judged else 1,
        sum(fold.training_seconds for fold in scores.each_fold),
    )


def read_stored(path: Path, judged: Judged) -> Judgement:
    """Rebuild a judgement from a file of scores.

    Raises:
        RunError: If something in it is missing or makes no sense.
    """
    try:
        return Judgement.from_dict(judged.model_dump())
    except ScoringError as error:
        raise RunError(f"{path}: {error}") from error


def describe_differences(first: Contender, second: Contender) -> str:
    """Say in which images two contenders differ; empty where they have the same ones."""
    one, other = first.facts(), second.facts()
    only_one, only_other = one.keys() - other.keys(), other.keys() - one.keys()
    changed = [key for key in one.keys() & other.keys() if not _is_same(one[key], other[key])]
    parts = []
    for number, what in (
        (len(only_one), f"that only {first.name} was judged on"),
        (len(only_other), f"that only {second.name} was judged on"),
        (len(changed), "with another label or other bytes"),
    ):
        if number:
            parts.append(f"{count_of(number, 'image')} {what}")
    return ", ".join(parts)


def _is_same(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Compare (sha256, label); images that were never scanned have no sha256."""
    is_same_file = one[0] == other[0] or not (one[0] and other[0])
    return is_same_file and one[1] == other[1]


def find_common(first: Contender, second: Contender) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of the images that two contenders share, ``(m,)`` each, in step."""
    one, other = first.facts(), second.facts()
    place_of = {key: row for row, key in enumerate(second.keys())}
    pairs = [
        (row, place_of[key])
        for row, key in enumerate(first.keys())
        if key in place_of and _is_same(one[key], other[key])
    ]
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]
