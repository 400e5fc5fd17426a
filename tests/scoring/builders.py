"""One score with its interval, as a judgement makes each of its own."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from tfclassify.scoring.intervals import Interval, plan_resamples, resample
from tfclassify.scoring.judgement import judge_metrics
from tfclassify.scoring.metrics import Metric
from tfclassify.scoring.outcome import Outcome


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
    found = judge_metrics({metric.name: metric}, outcome, outcome.weigh(), plan, samples, level)
    return found[metric.name]
