"""What the choice of the best trial is worth, without the luck of having been chosen.

Owns: the naive choice, the cross-fitted one, and their scores. Does not own: the scores of
single trials (``workflows.tune``), intervals (``scoring``).

The best of many trials looks better on the images it was chosen on than it is. So the
images are dealt into parts, groups kept together; for each part the trial that is best on
all **other** parts answers for it. The score of these answers is that of the procedure
"search, then choose", with no image having a say in what answers for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfclassify.scoring.comparison import Statistic, resample_difference
from tfclassify.scoring.intervals import Interval, ResamplePlan, make_interval, plan_resamples
from tfclassify.scoring.multi_label_outcome import LabelOutcome
from tfclassify.scoring.outcome import Outcome
from tfclassify.scoring.tasks import find_class_ids, get_task

PARTS = 5
_RESAMPLES = 2000


@dataclass(frozen=True)
class TrialAnswers:
    """What the complete trials say of the validation images.

    Attributes:
        task: As in a recipe.
        metric: What the search is after.
        targets: One-hot or multi-hot labels, ``(n, C)``.
        numbers: Of the trials, ``T`` of them; the first is what the search started from.
        probabilities: ``(T, n, C)`` float32.
        groups: Group of each image, or None.
        threshold: multi_label: the fixed one; None is 0.5.
    """

    task: str
    metric: str
    targets: np.ndarray
    numbers: Sequence[int]
    probabilities: np.ndarray
    groups: Sequence[object] | None = None
    threshold: float | None = None

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Score every trial on some images, ``(T,)``; NaN where it has no value."""
        task, targets = get_task(self.task), self.targets[rows]
        return np.array(
            [
                task.compute([self.metric], targets, answers[rows], self.threshold)[self.metric]
                for answers in self.probabilities
            ]
        )

    def find_best(self, rows: np.ndarray) -> int:
        """Return the position of the trial that is best on some images, the first of equals."""
        higher = get_task(self.task).metrics[self.metric].higher_is_better
        scores = self.score(rows)
        worst = -np.inf if higher else np.inf
        scores = np.where(np.isnan(scores), worst, scores)
        return int(scores.argmax() if higher else scores.argmin())


@dataclass(frozen=True)
class Selection:
    """The chosen trial, and what choosing is worth.

    Attributes:
        best: Number of the trial that is best on all validation images.
        naive: Its score there: optimistic, since the same images chose it.
        start: Score of what the search started from.
        honest: The cross-fitted score of "search, then choose".
        gain: ``honest - start`` on the same images, with its paired interval.
        chosen: Number of the trial that answered for each part.
    """

    best: int
    naive: Interval
    start: Interval
    honest: Interval
    gain: Interval
    chosen: tuple[int, ...]


def select(answers: TrialAnswers, *, seed: int, level: float = 0.95) -> Selection:
    """Choose the best trial, and judge the choice by images that had no part in it.

    Args:
        answers: Of all complete trials, the start first.
        seed: Seed of the parts and the resamples.
        level: Coverage that the intervals aim at.
    """
    images = len(answers.targets)
    plan = plan_resamples(images, seed=seed, resamples=_RESAMPLES, groups=answers.groups)
    everything = np.arange(images)
    parts = deal_parts(plan, seed)
    crossed = np.empty_like(answers.probabilities[0])
    chosen = []
    for part in range(parts.max() + 1):
        inside = parts == part
        position = answers.find_best(everything[~inside])
        crossed[inside] = answers.probabilities[position][inside]
        chosen.append(answers.numbers[position])
    best = answers.find_best(everything)
    statistics = {
        "naive": _make_statistic(answers, answers.probabilities[best]),
        "start": _make_statistic(answers, answers.probabilities[0]),
        "honest": _make_statistic(answers, crossed),
    }
    intervals = {name: _judge(score, plan, level) for name, score in statistics.items()}
    gain = resample_difference(statistics["start"], statistics["honest"], plan, level=level)
    return Selection(answers.numbers[best], **intervals, gain=gain, chosen=tuple(chosen))


def deal_parts(plan: ResamplePlan, seed: int) -> np.ndarray:
    """Number the part of each image, ``(n,)`` from 0; groups stay together."""
    order = np.random.default_rng(seed).permutation(plan.unit_count)
    return np.asarray(order[plan.units] % max(2, min(PARTS, plan.unit_count)))


def _make_statistic(answers: TrialAnswers, probabilities: np.ndarray) -> Statistic:
    """Return the metric as a function of the images' weights."""
    task = get_task(answers.task)
    measure = task.metrics[answers.metric]
    if task.is_multi_label:
        labels = LabelOutcome(answers.targets, probabilities, answers.threshold)
        return lambda weights: measure.weigh(labels.weigh(weights))
    outcome = Outcome(find_class_ids(answers.targets), probabilities)
    return lambda weights: measure.weigh(outcome.weigh(weights))


def _judge(score: Statistic, plan: ResamplePlan, level: float) -> Interval:
    images = len(plan.units)
    value = float(score(np.ones((1, images)))[0])
    samples = np.concatenate([score(weights) for weights in plan.chunks()])
    return make_interval(value, samples, n=images, level=level)
