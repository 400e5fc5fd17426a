"""What a classifier said about labelled images, checked once and shared by all metrics.

Owns: the checks of targets, probabilities and thresholds of either task, the ranking of
classes and its tie rule, the rule that makes a probability a label, and the counts of each
class under many weightings of the images.
Does not own: what is computed from them (``metrics``), which weightings (``intervals``),
how a threshold is found (``thresholds``).

Ties: classes are ranked by probability, and of equal ones the lower class id comes
first. The predicted class is the first of that ranking, so ``accuracy`` and a
"top 1" can never disagree.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfclassify.errors import ScoringError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: How far a row of probabilities may sum from 1; float16 networks need this much.
SUM_TOLERANCE = 1e-2


class BaseOutcome(ABC):
    """What every task's outcome has: which labels are there, which were said.

    Attributes:
        probabilities: ``(n, C)`` float64.
    """

    #: The task that it is an outcome of, as in a recipe.
    task: ClassVar[str]

    probabilities: FloatArray

    @property
    def images(self) -> int:
        """Number of images, ``n``."""
        return int(self.probabilities.shape[0])

    @property
    def class_count(self) -> int:
        """Number of classes, ``C``, with or without images."""
        return int(self.probabilities.shape[1])

    @property
    @abstractmethod
    def is_true(self) -> BoolArray:
        """Whether the image has the class, ``(n, C)``."""

    @property
    @abstractmethod
    def is_predicted(self) -> BoolArray:
        """Whether the class was predicted for the image, ``(n, C)``."""


class Outcome(BaseOutcome):
    """Targets and probabilities of the same ``n`` images, one label each.

    Attributes:
        targets: True class ids, ``(n,)`` int64.
        probabilities: ``(n, C)`` float64; each row sums to 1.
    """

    task = "multi_class"

    def __init__(self, targets: ArrayLike, probabilities: ArrayLike) -> None:
        """Check the two against one another.

        Raises:
            ScoringError: If there are no images, shapes disagree, a target is not a
                class id, or a row is not a probability distribution.
        """
        self.probabilities = _check_probabilities(np.asarray(probabilities))
        self.targets = _check_targets(np.asarray(targets), self.probabilities.shape)

    def weigh(self, weights: FloatArray | None = None) -> Weighting:
        """See the images under ``(R, n)`` weights; None weighs each by 1."""
        return Weighting(self, weights)

    @cached_property
    def is_true(self) -> BoolArray:
        """Whether the image is of the class, ``(n, C)``; one a row."""
        return _one_hot(self.targets, self.class_count)

    @cached_property
    def is_predicted(self) -> BoolArray:
        """Whether the class is the predicted one, ``(n, C)``; one a row."""
        return _one_hot(self.predicted, self.class_count)

    @cached_property
    def predicted(self) -> IntArray:
        """Predicted class ids, ``(n,)``."""
        return self.probabilities.argmax(axis=1).astype(np.int64)

    @cached_property
    def confidence(self) -> FloatArray:
        """Probability of the predicted class, ``(n,)``."""
        return self.probabilities.max(axis=1)

    @cached_property
    def correct(self) -> BoolArray:
        """Whether the predicted class is the true one, ``(n,)``."""
        return self.predicted == self.targets

    @cached_property
    def true_probability(self) -> FloatArray:
        """Probability of the true class, ``(n,)``."""
        return self.probabilities[np.arange(self.images), self.targets]

    @cached_property
    def true_rank(self) -> IntArray:
        """Number of classes ranked before the true one, ``(n,)``; 0 is a hit."""
        own = self.true_probability[:, None]
        is_earlier = np.arange(self.class_count)[None, :] < self.targets[:, None]
        is_before = (self.probabilities > own) | ((self.probabilities == own) & is_earlier)
        return is_before.sum(axis=1).astype(np.int64)


@dataclass(frozen=True)
class ClassCounts:
    """Counts of each class under ``R`` weightings of the images, each ``(R, C)``.

    Attributes:
        hits: Images of the class that were predicted as it (true positives).
        support: Images of the class.
        predicted: Images predicted as the class.
    """

    hits: FloatArray
    support: FloatArray
    predicted: FloatArray


OutcomeT = TypeVar("OutcomeT", bound=BaseOutcome)


class BaseWeighting(Generic[OutcomeT]):
    """An outcome seen under ``R`` weightings of its images at once.

    A bootstrap resample is the weighting that says how often each image was
    drawn. A metric written for weightings needs no copy of any image, and one
    matrix product gives the counts of all resamples.

    Attributes:
        outcome: The images.
        weights: ``(R, n)`` float64, not negative; each row has a positive sum.
    """

    def __init__(self, outcome: OutcomeT, weights: FloatArray | None = None) -> None:
        self.outcome = outcome
        self.weights = np.ones((1, outcome.images)) if weights is None else weights

    @cached_property
    def total(self) -> FloatArray:
        """Sum of the weights of each weighting, ``(R,)``."""
        return self.weights.sum(axis=1)

    @cached_property
    def class_counts(self) -> ClassCounts:
        """Hits, support and predictions of each class."""
        is_true = self.outcome.is_true.astype(np.float64)
        is_predicted = self.outcome.is_predicted.astype(np.float64)
        return ClassCounts(
            hits=self.weights @ (is_true * is_predicted),
            support=self.weights @ is_true,
            predicted=self.weights @ is_predicted,
        )

    def mean(self, values: NDArray[Any]) -> FloatArray:
        """Return the weighted mean of one value an image, ``(n,)``, as ``(R,)``."""
        return self.weights @ values.astype(np.float64) / self.total


class Weighting(BaseWeighting[Outcome]):
    """Weightings of images that have one label each."""


def _one_hot(ids: IntArray, classes: int) -> BoolArray:
    return np.asarray(ids[:, None] == np.arange(classes)[None, :])


def _check_probabilities(values: NDArray[Any]) -> FloatArray:
    if values.ndim != 2 or values.shape[1] < 2:
        raise ScoringError(
            f"probabilities: must have the shape (images, classes) with 2 classes or more, "
            f"got {values.shape}"
        )
    if values.shape[0] == 0:
        raise ScoringError("probabilities: there are no images to score; give at least one")
    checked = values.astype(np.float64)
    if not np.isfinite(checked).all():
        row = int(np.flatnonzero(~np.isfinite(checked).all(axis=1))[0])
        raise ScoringError(
            f"probabilities: row {row} holds NaN or infinity, got {checked[row].tolist()!r}; "
            f"the model has diverged or was fed such an image"
        )
    is_off = (np.abs(checked.sum(axis=1) - 1.0) > SUM_TOLERANCE) | (checked < 0.0).any(axis=1)
    if is_off.any():
        row = int(np.flatnonzero(is_off)[0])
        raise ScoringError(
            f"probabilities: row {row} must be 0 or more and sum to 1, got the sum "
            f"{checked[row].sum():.6g}; apply softmax to logits, divide sums of views by their sum"
        )
    return checked


def _check_targets(values: NDArray[Any], shape: tuple[int, ...]) -> IntArray:
    images, classes = shape
    if values.shape != (images,):
        raise ScoringError(
            f"targets: must be one class id an image, shape ({images},), got {values.shape}"
        )
    if not np.issubdtype(values.dtype, np.integer):
        raise ScoringError(f"targets: must be integer class ids, got {values.dtype}")
    is_outside = (values < 0) | (values >= classes)
    if is_outside.any():
        row = int(np.flatnonzero(is_outside)[0])
        raise ScoringError(
            f"targets: row {row} must be from 0 to {classes - 1}, got {int(values[row])}; "
            f"leave unlabelled images out before scoring"
        )
    return values.astype(np.int64)


#: The threshold where none was chosen: the class is more likely there than not.
DEFAULT_THRESHOLD = 0.5


def apply_thresholds(probabilities: ArrayLike, thresholds: ArrayLike) -> BoolArray:
    """Say which labels are given: those whose probability reaches the threshold.

    Both are compared as float32, which is what models compute in, so that every reader
    of a bundle draws the line at the same place.

    Args:
        probabilities: ``(n, C)``.
        thresholds: One number, one a class ``(C,)``, or one a cell ``(n, C)``.

    Example:
        >>> apply_thresholds([[0.2, 0.5], [0.7, 0.4]], [0.5, 0.5]).tolist()
        [[False, True], [True, False]]
    """
    values = np.asarray(probabilities, dtype=np.float32)
    return np.asarray(values >= np.asarray(thresholds, dtype=np.float32))


class LabelOutcome(BaseOutcome):
    """Label sets, probabilities and thresholds of the same ``n`` images.

    Attributes:
        targets: Which labels are there, ``(n, C)`` bool.
        probabilities: ``(n, C)`` float64; rows need not sum to anything.
        thresholds: Least probability of a given label, ``(n, C)`` float64.
    """

    task = "multi_label"

    def __init__(
        self, targets: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None
    ) -> None:
        """Check the three against one another.

        Args:
            targets: Multi-hot labels, ``(n, C)``, of 0 and 1.
            probabilities: ``(n, C)`` from 0 to 1.
            thresholds: One number, one a class ``(C,)``, or one a cell ``(n, C)``; None
                is 0.5.

        Raises:
            ScoringError: If there are no images, shapes disagree, a target is neither 0
                nor 1, or a probability or threshold is not from 0 to 1.
        """
        self.probabilities = _check_label_probabilities(np.asarray(probabilities))
        self.targets = _check_label_targets(np.asarray(targets), self.probabilities.shape)
        given = DEFAULT_THRESHOLD if thresholds is None else thresholds
        self.thresholds = _check_thresholds(np.asarray(given), self.probabilities.shape)

    def weigh(self, weights: FloatArray | None = None) -> LabelWeighting:
        """See the images under ``(R, n)`` weights; None weighs each by 1."""
        return LabelWeighting(self, weights)

    @property
    def is_true(self) -> BoolArray:
        """Whether the image has the label, ``(n, C)``."""
        return self.targets

    @cached_property
    def is_predicted(self) -> BoolArray:
        """Whether the label is given, ``(n, C)``."""
        return apply_thresholds(self.probabilities, self.thresholds)


class LabelWeighting(BaseWeighting[LabelOutcome]):
    """Weightings of images that may have any number of labels."""

    @cached_property
    def ranking(self) -> tuple[FloatArray, FloatArray]:
        """Average precision and area under the ROC curve of each class, both ``(R, C)``.

        NaN where a class has no positive image, and for the area also where it has no
        negative one. The two share the costly part, the sorted running sums.
        """
        outcome = self.outcome
        # One image a row: sorting moves whole rows, and sums run along them.
        by_image = np.ascontiguousarray(self.weights.T)
        pairs = [
            _rank_class(outcome.probabilities[:, number], outcome.targets[:, number], by_image)
            for number in range(outcome.class_count)
        ]
        precision, area = zip(*pairs, strict=True)
        return np.stack(precision, axis=1), np.stack(area, axis=1)


def _rank_class(
    scores: FloatArray, is_positive: BoolArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return average precision and ROC area of one class, ``(R,)`` each.

    With the images in falling order of score, ``w`` their weights, ``P`` the positive
    weight and, up to the end of the ties of image ``i``, ``t_i`` the positive and ``a_i``
    the whole weight:

        AP = sum over positives of w_i * t_i / a_i, over P

    The area counts the pairs of a positive and a negative image in the right order, ties
    by half. A positive outranks the weight after its ties and half the weight in them;
    over all positives that counts each positive pair once too, ``P**2 / 2`` in all.

    Args:
        scores: ``(n,)``.
        is_positive: ``(n,)``.
        weights: ``(n, R)``.
    """
    empty = np.full(weights.shape[1], np.nan)
    if not is_positive.any():
        return empty, empty
    order = np.argsort(-scores, kind="stable")
    falling, positions = -scores[order], np.flatnonzero(is_positive[order])
    own = weights[order[positions]]
    end = np.searchsorted(falling, falling[positions], side="right")
    start = np.searchsorted(falling, falling[positions], side="left")
    running = np.zeros((len(scores) + 1, weights.shape[1]))
    np.cumsum(weights[order], axis=0, out=running[1:])
    hits = np.cumsum(own, axis=0)[np.searchsorted(positions, end, side="left") - 1]
    positive, total, reached = own.sum(axis=0), running[-1], running[end]
    shares = np.divide(hits, reached, out=np.zeros_like(hits), where=reached > 0)
    precision = np.divide(
        (own * shares).sum(axis=0), positive, out=empty.copy(), where=positive > 0
    )
    outranked = (own * (total - (reached + running[start]) / 2.0)).sum(axis=0)
    pairs = positive * (total - positive)
    area = np.divide(outranked - positive**2 / 2.0, pairs, out=empty.copy(), where=pairs > 0)
    return precision, area


def _check_label_probabilities(values: NDArray[Any]) -> FloatArray:
    if values.ndim != 2:
        raise ScoringError(
            f"probabilities: must have the shape (images, classes), got {values.shape}"
        )
    if values.shape[0] == 0:
        raise ScoringError("probabilities: there are no images to score; give at least one")
    checked = values.astype(np.float64)
    # Written so that NaN is refused as well.
    is_off = ~((checked >= 0.0) & (checked <= 1.0)).all(axis=1)
    if is_off.any():
        row = int(np.flatnonzero(is_off)[0])
        raise ScoringError(
            f"probabilities: row {row} must be from 0 to 1, got {checked[row].tolist()!r}; apply "
            f"the sigmoid to logits; NaN means that the model has diverged"
        )
    return checked


def _check_label_targets(values: NDArray[Any], shape: tuple[int, ...]) -> BoolArray:
    if values.shape != shape:
        raise ScoringError(
            f"targets: must be multi-hot labels of the probabilities' shape {shape}, "
            f"got {values.shape}"
        )
    is_off = ~((values == 0) | (values == 1)).all(axis=1)
    if is_off.any():
        row = int(np.flatnonzero(is_off)[0])
        raise ScoringError(
            f"targets: row {row} must hold only 0 and 1, got {values[row].tolist()!r}; score "
            f"against the images' own labels, not mixed or smoothed ones"
        )
    return values.astype(np.bool_)


def _check_thresholds(values: NDArray[Any], shape: tuple[int, ...]) -> FloatArray:
    try:
        checked = np.broadcast_to(values.astype(np.float64), shape)
    except ValueError:
        raise ScoringError(
            f"thresholds: must be one number, one a class {shape[1:]} or one a cell {shape}, "
            f"got the shape {values.shape}"
        ) from None
    if not ((checked >= 0.0) & (checked <= 1.0)).all():
        raise ScoringError(f"thresholds: must be from 0 to 1, got {values.tolist()!r}")
    return checked
