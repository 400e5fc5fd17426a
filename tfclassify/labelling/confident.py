"""Confident learning: which labels a model that did not train on the image contradicts.

Owns: thresholds of the classes, the counts of given against confident labels, scores to rank
by; for one label an image and for sets of them. Does not own: where the probabilities come
from (``judging``), other reasons to doubt an image (``issues``).

An image is counted as confidently of class j where the model gives j at least what it gives
j on the images labelled j, on average. A class that the model is rarely sure of thereby has
a low threshold, and one that it favours a high one. An image labelled i and confidently j
is one of the off-diagonal counts: a suspect.

Reference:
    Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset
    Labels, JAIR 70.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import ScoringError

Floats = NDArray[np.floating[Any]]
RankBy = Literal["self_confidence", "margin"]
#: Probabilities that close to a threshold reach it: means of equal numbers are not exact.
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """What confident learning says of ``n`` images with one label each.

    Attributes:
        given: Class ids, ``(n,)``.
        thresholds: What an image must have to be confidently of a class, ``(C,)``; infinite
            for a class without images.
        confident: Class that each image is confidently of, ``(n,)``; -1 for none.
        counts: Images by given and confident class, ``(C, C)``.
        is_issue: Whether the confident class is another than the given one, and the model's
            first answer is not the given one either, ``(n,)``.
        self_confidence: Probability of the given label, ``(n,)``.
        margin: That less the highest of the others, -1 to 1, ``(n,)``.
        suggested: The class to look for instead: the most probable other one, ``(n,)``.
    """

    given: NDArray[np.int64]
    thresholds: Floats
    confident: NDArray[np.int64]
    counts: NDArray[np.int64]
    is_issue: NDArray[np.bool_]
    self_confidence: Floats
    margin: Floats
    suggested: NDArray[np.int64]

    def rank(self, by: RankBy = "self_confidence") -> NDArray[np.int64]:
        """Return the rows of the issues, the most suspect first."""
        rows = np.flatnonzero(self.is_issue)
        scores = self.self_confidence if by == "self_confidence" else self.margin
        return rows[np.argsort(scores[rows], kind="stable")]


def find_label_issues(given: NDArray[np.int64], probabilities: Floats) -> LabelIssues:
    """Find the labels that the probabilities contradict.

    Args:
        given: Class ids, ``(n,)``.
        probabilities: ``(n, C)`` of models that did not train on the images.

    Raises:
        ScoringError: If the arrays do not fit together, or there are fewer than two classes.
    """
    given = np.asarray(given, dtype=np.int64)
    probabilities = np.asarray(probabilities)
    _check(given.shape, probabilities.shape)
    rows, classes = np.arange(len(given)), probabilities.shape[1]
    if len(given) and not 0 <= given.min() <= given.max() < classes:
        raise ScoringError(f"labels: must be from 0 to {classes - 1}, got {given.max()}")
    own = probabilities[rows, given]
    thresholds = find_thresholds(given, own, classes)
    is_confident = probabilities >= thresholds - _TOLERANCE
    best = np.where(is_confident, probabilities, -1.0).argmax(axis=1)
    confident = np.where(is_confident.any(axis=1), best, -1)
    is_known = confident >= 0
    cells = given[is_known] * classes + confident[is_known]
    counts = np.bincount(cells, minlength=classes**2).reshape(classes, classes)
    others = probabilities.copy()
    others[rows, given] = -1.0
    suggested = others.argmax(axis=1)
    margin = own - others[rows, suggested]
    return LabelIssues(
        given,
        thresholds,
        confident,
        counts,
        is_known & (confident != given) & (probabilities.argmax(axis=1) != given),
        own,
        margin,
        suggested,
    )


def find_thresholds(given: NDArray[np.int64], own: Floats, classes: int) -> Floats:
    """Return the mean probability that the images of each class have of it, ``(C,)``.

    Args:
        given: Class ids, ``(n,)``.
        own: What each image has of its own class, ``(n,)``.
        classes: ``C``.
    """
    images = np.bincount(given, minlength=classes)
    total = np.bincount(given, weights=own, minlength=classes)
    return np.divide(total, images, out=np.full(classes, np.inf), where=images > 0)


@dataclass(frozen=True, eq=False)
class SetIssues:
    """What confident learning says of ``n`` images with any number of labels.

    Attributes:
        given: Which labels each image has, ``(n, C)``.
        is_issue: Which of them, there or not, the model contradicts, ``(n, C)``.
        self_confidence: Probability of what is given, ``(n, C)``: of the label where it is
            there, of its absence where it is not.
    """

    given: NDArray[np.bool_]
    is_issue: NDArray[np.bool_]
    self_confidence: Floats

    @property
    def score(self) -> Floats:
        """Lowest self-confidence among an image's contradicted labels, 1 without any, ``(n,)``."""
        return np.asarray(np.where(self.is_issue, self.self_confidence, 1.0).min(axis=1))

    @property
    def suggested(self) -> NDArray[np.bool_]:
        """The labels with those turned round that are contradicted, ``(n, C)``."""
        return self.given ^ self.is_issue

    def rank(self) -> NDArray[np.int64]:
        """Return the rows of images with an issue, the most suspect first."""
        rows = np.flatnonzero(self.is_issue.any(axis=1))
        return rows[np.argsort(self.score[rows], kind="stable")]


def find_set_issues(given: NDArray[np.bool_], probabilities: Floats) -> SetIssues:
    """Find labels of sets that the probabilities contradict: each class by itself, there or not.

    Args:
        given: Which labels each image has, ``(n, C)``.
        probabilities: ``(n, C)``, each from 0 to 1, of models that did not train on them.

    Raises:
        ScoringError: If the arrays do not fit together.
    """
    given = np.asarray(given, dtype=bool)
    if given.shape != probabilities.shape or given.ndim != 2:
        raise ScoringError(
            f"labels: must be as many as the probabilities, {probabilities.shape}, got "
            f"{given.shape}"
        )
    is_issue = np.zeros(given.shape, dtype=bool)
    for column in range(given.shape[1]):
        there = probabilities[:, column]
        both = np.stack([1.0 - there, there], axis=1)
        found = find_label_issues(given[:, column].astype(np.int64), both)
        is_issue[:, column] = found.is_issue
    own = np.where(given, probabilities, 1.0 - probabilities)
    return SetIssues(given, is_issue, own)


def _check(given: tuple[int, ...], probabilities: tuple[int, ...]) -> None:
    if len(probabilities) != 2 or given != probabilities[:1] or probabilities[1] < 2:
        raise ScoringError(
            f"labels: must be one for each row of the probabilities, (n, C) with 2 classes or "
            f"more, got {given} labels and {probabilities} probabilities"
        )
