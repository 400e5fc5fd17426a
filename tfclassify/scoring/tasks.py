"""The tasks: what a network's outputs mean, and what a training watches.

Owns: for each value of a recipe's ``task``, the activation, the metrics and how they are
computed from targets of one shape.
Does not own: the formulas (``metrics``), the training loss.

Targets are ``(n, C)`` whatever the task: one-hot where an image has one label, multi-hot
where it may have any number. So whoever trains need not know which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfclassify.errors import ScoringError
from tfclassify.scoring.metrics import (
    LABEL_METRICS,
    METRICS,
    Measure,
    compute_label_metrics,
    compute_metrics,
    find_measure,
)
from tfclassify.scoring.outcome import IntArray

MULTI_CLASS, MULTI_LABEL = "multi_class", "multi_label"

Scorer = Callable[[Iterable[str], ArrayLike, ArrayLike, ArrayLike | None], dict[str, float]]


@dataclass(frozen=True)
class Task:
    """One kind of question that is put to a network.

    Attributes:
        name: As in a recipe.
        activation: What makes the logits probabilities.
        watched: Metrics of the validation images that every epoch records.
        train_score: What a training step counts: ``accuracy``, the share of images whose
            own label came first, or ``iou``, the mean IoU of label sets at 0.5.
        metrics: Every metric of the task, by name.
        scorer: Behind ``compute``.
    """

    name: str
    activation: Literal["softmax", "sigmoid"]
    watched: tuple[str, ...]
    train_score: str
    metrics: Mapping[str, Measure[Any]]
    scorer: Scorer

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have any number of labels."""
        return self.name == MULTI_LABEL

    def activate(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Turn logits ``(n, C)`` into probabilities of the same type, without overflow."""
        from scipy import special  # slow to import, and not needed by those who only read

        if self.activation == "sigmoid":
            return np.asarray(special.expit(logits))
        return np.asarray(special.softmax(logits, axis=-1))

    def compute(
        self,
        names: Iterable[str],
        targets: ArrayLike,
        probabilities: ArrayLike,
        thresholds: ArrayLike | None = None,
    ) -> dict[str, float]:
        """Score predictions with several metrics.

        Args:
            names: Metrics of this task, in the order of the result.
            targets: ``(n, C)`` of 0 and 1: one 1 a row under multi_class, any number
                under multi_label.
            probabilities: ``(n, C)``, after the task's activation.
            thresholds: multi_label: one number, one a class, or one a cell; None is 0.5.
                multi_class has none and takes no notice.

        Returns:
            Value by name; NaN where a metric has no value on these images.

        Raises:
            ScoringError: On an unknown name, or arrays that do not fit together.
        """
        return self.scorer(names, targets, probabilities, thresholds)


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


def _score_classes(
    names: Iterable[str],
    targets: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike | None,
) -> dict[str, float]:
    return compute_metrics(names, find_class_ids(targets), probabilities)


TASKS: dict[str, Task] = {
    MULTI_CLASS: Task(
        name=MULTI_CLASS,
        activation="softmax",
        watched=("loss", "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted"),
        train_score="accuracy",
        metrics=METRICS,
        scorer=_score_classes,
    ),
    MULTI_LABEL: Task(
        name=MULTI_LABEL,
        activation="sigmoid",
        watched=("loss", "map", "iou", "f1_samples", "f1_macro", "f1_weighted"),
        train_score="iou",
        metrics=LABEL_METRICS,
        scorer=compute_label_metrics,
    ),
}
