"""The verdict on a classifier: every score, with its interval and its images.

Owns: what ``metrics.json`` holds, its making, writing and reading back.
Does not own: how a verdict looks (``report``), where it is stored (``runs``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.scoring.calibration import (
    ReliabilityBin,
    apply_temperature,
    reliability_curve,
)
from tfclassify.scoring.intervals import (
    Interval,
    ResamplePlan,
    make_interval,
    plan_resamples,
    resample,
)
from tfclassify.scoring.metrics import METRICS, Measure, compute_metrics, weigh_class_scores
from tfclassify.scoring.outcome import BaseOutcome, BaseWeighting, FloatArray, Outcome, Weighting

#: Version of the written form; raised when a reader of the old one would go wrong.
FORMAT = 1

#: What ``to_dict`` marks itself with; what was written before there were two has no mark.
TASK = "multi_class"

WeightingT = TypeVar("WeightingT", bound=BaseWeighting[Any])

_CLASS_SCORES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class ClassScore:
    """How one class fares.

    Attributes:
        name: The class.
        support: Images of the class.
        predicted: Images predicted as the class.
        hits: Images of the class that were predicted as it.
        precision: ``hits / predicted``; no value if it is never predicted.
        recall: ``hits / support``; no value if it has no images.
        f1: Harmonic mean of the two; no value if it is neither there nor predicted.
    """

    name: str
    support: int
    predicted: int
    hits: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True)
class Calibration:
    """Confidence against accuracy, before and after a temperature.

    Attributes:
        curve: The reliability curve as the model gives its probabilities.
        temperature: The temperature stored with the model; None if there is none.
        is_crossed: Whether what follows applied to each image a temperature that was found
            on the others, since the stored one was found on these very images.
        curve_after: The curve at that temperature.
        ece_after: Calibration error at that temperature.
        loss_after: Cross-entropy at that temperature.
    """

    curve: tuple[ReliabilityBin, ...]
    temperature: float | None = None
    curve_after: tuple[ReliabilityBin, ...] | None = None
    ece_after: float | None = None
    loss_after: float | None = None
    is_crossed: bool = False


@dataclass(frozen=True)
class Judgement:
    """Everything that was measured on one set of labelled images.

    Attributes:
        classes: Class names, in the order of their ids.
        n: Images.
        groups: Independent groups that the intervals resample; None: single images.
        seed: Seed of the resamples.
        resamples: Number of resamples.
        metrics: Every metric of the registry, by name.
        class_scores: One for each class, in the order of their ids.
        confusion: ``[true][predicted]`` counts of images.
        calibration: Confidence against accuracy.
    """

    classes: tuple[str, ...]
    n: int
    groups: int | None
    seed: int
    resamples: int
    metrics: dict[str, Interval]
    class_scores: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: Calibration

    @property
    def task(self) -> str:
        """The task that was judged."""
        return TASK

    def top_confusions(self, limit: int = 5) -> list[tuple[str, str, int]]:
        """Return the most frequent ``(true class, predicted class, images)``, wrong ones only."""
        pairs = [
            (self.classes[true], self.classes[predicted], count)
            for true, row in enumerate(self.confusion)
            for predicted, count in enumerate(row)
            if true != predicted and count
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:limit]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what has no value is None, never NaN."""
        return {"format": FORMAT, "task": TASK, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Judgement:
        """Rebuild what ``to_dict`` returned, after a trip through JSON too.

        Raises:
            ScoringError: If it is of another format or something is missing.
        """
        check_form(values, TASK)
        try:
            return cls(
                classes=tuple(values["classes"]),
                n=values["n"],
                groups=values["groups"],
                seed=values["seed"],
                resamples=values["resamples"],
                metrics={k: Interval.from_dict(v) for k, v in values["metrics"].items()},
                class_scores=tuple(_read_class_score(row) for row in values["class_scores"]),
                confusion=tuple(tuple(row) for row in values["confusion"]),
                calibration=_read_calibration(values["calibration"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ScoringError(
                f"metrics: the stored scores are incomplete, got {error!r}; evaluate the run again"
            ) from error


def judge(
    targets: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    seed: int,
    groups: Sequence[object] | None = None,
    temperature: float | None = None,
    softened: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> Judgement:
    """Measure a classifier on labelled images.

    Args:
        targets: True class ids, ``(n,)``.
        probabilities: ``(n, C)``, rows summing to 1.
        classes: The ``C`` class names.
        seed: Seed of the resamples.
        groups: Group of each image where images of one are not independent; an empty
            string stands for an image on its own.
        temperature: A temperature to show the calibration after; it changes no score.
        softened: ``(n, C)`` probabilities after, each image by a temperature that it had no
            part in; None applies ``temperature`` to all.
        resamples: How many resamples the intervals rest on.
        level: Coverage that the intervals aim at.

    Raises:
        ScoringError: If the arrays, classes or groups do not fit together.
    """
    outcome = Outcome(targets, probabilities)
    if len(classes) != outcome.class_count:
        raise ScoringError(
            f"classes: must be one name a column of probabilities, {outcome.class_count}, "
            f"got {len(classes)}"
        )
    plan = plan_resamples(outcome.images, seed=seed, resamples=resamples, groups=groups)
    statistics = {name: metric.weigh for name, metric in METRICS.items()}
    samples = resample({**statistics, "": _stack_class_scores}, outcome, plan)
    return Judgement(
        classes=tuple(classes),
        n=outcome.images,
        groups=None if groups is None else plan.unit_count,
        seed=seed,
        resamples=resamples,
        metrics=judge_metrics(METRICS, outcome, outcome.weigh(), plan, samples, level),
        class_scores=_judge_classes(outcome, plan, samples[""], classes, level),
        confusion=_count_confusion(outcome),
        calibration=_judge_calibration(outcome, temperature, softened),
    )


def check_form(values: Mapping[str, Any], task: str) -> None:
    """Refuse stored scores of another format or task.

    Raises:
        ScoringError: If they are.
    """
    if values.get("format") != FORMAT:
        raise ScoringError(
            f"metrics: this version reads format {FORMAT}, got {values.get('format')!r}; "
            f"evaluate the run again"
        )
    if values.get("task", TASK) != task:
        raise ScoringError(f"metrics: must be of task {task}, got {values.get('task')!r}")


def _stack_class_scores(weighting: Weighting) -> FloatArray:
    """Return precision, recall and F1 of each class, ``(R, 3, C)``, NaN where undefined."""
    scores = weigh_class_scores(weighting, empty=np.nan)
    return np.stack([scores[name] for name in _CLASS_SCORES], axis=1)


def judge_metrics(
    metrics: Mapping[str, Measure[WeightingT]],
    outcome: BaseOutcome,
    weighting: WeightingT,
    plan: ResamplePlan,
    samples: Mapping[str, FloatArray],
    level: float,
) -> dict[str, Interval]:
    """Put an interval round every metric.

    Args:
        metrics: The task's metrics.
        outcome: The images.
        weighting: The same, each weighing 1.
        plan: What was resampled.
        samples: By metric, its ``R`` resampled values.
        level: Coverage aimed at.
    """
    found = {}
    for name, metric in metrics.items():
        interval = make_interval(
            float(metric.weigh(weighting)[0]),
            samples[name],
            n=outcome.images,
            level=level,
            trials=plan.unit_count if metric.is_proportion else None,
            recentred=metric.is_recentred,
            noise=metric.expect_noise(outcome) if metric.expect_noise else 0.0,
        )
        if metric.count_classes is not None and interval.value is not None:
            averaged = metric.count_classes(weighting)
            if averaged < outcome.class_count:
                interval = replace(interval, classes=(averaged, outcome.class_count))
        found[name] = interval
    return found


def _judge_classes(
    outcome: Outcome,
    plan: ResamplePlan,
    samples: FloatArray,
    classes: Sequence[str],
    level: float,
) -> tuple[ClassScore, ...]:
    values = _stack_class_scores(Weighting(outcome))[0]
    rows = []
    for class_id, name in enumerate(classes):
        is_true = outcome.targets == class_id
        is_predicted = outcome.predicted == class_id
        behind = (is_predicted, is_true, is_true | is_predicted)
        scores = {
            score: make_interval(
                float(values[position, class_id]),
                samples[:, position, class_id],
                n=int(behind[position].sum()),
                level=level,
                # Only the first two are shares of images, so only they have exact bounds.
                trials=None if score == "f1" else np.unique(plan.units[behind[position]]).size,
            )
            for position, score in enumerate(_CLASS_SCORES)
        }
        counted = (is_true, is_predicted, is_true & is_predicted)
        support, predicted, hits = (int(images.sum()) for images in counted)
        rows.append(ClassScore(name, support, predicted, hits, **scores))
    return tuple(rows)


def _count_confusion(outcome: Outcome) -> tuple[tuple[int, ...], ...]:
    size = outcome.class_count
    cells = np.bincount(outcome.targets * size + outcome.predicted, minlength=size * size)
    return tuple(tuple(row) for row in cells.reshape(size, size).tolist())


def _judge_calibration(
    outcome: Outcome, temperature: float | None, crossed: ArrayLike | None
) -> Calibration:
    curve = reliability_curve(outcome.targets, outcome.probabilities)
    if temperature is None:
        return Calibration(curve)
    softened = crossed
    if softened is None:
        softened = apply_temperature(outcome.probabilities, temperature)
    after = compute_metrics(("ece", "loss"), outcome.targets, softened)
    return Calibration(
        curve=curve,
        temperature=temperature,
        curve_after=reliability_curve(outcome.targets, softened),
        ece_after=after["ece"],
        loss_after=after["loss"],
        is_crossed=crossed is not None,
    )


def _read_class_score(values: Mapping[str, Any]) -> ClassScore:
    intervals = {name: Interval.from_dict(values[name]) for name in _CLASS_SCORES}
    return ClassScore(**{**values, **intervals})


def _read_calibration(values: Mapping[str, Any]) -> Calibration:
    after = values["curve_after"]
    return Calibration(
        **{
            **values,
            "curve": tuple(ReliabilityBin(**row) for row in values["curve"]),
            "curve_after": after and tuple(ReliabilityBin(**row) for row in after),
        }
    )
