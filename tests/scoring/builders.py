"""One score with its interval, and judgements from bare arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from tfclassify.scoring.intervals import Interval, plan_resamples, resample
from tfclassify.scoring.judgement import Judgement, judge, judge_metrics
from tfclassify.scoring.metrics import Metric
from tfclassify.scoring.outcome import LabelOutcome, Outcome


def bootstrap(
    metric: Metric,
    targets: ArrayLike,
    probabilities: ArrayLike,
    *,
    seed: int,
    resamples: int = 1000,
    level: float = 0.95,
    groups: Sequence[object] | None = None,
) -> Interval:
    """Score images with one metric, with its interval."""
    outcome = Outcome(targets, probabilities)
    plan = plan_resamples(outcome.images, seed=seed, resamples=resamples, groups=groups)
    samples = resample({metric.name: metric.weigh}, outcome, plan)
    found = judge_metrics({metric.name: metric}, outcome, plan, samples, level)
    return found[metric.name]


def judge_classes(
    targets: ArrayLike, probabilities: ArrayLike, classes: Sequence[str], **options: Any
) -> Judgement:
    """Judge images that have one label each, from class ids ``(n,)``."""
    return judge(Outcome(targets, probabilities), classes, **options)


def judge_labels(
    targets: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    thresholds: ArrayLike | None = None,
    crossed: ArrayLike | None = None,
    **options: Any,
) -> Judgement:
    """Judge label sets ``(n, C)`` by thresholds, or by crossed ones in their place."""
    used = thresholds if crossed is None else crossed
    outcome = LabelOutcome(targets, probabilities, used)
    return judge(outcome, classes, thresholds=thresholds, **options)
