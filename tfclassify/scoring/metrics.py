"""The metrics: everything that scores a classifier, in one catalogue for each task.

Owns: the definition of each metric, including what it means when a class is absent.
Does not own: checks, ties and thresholds (``outcome``), intervals (``intervals``), the
names that a recipe may use (``recipe``, held equal by a test).

Conventions of one label an image, all as in scikit-learn with ``zero_division=0``:

- Macro averages run over the classes that have images or were predicted. A class with
  images that is never predicted has precision 0 there.
- ``balanced_accuracy`` runs over the classes that have images.
- ``roc_auc`` is one class against the rest, averaged over the classes for which both
  sides have images; tied scores count one half.
- ``top_k`` is 1 where ``k`` is the number of classes or more.
- A metric without a value (``roc_auc`` when all images are of one class) is NaN.

Of any number of labels an image:

- ``map`` is the mean of average precision (as scikit-learn defines it, without
  interpolation) over the classes that have images.
- ``iou`` and ``f1_samples`` are means over images; an image without labels, for which none
  was given, scores 1. scikit-learn: ``zero_division=1``.
- Micro averages pool the cells. ``hamming`` is the share of wrong cells: an image and a
  class are a cell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.recipe.names import declare_metric
from tfclassify.recipe.wording import find_nearest
from tfclassify.scoring.outcome import (
    BaseWeighting,
    BoolArray,
    FloatArray,
    IntArray,
    LabelOutcome,
    LabelWeighting,
    Outcome,
    Weighting,
)

#: Smallest probability that the loss takes a logarithm of; Keras' own epsilon.
SMALLEST_PROBABILITY = 1e-7

#: Equal-width bins of confidence for the calibration error.
CALIBRATION_BINS = 15


WeightingT = TypeVar("WeightingT", bound=BaseWeighting[Any])
MeasureT = TypeVar("MeasureT", bound="Measure[Any]")


@dataclass(frozen=True)
class Measure(Generic[WeightingT]):
    """One number that says how good predictions are.

    Attributes:
        name: As in a recipe and in ``metrics.json``.
        title: For people, such as ``Balanced accuracy``.
        weigh: Computes the metric under each of ``R`` weightings: ``(R,)``, NaN
            where it has no value.
        higher_is_better: Whether a larger value is a better one.
        range: Least and greatest value; infinity where there is no bound.
        is_proportion: Whether it is a share of images, each right or wrong.
        is_recentred: Whether resamples lift it, so that an interval takes their mean for
            the score; see ``intervals``.
        expect_noise: What chance alone gives it, of an outcome; None where it is 0.
        count_classes: Of a mean over classes, how many have a value; None of any other.
    """

    name: str
    title: str
    weigh: Callable[[WeightingT], FloatArray]
    higher_is_better: bool = True
    range: tuple[float, float] = (0.0, 1.0)
    is_proportion: bool = False
    is_recentred: bool = False
    expect_noise: Callable[[Any], float] | None = None
    count_classes: Callable[[WeightingT], int] | None = None

    def is_better(self, value: float, than: float) -> bool:
        """Say whether a value beats another; NaN beats nothing and is beaten by all."""
        if np.isnan(value) or np.isnan(than):
            return bool(np.isnan(than) and not np.isnan(value))
        return value > than if self.higher_is_better else value < than


@dataclass(frozen=True)
class Metric(Measure[Weighting]):
    """A measure of predictions of one label an image."""

    def compute(self, targets: ArrayLike, probabilities: ArrayLike) -> float:
        """Score ``(n,)`` class ids and ``(n, C)`` probabilities.

        Returns:
            The score, or NaN where the metric has no value on these images.

        Raises:
            ScoringError: If the two do not fit together; see ``Outcome``.
        """
        return float(self.weigh(Weighting(Outcome(targets, probabilities)))[0])


def find_measure(name: str, registry: Mapping[str, MeasureT]) -> MeasureT:
    """Look a measure up by its name.

    Raises:
        ScoringError: If there is none of that name.
    """
    if name in registry:
        return registry[name]
    nearest = find_nearest(name, registry)
    hint = f"did you mean {nearest!r}? " if nearest else ""
    raise ScoringError(f"metric: unknown name {name!r}; {hint}allowed: {', '.join(registry)}")


def compute_scores(
    outcome: Outcome | LabelOutcome, measures: Iterable[Measure[Any]]
) -> dict[str, float]:
    """Score with several measures at once, sharing what they have in common.

    Returns:
        Value by name; NaN where a measure has no value on these images.
    """
    weighting = outcome.weigh()
    return {measure.name: float(measure.weigh(weighting)[0]) for measure in measures}


def divide(numerator: FloatArray, denominator: FloatArray, empty: float) -> FloatArray:
    """Divide element by element, with ``empty`` where the denominator is 0."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), empty)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)


def weigh_class_scores(weighting: BaseWeighting[Any], empty: float) -> dict[str, FloatArray]:
    """Compute precision, recall and F1 of each class, each ``(R, C)``.

    With ``h`` hits, ``s`` images and ``p`` predictions of a class:

        precision = h / p,   recall = h / s,   f1 = 2 h / (s + p)

    Args:
        weighting: The images and their ``R`` weightings.
        empty: What stands where a denominator is 0.
    """
    counts = weighting.class_counts
    return {
        "precision": divide(counts.hits, counts.predicted, empty),
        "recall": divide(counts.hits, counts.support, empty),
        "f1": divide(2.0 * counts.hits, counts.support + counts.predicted, empty),
    }


def _weigh_loss(weighting: Weighting) -> FloatArray:
    clipped = np.maximum(weighting.outcome.true_probability, SMALLEST_PROBABILITY)
    return weighting.mean(-np.log(clipped))


def _weigh_accuracy(weighting: Weighting) -> FloatArray:
    return weighting.mean(weighting.outcome.correct)


def _make_top(k: int) -> Callable[[Weighting], FloatArray]:
    def weigh(weighting: Weighting) -> FloatArray:
        return weighting.mean(weighting.outcome.true_rank < k)

    return weigh


def _weigh_balanced_accuracy(weighting: Weighting) -> FloatArray:
    recall = weigh_class_scores(weighting, empty=0.0)["recall"]
    # An absent class adds 0 above and nothing below.
    return recall.sum(axis=1) / (weighting.class_counts.support > 0).sum(axis=1)


def _make_macro(score: str) -> Callable[[BaseWeighting[Any]], FloatArray]:
    def weigh(weighting: BaseWeighting[Any]) -> FloatArray:
        counts = weighting.class_counts
        is_seen = (counts.support > 0) | (counts.predicted > 0)
        values = weigh_class_scores(weighting, empty=0.0)[score]
        return divide(values.sum(axis=1), is_seen.sum(axis=1).astype(np.float64), empty=np.nan)

    return weigh


def _make_weighted(score: str) -> Callable[[BaseWeighting[Any]], FloatArray]:
    def weigh(weighting: BaseWeighting[Any]) -> FloatArray:
        support = weighting.class_counts.support
        values = weigh_class_scores(weighting, empty=0.0)[score] * support
        return divide(values.sum(axis=1), support.sum(axis=1), empty=np.nan)

    return weigh


def count_present(weighting: BaseWeighting[Any]) -> int:
    """Count the classes that have images."""
    return int((weighting.class_counts.support[0] > 0).sum())


def count_seen(weighting: BaseWeighting[Any]) -> int:
    """Count the classes that have images or were predicted."""
    counts = weighting.class_counts
    return int(((counts.support[0] > 0) | (counts.predicted[0] > 0)).sum())


def _weigh_roc_auc(weighting: Weighting) -> FloatArray:
    outcome = weighting.outcome
    total = np.zeros(len(weighting.weights))
    defined = np.zeros(len(weighting.weights))
    for class_id in np.unique(outcome.targets):
        is_positive = outcome.targets == class_id
        area = _weigh_area(outcome.probabilities[:, class_id], is_positive, weighting.weights)
        total += np.nan_to_num(area)
        defined += ~np.isnan(area)
    return divide(total, defined, empty=np.nan)


def _weigh_area(scores: FloatArray, is_positive: BoolArray, weights: FloatArray) -> FloatArray:
    """Return the share of (positive, negative) pairs in the right order, ``(R,)``.

    This is the area under the ROC curve in Mann and Whitney's form, by middle ranks: an
    image outranks the weight below its score and half the weight at its score. Summed
    over the positives that counts each positive pair once too, ``positive**2 / 2`` in all.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    first = np.searchsorted(ranked, scores[is_positive], side="left")
    last = np.searchsorted(ranked, scores[is_positive], side="right")
    below = np.zeros((len(weights), len(scores) + 1))
    np.cumsum(weights[:, order], axis=1, out=below[:, 1:])
    own = weights[:, is_positive]
    positive = own.sum(axis=1)
    outranked = (own * (below[:, first] + below[:, last])).sum(axis=1) / 2.0
    pairs = positive * (below[:, -1] - positive)
    return divide(outranked - positive**2 / 2.0, pairs, empty=np.nan)


def confidence_bins(confidence: FloatArray) -> IntArray:
    """Return the calibration bin of each confidence, ``(n,)``; a bin owns its upper edge."""
    inner_edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    return np.digitize(confidence, inner_edges, right=True).astype(np.int64)


def _weigh_ece(weighting: Weighting) -> FloatArray:
    outcome = weighting.outcome
    bins = confidence_bins(outcome.confidence)
    is_in_bin = bins[:, None] == np.arange(CALIBRATION_BINS)[None, :]
    gaps = weighting.weights @ (is_in_bin * (outcome.confidence - outcome.correct)[:, None])
    return np.abs(gaps).sum(axis=1) / weighting.total


def _expect_calibration_noise(outcome: Outcome) -> float:
    """Return the calibration error that a perfectly calibrated model is expected to show.

    In a bin of ``n`` images of confidence ``q``, the gap is a normal error of deviation
    ``sqrt(sum of q (1 - q)) / n``, whose mean distance from 0 is ``sqrt(2 / pi)`` of that.
    """
    bins = confidence_bins(outcome.confidence)
    spread = np.bincount(bins, outcome.confidence * (1.0 - outcome.confidence))
    return float(np.sqrt(2.0 / np.pi) * np.sqrt(spread).sum() / outcome.images)


def _weigh_brier(weighting: Weighting) -> FloatArray:
    outcome = weighting.outcome
    squares = (outcome.probabilities**2).sum(axis=1)
    # Sum over classes of (p - y)^2, with y one-hot, multiplied out.
    return weighting.mean(squares - 2.0 * outcome.true_probability + 1.0)


_CATALOG = (
    Metric("loss", "Cross-entropy", _weigh_loss, False, (0.0, -math.log(SMALLEST_PROBABILITY))),
    Metric("accuracy", "Accuracy", _weigh_accuracy, is_proportion=True),
    Metric("top_2", "Top-2 accuracy", _make_top(2), is_proportion=True),
    Metric("top_3", "Top-3 accuracy", _make_top(3), is_proportion=True),
    Metric("top_5", "Top-5 accuracy", _make_top(5), is_proportion=True),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        _weigh_balanced_accuracy,
        count_classes=count_present,
    ),
    Metric(
        "precision_macro", "Precision, macro", _make_macro("precision"), count_classes=count_seen
    ),
    Metric("precision_weighted", "Precision, weighted", _make_weighted("precision")),
    Metric("recall_macro", "Recall, macro", _make_macro("recall"), count_classes=count_seen),
    Metric("recall_weighted", "Recall, weighted", _make_weighted("recall")),
    Metric("f1_macro", "F1, macro", _make_macro("f1"), count_classes=count_seen),
    Metric("f1_weighted", "F1, weighted", _make_weighted("f1")),
    Metric("roc_auc", "ROC AUC", _weigh_roc_auc, count_classes=count_present),
    Metric(
        "ece",
        "Calibration error",
        _weigh_ece,
        higher_is_better=False,
        expect_noise=_expect_calibration_noise,
    ),
    Metric("brier", "Brier score", _weigh_brier, False, (0.0, 2.0)),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _CATALOG}


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


def compute_losses(outcome: LabelOutcome) -> FloatArray:
    """Return the binary cross-entropy of each image, ``(n,)``: the mean over its classes."""
    own = np.where(outcome.targets, outcome.probabilities, 1.0 - outcome.probabilities)
    return np.asarray(-np.log(np.maximum(own, SMALLEST_PROBABILITY)).mean(axis=1))


def _weigh_label_loss(weighting: LabelWeighting) -> FloatArray:
    return weighting.mean(compute_losses(weighting.outcome))


def _weigh_map(weighting: LabelWeighting) -> FloatArray:
    return _mean_defined(weighting.ranking[0])


def _weigh_label_roc_auc(weighting: LabelWeighting) -> FloatArray:
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


def _weigh_hamming(weighting: LabelWeighting) -> FloatArray:
    outcome = weighting.outcome
    return weighting.mean((outcome.is_true != outcome.is_predicted).mean(axis=1))


def _weigh_exact_match(weighting: LabelWeighting) -> FloatArray:
    outcome = weighting.outcome
    return weighting.mean((outcome.is_true == outcome.is_predicted).all(axis=1))


_LARGEST_LOSS = -math.log(SMALLEST_PROBABILITY)

_LABEL_CATALOG = (
    LabelMetric("loss", "Binary cross-entropy", _weigh_label_loss, False, (0.0, _LARGEST_LOSS)),
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
    LabelMetric("f1_weighted", "F1, weighted", _make_weighted("f1")),
    LabelMetric(
        "precision_macro", "Precision, macro", _make_macro("precision"), count_classes=count_seen
    ),
    LabelMetric("precision_micro", "Precision, micro", _make_micro("precision")),
    LabelMetric("recall_macro", "Recall, macro", _make_macro("recall"), count_classes=count_seen),
    LabelMetric("recall_micro", "Recall, micro", _make_micro("recall")),
    LabelMetric("roc_auc", "ROC AUC", _weigh_label_roc_auc, count_classes=_count_ranked),
    LabelMetric("hamming", "Hamming loss", _weigh_hamming, higher_is_better=False),
    LabelMetric("exact_match", "Exact match", _weigh_exact_match, is_proportion=True),
)

LABEL_METRICS: dict[str, LabelMetric] = {metric.name: metric for metric in _LABEL_CATALOG}

#: How many metrics of each task are built in.
_BUILT_IN = {"multi_class": tuple(METRICS), "multi_label": tuple(LABEL_METRICS)}


def register_metric(metric: Metric | LabelMetric) -> None:
    """Add a metric of one's own; recipes name it as any other, every judgement measures it.

    One of the same name that was added before is replaced, so a notebook's cell may run
    twice.

    Args:
        metric: A ``Metric`` of one label an image, or a ``LabelMetric`` of label sets.

    Raises:
        ScoringError: If the name is no identifier, or that of a built-in metric.

    Example:
        >>> register_metric(
        ...     Metric("sure", "Sure", lambda seen: seen.mean(seen.outcome.confidence > 0.9))
        ... )
        >>> METRICS["sure"].compute([0, 1], [[0.95, 0.05], [0.4, 0.6]])
        0.5
    """
    is_label_metric = isinstance(metric, LabelMetric)
    task = "multi_label" if is_label_metric else "multi_class"
    if not metric.name.isidentifier() or metric.name in _BUILT_IN[task]:
        raise ScoringError(
            f"register_metric: a name is letters, digits and underscores and none of "
            f"{', '.join(_BUILT_IN[task])}; got {metric.name!r}"
        )
    if isinstance(metric, LabelMetric):
        LABEL_METRICS[metric.name] = metric
    else:
        METRICS[metric.name] = metric
    declare_metric(task, metric.name)
