"""What runs and cross-validations said about their held-out images, as they left it.

Owns: reading predictions back with the images that they belong to. Does not own: making
them (``judging``), scoring (``scoring``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tfclassify.data.index import Index
from tfclassify.errors import RunError
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.multi_label_outcome import LabelOutcome
from tfclassify.scoring.outcome import Outcome
from tfclassify.scoring.thresholds import fit_thresholds
from tfclassify.scoring.verdicts import AnyJudgement, judge_task

_PREFIX = "probability:"
_TEXTS = ("split", "file", "true_label", "true_labels", "label", "labels")


@dataclass(frozen=True)
class StoredAnswers:
    """Held-out images and what was said about them.

    Attributes:
        index: The images.
        probabilities: ``(n, classes)`` float64, in the index's order.
        is_given: Which labels were given, bool ``(n, classes)``: the most probable class,
            or each that reached its threshold.
    """

    index: Index
    probabilities: np.ndarray
    is_given: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: np.ndarray) -> StoredAnswers:
        """Return some of the images, in the order of ``rows``."""
        frame = self.index.frame.iloc[rows]
        return StoredAnswers(
            self.index.with_frame(frame), self.probabilities[rows], self.is_given[rows]
        )

    def to_outcome(self) -> Outcome | LabelOutcome:
        """Return them as metrics take them, with the labels that were given."""
        if not self.index.is_multi_label:
            return Outcome(self.index.class_ids(), self.probabilities)
        return LabelOutcome(self.index.targets(), self.probabilities, self.find_thresholds())

    def find_thresholds(self) -> np.ndarray:
        """Return thresholds, ``(n, classes)``, that give just the labels that were given."""
        return np.where(self.is_given, 0.0, 1.0)

    def is_right(self) -> np.ndarray:
        """Say of which images every label is right, bool ``(n,)``."""
        return np.asarray((self.index.mark_labels() == self.is_given).all(axis=1))


def join_answers(parts: Sequence[StoredAnswers]) -> StoredAnswers:
    """Put the images of several sets, which have the same classes, behind one another."""
    index = parts[0].index
    frame = pd.concat([part.index.frame for part in parts])
    return StoredAnswers(
        index.with_frame(frame),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.is_given for part in parts]),
    )


def judge_answers(
    answers: StoredAnswers, recipe: Recipe, groups: Sequence[object] | None
) -> AnyJudgement:
    """Score answers by the labels that were given.

    Args:
        answers: Labelled images and what was said about them.
        recipe: For the task, the seed and the kind of thresholds.
        groups: Group of each image, where images of one are not independent.
    """
    index, targets = answers.index, answers.index.targets()
    thresholds = None
    if index.is_multi_label:
        fitted = fit_thresholds(
            targets, answers.probabilities, recipe.thresholds, seed=recipe.seed, groups=groups
        )
        thresholds = fitted.stored
    return judge_task(
        recipe.task,
        targets,
        answers.probabilities,
        index.classes,
        seed=recipe.seed,
        groups=groups,
        thresholds=thresholds,
        crossed=answers.find_thresholds() if index.is_multi_label else None,
    )


def read_answers(path: Path, index: Index, split: str) -> StoredAnswers:
    """Read the predictions of one split.

    Args:
        path: ``predictions.csv`` of a run.
        index: The run's index.
        split: validation or test.

    Raises:
        RunError: If the table cannot be read, or is not of these images and classes.
    """
    images = index.in_split(split)
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False)
        table = table[table["split"] == split]
        probabilities = table[[_PREFIX + name for name in index.classes]].to_numpy(np.float64)
        files, given = table["file"].tolist(), table[_find_column(table)].tolist()
    except (OSError, ValueError, KeyError) as error:
        raise RunError(
            f"{path}: the predictions cannot be read ({error}); train or evaluate the run again"
        ) from error
    names = images.frame["image"].tolist()
    if not _are_same(files, names):
        raise RunError(
            f"{path}: holds {len(files)} {split} images that are not the {len(names)} of the run's "
            "index; finish the training with `tfclassify train --resume`"
        )
    is_given = _read_given(images, probabilities, given)
    return StoredAnswers(images, probabilities, is_given)


def _find_column(table: pd.DataFrame) -> str:
    return "labels" if "labels" in table else "label"


def _are_same(files: list[str], names: list[str]) -> bool:
    """Compare names; a file name that a spreadsheet would run has an apostrophe before it."""
    return len(files) == len(names) and all(
        file in (name, f"'{name}") for file, name in zip(files, names, strict=True)
    )


def _read_given(index: Index, probabilities: np.ndarray, given: list[str]) -> np.ndarray:
    if not index.is_multi_label:
        return np.asarray(
            probabilities.argmax(axis=1)[:, None] == np.arange(len(index.classes))[None, :]
        )
    positions = {name: number for number, name in enumerate(index.classes)}
    marks = np.zeros(probabilities.shape, dtype=bool)
    for row, text in enumerate(given):
        for name in text.split(JOINING_SIGN) if text else ():
            plain = name if name in positions else name.removeprefix("'")
            marks[row, positions[plain]] = True
    return marks
