"""The tasks: what a network's outputs mean, and what a training watches.

Owns: for each value of a recipe's ``task``, the activation, the metrics, and whatever else
depends on whether an image has one label or any number: what is right, what is missed,
what is likely. Does not own: the formulas (``metrics``), the training loss.

Targets are ``(n, C)`` whatever the task: one-hot where an image has one label, multi-hot
where it may have any number. So whoever trains need not know which it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfclassify.errors import ScoringError
from tfclassify.scoring.metrics import LABEL_METRICS, METRICS, Measure, compute_scores, find_measure
from tfclassify.scoring.outcome import (
    DEFAULT_THRESHOLD,
    BoolArray,
    FloatArray,
    IntArray,
    LabelOutcome,
    Outcome,
)

MULTI_CLASS, MULTI_LABEL = "multi_class", "multi_label"

Floats = NDArray[np.floating[Any]]


class Task(ABC):
    """One kind of question that is put to a network.

    Attributes:
        name: As in a recipe.
        activation: What makes the logits probabilities.
        watched: Metrics of the validation images that every epoch records.
        train_score: What ``score_images`` counts in a training step.
        metrics: Every metric of the task, by name.
        right: What is right where a model is right, in words.
        weighs_images: Whether class weights weigh images; else the presence of a class.
    """

    name: str
    activation: Literal["softmax", "sigmoid"]
    watched: tuple[str, ...]
    train_score: str
    metrics: Mapping[str, Measure[Any]]
    right: str
    weighs_images: bool

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have any number of labels."""
        return self.name == MULTI_LABEL

    @abstractmethod
    def activate(self, logits: Floats) -> Floats:
        """Turn logits ``(n, C)`` into probabilities of the same type, without overflow."""

    @abstractmethod
    def make_outcome(
        self, targets: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None
    ) -> Outcome | LabelOutcome:
        """Put targets and probabilities into the form that metrics take.

        Args:
            targets: ``(n, C)`` of 0 and 1: one 1 a row under multi_class, any number
                under multi_label.
            probabilities: ``(n, C)``, after the task's activation.
            thresholds: multi_label: one number, one a class, or one a cell; None is 0.5.
                multi_class has none and takes no notice.

        Raises:
            ScoringError: If the arrays do not fit together.
        """

    def compute(
        self,
        names: Iterable[str],
        targets: ArrayLike,
        probabilities: ArrayLike,
        thresholds: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Score predictions with several metrics; the arguments are ``make_outcome``'s.

        Returns:
            Value by name; NaN where a metric has no value on these images.

        Raises:
            ScoringError: On an unknown name, or arrays that do not fit together.
        """
        measures = [find_measure(name, self.metrics) for name in names]
        return compute_scores(self.make_outcome(targets, probabilities, thresholds), measures)

    def list_thresholds(
        self, stored: Mapping[str, float] | None, classes: Sequence[str]
    ) -> FloatArray | None:
        """Return the least probability of each class, ``(C,)``, 0.5 where none is stored.

        None under multi_class, which answers by the greatest probability.
        """
        return None

    def spread_thresholds(
        self, thresholds: ArrayLike | None, shape: tuple[int, ...]
    ) -> FloatArray | None:
        """Return the least probability of each class of each image, ``(n, C)``.

        None under multi_class, which has none.

        Args:
            thresholds: One number, ``(C,)`` or ``(n, C)``; None is 0.5.
            shape: ``(n, C)``.
        """
        return None

    @abstractmethod
    def score_images(self, targets: Floats, logits: Floats) -> FloatArray:
        """Score each image of a training batch: ``(b,)`` from 0 to 1.

        Under multi_class 1 where the likeliest class is the largest of the soft label;
        under multi_label the share of classes in both sets among those in either, with
        classes of at least 0.5 in the label and in the answer, and 1 where both are empty.

        Args:
            targets: Soft labels as trained on, ``(b, C)``.
            logits: ``(b, C)``.
        """

    @abstractmethod
    def find_missed(self, targets: Floats, logits: Floats) -> BoolArray:
        """Tell which images of a batch were answered wrongly: ``(b,)``.

        Args:
            targets: The images' own labels, before any mixing, ``(b, C)``.
            logits: ``(b, C)``. Under multi_class the likeliest class must be the image's,
                under multi_label the classes of at least 0.5 must be its set.
        """

    @abstractmethod
    def decide(self, probabilities: Floats) -> BoolArray:
        """Say which classes are answered without stored thresholds, ``(..., C)``.

        The greatest probability under multi_class, those of at least 0.5 under multi_label.
        """

    @abstractmethod
    def find_doubts(self, probabilities: Floats) -> Floats:
        """Say how near the model is to another answer: ``(n,)``, 1 where two are as probable.

        Args:
            probabilities: ``(n, C)``.
        """

    @abstractmethod
    def find_likelihoods(self, targets: ArrayLike, probabilities: Floats) -> Floats:
        """Return what was given to what is true.

        Args:
            targets: ``(..., C)`` of 0 and 1.
            probabilities: ``(..., C)``.

        Returns:
            ``(..., labels)``: one label an image, the probability of its class; or one a
            class, the probability that it is there or that it is not.
        """


class MultiClass(Task):
    """One label an image."""

    name = MULTI_CLASS
    activation = "softmax"
    watched = ("loss", "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted")
    train_score = "accuracy"
    metrics = METRICS
    right = "the label of an image"
    weighs_images = True

    def activate(self, logits: Floats) -> Floats:
        """Apply the softmax."""
        from scipy import special  # slow to import, and not needed by those who only read

        return np.asarray(special.softmax(logits, axis=-1))

    def make_outcome(
        self, targets: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None
    ) -> Outcome:
        """Take one-hot targets as class ids."""
        return Outcome(find_class_ids(targets), probabilities)

    def score_images(self, targets: Floats, logits: Floats) -> FloatArray:
        """Count the images whose likeliest class is the largest of the label."""
        return 1.0 - self.find_missed(targets, logits).astype(np.float64)

    def find_missed(self, targets: Floats, logits: Floats) -> BoolArray:
        """Compare the likeliest classes."""
        return np.asarray(logits.argmax(axis=-1) != targets.argmax(axis=-1))

    def decide(self, probabilities: Floats) -> BoolArray:
        """Mark the likeliest class."""
        best = np.asarray(probabilities).argmax(axis=-1)
        return np.asarray(np.arange(probabilities.shape[-1]) == best[..., None])

    def find_doubts(self, probabilities: Floats) -> Floats:
        """Compare the two likeliest classes."""
        first = np.sort(probabilities, axis=1)
        second = first[:, -2] if first.shape[1] > 1 else 0.0
        return np.asarray(1.0 - (first[:, -1] - second))

    def find_likelihoods(self, targets: ArrayLike, probabilities: Floats) -> Floats:
        """Return the probability of the image's own class."""
        return np.asarray((np.asarray(targets) * probabilities).sum(axis=-1, keepdims=True))


class MultiLabel(Task):
    """Any number of labels an image."""

    name = MULTI_LABEL
    activation = "sigmoid"
    watched = ("loss", "map", "iou", "f1_samples", "f1_macro", "f1_weighted")
    train_score = "iou"
    metrics = LABEL_METRICS
    right = "every label of an image"
    weighs_images = False

    def activate(self, logits: Floats) -> Floats:
        """Apply the sigmoid."""
        from scipy import special  # slow to import, and not needed by those who only read

        return np.asarray(special.expit(logits))

    def make_outcome(
        self, targets: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None
    ) -> LabelOutcome:
        """Set label sets against probabilities and thresholds."""
        return LabelOutcome(targets, probabilities, thresholds)

    def list_thresholds(
        self, stored: Mapping[str, float] | None, classes: Sequence[str]
    ) -> FloatArray:
        """Put the stored thresholds in the order of the classes."""
        return np.array([(stored or {}).get(name, DEFAULT_THRESHOLD) for name in classes])

    def spread_thresholds(self, thresholds: ArrayLike | None, shape: tuple[int, ...]) -> FloatArray:
        """Give every image those of its classes."""
        own = DEFAULT_THRESHOLD if thresholds is None else thresholds
        return np.broadcast_to(np.asarray(own, dtype=np.float64), shape)

    def score_images(self, targets: Floats, logits: Floats) -> FloatArray:
        """Compute the IoU of the two sets of each image."""
        wanted, found = targets >= 0.5, logits >= 0.0
        both, either = (wanted & found).sum(axis=1), (wanted | found).sum(axis=1)
        return np.where(either > 0, both / np.maximum(either, 1), 1.0)

    def find_missed(self, targets: Floats, logits: Floats) -> BoolArray:
        """Compare the two sets of each image."""
        return np.asarray(((logits >= 0.0) != (targets >= 0.5)).any(axis=1))

    def decide(self, probabilities: Floats) -> BoolArray:
        """Mark every class of at least 0.5."""
        return np.asarray(probabilities >= DEFAULT_THRESHOLD)

    def find_doubts(self, probabilities: Floats) -> Floats:
        """Take the class whose presence is least certain."""
        return np.asarray(1.0 - np.abs(2 * probabilities - 1).min(axis=1))

    def find_likelihoods(self, targets: ArrayLike, probabilities: Floats) -> Floats:
        """Return the probability of each class, or of its absence."""
        there = np.asarray(targets)
        return np.asarray(there * probabilities + (1.0 - there) * (1.0 - probabilities))


def get_task(name: str) -> Task:
    """Look a task up by its name in a recipe.

    Raises:
        ScoringError: If there is none of that name.
    """
    if name not in TASKS:
        raise ScoringError(f"task: unknown name {name!r}; allowed: {', '.join(TASKS)}")
    return TASKS[name]


def find_metric(name: str) -> Measure[Any]:
    """Look a metric up among those of all tasks; where two share a name, multi_class' own.

    They then agree in all but the formula: title (but for the loss), direction, range.

    Raises:
        ScoringError: If no task has a metric of that name.
    """
    measures: dict[str, Measure[Any]] = {**LABEL_METRICS, **METRICS}
    return find_measure(name, measures)


def is_higher_better(metric: str) -> bool:
    """Say whether a larger value of a metric of any task is a better one.

    Raises:
        ScoringError: If no task has a metric of that name.

    Example:
        >>> is_higher_better("map"), is_higher_better("hamming")
        (True, False)
    """
    return find_metric(metric).higher_is_better


def find_class_ids(targets: ArrayLike) -> IntArray:
    """Return the class ids, ``(n,)``, of one-hot targets ``(n, C)``.

    Raises:
        ScoringError: If a row does not hold exactly one 1 and else 0.
    """
    values = np.asarray(targets)
    if values.ndim != 2:
        raise ScoringError(
            f"targets: must be one-hot labels, shape (images, classes), got {values.shape}"
        )
    is_binary = ((values == 0) | (values == 1)).all(axis=1)
    is_off = ~(is_binary & (values.sum(axis=1) == 1))
    if is_off.any():
        row = int(np.flatnonzero(is_off)[0])
        raise ScoringError(
            f"targets: row {row} must hold one 1 and else 0, got {values[row].tolist()!r}; score "
            f"against the images' own labels, or set task: {MULTI_LABEL}"
        )
    return values.argmax(axis=1).astype(np.int64)


TASKS: dict[str, Task] = {task.name: task for task in (MultiClass(), MultiLabel())}
