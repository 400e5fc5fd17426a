"""The metrics of images that may have any number of labels.

Owns: the definition of each, including what it means when a label is absent.
Does not own: the checks and thresholds (``multi_label_outcome``), intervals
(``intervals``), the names that a recipe may use (``recipe``, held equal by a test).

Conventions:

- ``map`` is the mean of average precision (as scikit-learn defines it, without
  interpolation) over the classes that have images; ``roc_auc`` over the classes for which
  both sides have images.
- ``iou`` and ``f1_samples`` are means over images; an image without labels, for which none
  was given, scores 1. scikit-learn: ``zero_division=1``.
- Macro averages run over the classes that have images or were predicted; a class with
  images that is never predicted has precision 0 there. Micro averages pool the cells.
- ``hamming`` is the share of wrong cells: an image and a class are a cell.
- A metric without a value, such as ``map`` when no image has a label, is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.scoring.metrics import (
    SMALLEST_PROBABILITY,
    Measure,
    count_present,
    count_seen,
    divide,
    find_measure,
    weigh_class_scores,
)
from tfclassify.scoring.multi_label_outcome import LabelOutcome, LabelWeighting
from tfclassify.scoring.outcome import FloatArray


@dataclass(frozen=True)
class LabelMetric(Measure[LabelWeighting]):
    """A measure of predictions of any number of labels an image."""

    def compute(
        self, targets: ArrayLike, probabilities: ArrayLike, thresholds: ArrayLike | None = None
    ) -> float:
        """Score ``(n, C)`` multi-hot targets and ``(n, C)`` probabilities.

        Returns:
            The score, or NaN where the metric has no value on these images.

        Raises:
            ScoringError: If the arrays do not fit together; see ``LabelOutcome``.
        """
        outcome = LabelOutcome(targets, probabilities, thresholds)
        return float(self.weigh(outcome.weigh())[0])


def get_label_metric(name: str) -> LabelMetric:
    """Look a multi-label metric up by its name.

    Raises:
        ScoringError: If there is none of that name.
    """
    return find_measure(name, LABEL_METRICS)


def compute_label_metrics(
    names: Iterable[str],
    targets: ArrayLike,
    probabilities: ArrayLike,
    thresholds: ArrayLike | None = None,
) -> dict[str, float]:
    """Score with several metrics at once, sharing what they have in common.

    Args:
        names: Metrics, in the order of the result.
        targets: Multi-hot labels, ``(n, C)``.
        probabilities: ``(n, C)`` from 0 to 1.
        thresholds: One number, ``(C,)`` or ``(n, C)``; None is 0.5.

    Returns:
        Value by name; NaN where a metric has no value on these images.

    Raises:
        ScoringError: On an unknown name, or arrays that do not fit together.
    """
    metrics = [get_label_metric(name) for name in names]
    weighting = LabelOutcome(targets, probabilities, thresholds).weigh()
    return {metric.name: float(metric.weigh(weighting)[0]) for metric in metrics}


def compute_losses(outcome: LabelOutcome) -> FloatArray:
    """Return the binary cross-entropy of each image, ``(n,)``: the mean over its classes."""
    own = np.where(outcome.targets, outcome.probabilities, 1.0 - outcome.probabilities)
    return np.asarray(-np.log(np.maximum(own, SMALLEST_PROBABILITY)).mean(axis=1))


def _weigh_loss(weighting: LabelWeighting) -> FloatArray:
    return weighting.mean(compute_losses(weighting.outcome))


def _weigh_map(weighting: LabelWeighting) -> FloatArray:
    return _mean_defined(weighting.ranking[0])


def _weigh_roc_auc(weighting: LabelWeighting) -> FloatArray:
    return _mean_defined(weighting.ranking[1])


def _count_ranked(weighting: LabelWeighting) -> int:
    """Count the classes for which some images are positive and some negative."""
    return int((~np.isnan(weighting.ranking[1][0])).sum())


def _mean_defined(values: FloatArray) -> FloatArray:
    """Return the mean of each row, ``(R,)``, over the classes that have a value."""
    is_defined = ~np.isnan(values)
    counts = is_defined.sum(axis=1).astype(np.float64)
    return divide(np.where(is_defined, values, 0.0).sum(axis=1), counts, empty=np.nan)


def _make_samples(over_union: bool) -> Callable[[LabelWeighting], FloatArray]:
    """Average ``shared / union``, or ``2 shared / (true + given)``, over images."""

    def weigh(weighting: LabelWeighting) -> FloatArray:
        is_true, is_given = weighting.outcome.is_true, weighting.outcome.is_predicted
        shared = (is_true & is_given).sum(axis=1).astype(np.float64)
        sizes = is_true.sum(axis=1) + is_given.sum(axis=1).astype(np.float64)
        scores = (
            divide(shared, sizes - shared, empty=1.0)
            if over_union
            else divide(2.0 * shared, sizes, empty=1.0)
        )
        return weighting.mean(scores)

    return weigh


def _make_macro(score: str) -> Callable[[LabelWeighting], FloatArray]:
    def weigh(weighting: LabelWeighting) -> FloatArray:
        counts = weighting.class_counts
        is_seen = (counts.support > 0) | (counts.predicted > 0)
        values = weigh_class_scores(weighting, empty=0.0)[score]
        return divide(values.sum(axis=1), is_seen.sum(axis=1).astype(np.float64), empty=np.nan)

    return weigh


def _make_micro(score: str) -> Callable[[LabelWeighting], FloatArray]:
    def weigh(weighting: LabelWeighting) -> FloatArray:
        counts = weighting.class_counts
        hits, support, given = (
            part.sum(axis=1) for part in (counts.hits, counts.support, counts.predicted)
        )
        below = {"precision": given, "recall": support, "f1": (support + given) / 2.0}[score]
        values = divide(hits, below, empty=0.0)
        return np.where(support + given > 0, values, np.nan)

    return weigh


def _weigh_f1_weighted(weighting: LabelWeighting) -> FloatArray:
    support = weighting.class_counts.support
    values = weigh_class_scores(weighting, empty=0.0)["f1"] * support
    return divide(values.sum(axis=1), support.sum(axis=1), empty=np.nan)


def _weigh_hamming(weighting: LabelWeighting) -> FloatArray:
    outcome = weighting.outcome
    return weighting.mean((outcome.is_true != outcome.is_predicted).mean(axis=1))


def _weigh_exact_match(weighting: LabelWeighting) -> FloatArray:
    outcome = weighting.outcome
    return weighting.mean((outcome.is_true == outcome.is_predicted).all(axis=1))


_LARGEST_LOSS = -math.log(SMALLEST_PROBABILITY)

_CATALOG = (
    LabelMetric("loss", "Binary cross-entropy", _weigh_loss, False, (0.0, _LARGEST_LOSS)),
    LabelMetric(
        "map",
        "Mean average precision",
        _weigh_map,
        is_recentred=True,
        count_classes=count_present,
    ),
    LabelMetric("iou", "IoU of label sets", _make_samples(over_union=True)),
    LabelMetric("f1_samples", "F1, samples", _make_samples(over_union=False)),
    LabelMetric("f1_macro", "F1, macro", _make_macro("f1"), count_classes=count_seen),
    LabelMetric("f1_micro", "F1, micro", _make_micro("f1")),
    LabelMetric("f1_weighted", "F1, weighted", _weigh_f1_weighted),
    LabelMetric(
        "precision_macro", "Precision, macro", _make_macro("precision"), count_classes=count_seen
    ),
    LabelMetric("precision_micro", "Precision, micro", _make_micro("precision")),
    LabelMetric("recall_macro", "Recall, macro", _make_macro("recall"), count_classes=count_seen),
    LabelMetric("recall_micro", "Recall, micro", _make_micro("recall")),
    LabelMetric("roc_auc", "ROC AUC", _weigh_roc_auc, count_classes=_count_ranked),
    LabelMetric("hamming", "Hamming loss", _weigh_hamming, higher_is_better=False),
    LabelMetric("exact_match", "Exact match", _weigh_exact_match, is_proportion=True),
)

LABEL_METRICS: dict[str, LabelMetric] = {metric.name: metric for metric in _CATALOG}
