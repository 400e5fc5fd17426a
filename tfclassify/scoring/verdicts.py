"""The verdict on a model: what it said of a set of labelled images, and how good that is.

Owns: the answers, and their scores with and without views. Does not own: what scores hold
(``judgement``), predicting and storing (``judging``), the page (``pages``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tfclassify.scoring.judgement import Judgement
from tfclassify.scoring.outcome import BoolArray, LabelOutcome, Outcome
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL, Task, get_task

Floats: TypeAlias = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Answers:
    """Labelled images and what a model said of each.

    Attributes:
        classes: The ``C`` class names.
        images: Stable names, ``n`` of them; all else is in their order.
        paths: Where the files are.
        digests: SHA-256 of the files; empty where they were never scanned.
        groups: Group of each image; empty for one on its own.
        targets: ``(n, C)`` float32: one-hot, or multi-hot under multi_label.
        plain: Probabilities of the plain image, ``(n, C)`` float32.
        averaged: Those averaged over the views, or None without any.
        thresholds: multi_label: what each image is labelled by, ``(n, C)``; None under
            multi_class.
        views: Names of the views that are averaged.
    """

    classes: tuple[str, ...]
    images: tuple[str, ...]
    paths: tuple[str, ...]
    digests: tuple[str, ...]
    groups: tuple[str, ...]
    targets: Floats
    plain: Floats
    averaged: Floats | None = None
    thresholds: Floats | None = None
    views: tuple[str, ...] = ("identity",)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def task(self) -> Task:
        """What was asked: one label an image, or any number where there are thresholds."""
        return get_task(MULTI_CLASS if self.thresholds is None else MULTI_LABEL)

    @property
    def probabilities(self) -> Floats:
        """The probabilities that the model answers by: of all views, where there are any."""
        return self.plain if self.averaged is None else self.averaged

    @property
    def units(self) -> list[str] | None:
        """What belongs together, one name an image; None where each stands alone."""
        return list(self.groups) if any(self.groups) else None

    @cached_property
    def outcome(self) -> Outcome | LabelOutcome:
        """The same as metrics take it."""
        return self.task.make_outcome(self.targets, self.probabilities, self.thresholds)

    @property
    def label_names(self) -> list[tuple[str, ...]]:
        """The true labels of each image, in the order of the classes."""
        return name_labels(self.classes, self.targets)

    def is_right(self) -> BoolArray:
        """Say of which images every label is right, ``(n,)``."""
        return np.asarray((self.outcome.is_true == self.outcome.is_predicted).all(axis=1))

    def take(self, rows: NDArray[np.int64]) -> Answers:
        """Return some of the images, in the order of ``rows``."""
        chosen: dict[str, Any] = {
            name: tuple(getattr(self, name)[row] for row in rows) for name in _TEXTS
        }
        for name in _ARRAYS:
            if getattr(self, name) is not None:
                chosen[name] = getattr(self, name)[rows]
        return replace(self, **chosen)

    @classmethod
    def join(cls, parts: Sequence[Answers]) -> Answers:
        """Put the images of several sets, which have the same classes, behind one another."""
        joined: dict[str, Any] = {
            name: tuple(value for part in parts for value in getattr(part, name)) for name in _TEXTS
        }
        for name in _ARRAYS:
            if getattr(parts[0], name) is not None:
                joined[name] = np.concatenate([getattr(part, name) for part in parts])
        return replace(parts[0], **joined)


def name_labels(classes: Sequence[str], marks: NDArray[Any]) -> list[tuple[str, ...]]:
    """Name the labels that are marked in each row, ``(n, C)``, in the order of the classes."""
    return [tuple(classes[number] for number in np.flatnonzero(row).tolist()) for row in marks]


_TEXTS = ("images", "paths", "digests", "groups")
_ARRAYS = ("targets", "plain", "averaged", "thresholds")


@dataclass(frozen=True, eq=False)
class Verdict:
    """How a model did on a set of labelled images, and what it said of each.

    Attributes:
        split: What the images are called: validation, test, out-of-fold, or the name of
            other data.
        answers: The images and the probabilities.
        plain: Scores of one plain view an image.
        tta: Scores of the averaged views, or None.
        caution: What the scores do not say, in sentences; may be empty.
    """

    split: str
    answers: Answers
    plain: Judgement
    tta: Judgement | None = None
    caution: str = ""

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views that are averaged."""
        return self.answers.views

    @property
    def headline(self) -> Judgement:
        """The scores of how the model is meant to be used."""
        return self.tta or self.plain
