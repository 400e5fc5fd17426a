"""The verdict on a classifier: every score, with its interval and its images.

Owns: what ``metrics.json`` holds for either task, its making, writing and reading back.
Does not own: how a verdict looks (``pages``), where it is stored (``runs``), thresholds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

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
    Scores,
    make_interval,
    plan_resamples,
    resample,
)
from tfclassify.scoring.metrics import (
    LABEL_METRICS,
    METRICS,
    Measure,
    compute_scores,
    weigh_class_scores,
)
from tfclassify.scoring.outcome import (
    DEFAULT_THRESHOLD,
    BaseOutcome,
    BaseWeighting,
    BoolArray,
    FloatArray,
    IntArray,
    LabelOutcome,
    LabelWeighting,
    Outcome,
)

#: Version of the written form; raised when a reader of the old one would go wrong.
FORMAT = 2

#: Where the thresholds came from: ``half``, 0.5 for want of any; ``stored``, with the
#: model; ``cross_fitted``, for each image from the other images judged.
ThresholdOrigin = Literal["half", "stored", "cross_fitted"]

#: Rows of counts. Of pairs of classes only those that occur are kept: a table of all of them
#: would grow with the square of the classes.
Counts = tuple[tuple[int, ...], ...]

#: Pairs of labels whose additions are kept, the most frequent ones.
MOST_ADDITIONS = 10_000


@dataclass(frozen=True)
class ClassScore:
    """How one class fares.

    Attributes:
        name: The class.
        support: Images of the class.
        predicted: Images predicted as the class, or given the label.
        hits: Images of the class that were.
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

    #: The scores of a class, each of which has an interval.
    SCORES: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassScore:
        """Rebuild a row from plain values."""
        return cls(**{**values, **{name: Interval.from_dict(values[name]) for name in cls.SCORES}})


@dataclass(frozen=True)
class LabelScore(ClassScore):
    """How one class fares where an image may have several.

    Attributes:
        ap: Average precision; no value if no image has the label.
        threshold: Least probability at which new images are given it.
    """

    ap: Interval
    threshold: float = DEFAULT_THRESHOLD

    SCORES = (*ClassScore.SCORES, "ap")


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

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Rebuild it from plain values."""
        after = values["curve_after"]
        curves = {
            "curve": tuple(ReliabilityBin(**row) for row in values["curve"]),
            "curve_after": after and tuple(ReliabilityBin(**row) for row in after),
        }
        return cls(**{**values, **curves})


@dataclass(frozen=True)
class Addition:
    """A label that was given though absent, beside one that was there.

    Attributes:
        given: The label that is not there.
        beside: The label that is.
        images: Images to which that happened.
        chances: Images that have ``beside`` and not ``given``.
    """

    given: str
    beside: str
    images: int
    chances: int


@dataclass(frozen=True)
class Fitted:
    """What was fitted to validation images, and is shown beside the scores; see ``judge``."""

    temperature: float | None
    softened: ArrayLike | None
    thresholds: ArrayLike | None


@dataclass(frozen=True)
class Judgement(ABC):
    """Everything that was measured on one set of labelled images.

    Attributes:
        classes: Class names, in the order of their ids.
        n: Images.
        groups: Independent groups that the intervals resample; None: single images.
        seed: Seed of the resamples.
        resamples: Number of resamples.
        metrics: Every metric of the registry, by name.
        class_scores: One for each class, in the order of their ids.
    """

    classes: tuple[str, ...]
    n: int
    groups: int | None
    seed: int
    resamples: int
    metrics: Scores
    class_scores: tuple[ClassScore, ...]

    #: The task that was judged, as in a recipe.
    task: ClassVar[str]
    #: What is measured, by name.
    measures: ClassVar[Mapping[str, Measure[Any]]]
    #: What a row of ``class_scores`` is.
    score_kind: ClassVar[type[ClassScore]] = ClassScore

    @property
    @abstractmethod
    def wrong(self) -> int:
        """Images whose answer is not their label, or not just their labels."""

    @property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """How often answers are right, by their confidence; empty where there is no such curve."""
        return ()

    @staticmethod
    @abstractmethod
    def measure_own(outcome: Any, scores: tuple[Any, ...], fitted: Fitted) -> dict[str, Any]:
        """Measure what only this kind of judgement has, and complete its ``class_scores``.

        Args:
            outcome: The images.
            scores: ``class_scores`` as measured.
            fitted: What was fitted to validation images.
        """

    @staticmethod
    @abstractmethod
    def read_own(values: Mapping[str, Any]) -> dict[str, Any]:
        """Read what only this kind of judgement has, from plain values."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what has no value is None, never NaN."""
        return {"format": FORMAT, "task": self.task, **asdict(self)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Judgement:
        """Rebuild what ``to_dict`` returned, after a trip through JSON too.

        Raises:
            ScoringError: If it is of another format or an unknown task, or something is
                missing or damaged.
        """
        # What was written before there were two tasks does not name its own.
        task = values.get("task", ClassJudgement.task)
        if values.get("format") != FORMAT:
            raise ScoringError(
                f"metrics: this version reads format {FORMAT}, got {values.get('format')!r}; "
                f"evaluate the run again"
            )
        if task not in tuple(_KINDS):  # it may be anything, a list too
            raise ScoringError(
                f"metrics: task must be {' or '.join(_KINDS)}, got {task!r}; evaluate the run again"
            )
        kind = _KINDS[task]
        try:
            found: Judgement = kind(
                classes=tuple(values["classes"]),
                n=values["n"],
                groups=values["groups"],
                seed=values["seed"],
                resamples=values["resamples"],
                metrics=Scores.from_dict(values["metrics"]),
                class_scores=tuple(map(kind.score_kind.from_dict, values["class_scores"])),
                **kind.read_own(values),
            )
            return found
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ScoringError(
                f"metrics: the stored scores are incomplete, got {error!r}; evaluate the run again"
            ) from error


@dataclass(frozen=True)
class ClassJudgement(Judgement):
    """The judgement of images that have one label each.

    Attributes:
        confusion: ``(true, predicted, images)`` of each pair of class ids that occurs, in
            the order of the classes; never more rows than images.
        calibration: Confidence against accuracy.
    """

    confusion: Counts
    calibration: Calibration

    task = "multi_class"
    measures = METRICS

    @property
    def reliability(self) -> tuple[ReliabilityBin, ...]:
        """The curve at the stored temperature, or as the model gives its probabilities."""
        return self.calibration.curve_after or self.calibration.curve

    @property
    def wrong(self) -> int:
        """Images that were misclassified."""
        return sum(images for true, predicted, images in self.confusion if true != predicted)

    def top_confusions(self, limit: int = 5) -> list[tuple[str, str, int]]:
        """Return the most frequent ``(true class, predicted class, images)``, wrong ones only."""
        pairs = [
            (self.classes[true], self.classes[predicted], images)
            for true, predicted, images in self.confusion
            if true != predicted
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:limit]

    @staticmethod
    def measure_own(
        outcome: Outcome, scores: tuple[ClassScore, ...], fitted: Fitted
    ) -> dict[str, Any]:
        """Count the confusions and measure the calibration."""
        calibration = _judge_calibration(outcome, fitted.temperature, fitted.softened)
        return {
            "class_scores": scores,
            "confusion": _count_confusion(outcome),
            "calibration": calibration,
        }

    @staticmethod
    def read_own(values: Mapping[str, Any]) -> dict[str, Any]:
        """Read what only this kind of judgement has."""
        return {
            "confusion": _read_counts(values["confusion"]),
            "calibration": Calibration.from_dict(values["calibration"]),
        }


@dataclass(frozen=True)
class LabelJudgement(Judgement):
    """The judgement of images that may have any number of labels.

    Attributes:
        threshold_origin: Where the thresholds behind the scores came from.
        label_counts: ``(images that have k labels, images that were given k)`` for each
            ``k`` from 0 on.
        added: ``(there, absent, images, chances)`` of class ids: images that have the first
            and were given the second, which they do not have, and images that have the first
            and not the second. The pairs to which it happened, at most ``MOST_ADDITIONS``,
            the most frequent first.
    """

    class_scores: tuple[LabelScore, ...]
    threshold_origin: ThresholdOrigin
    label_counts: Counts
    added: Counts

    task = "multi_label"
    measures = LABEL_METRICS
    score_kind = LabelScore

    @property
    def wrong(self) -> int:
        """Images that were not given exactly the labels that they have."""
        return self.n - round((self.metrics["exact_match"].value or 0.0) * self.n)

    def top_additions(self, limit: int = 10) -> list[Addition]:
        """Return the most frequent labels that were given though absent, and beside which."""
        return [
            Addition(self.classes[absent], self.classes[there], images, chances)
            for there, absent, images, chances in self.added[:limit]
        ]

    @staticmethod
    def measure_own(
        outcome: LabelOutcome, scores: tuple[LabelScore, ...], fitted: Fitted
    ) -> dict[str, Any]:
        """Put the stored thresholds to the classes, and count labels."""
        own = DEFAULT_THRESHOLD if fitted.thresholds is None else fitted.thresholds
        shown = np.broadcast_to(np.asarray(own, dtype=np.float64), outcome.class_count)
        origin: ThresholdOrigin = "half" if fitted.thresholds is None else "stored"
        if not (outcome.thresholds == shown).all():
            origin = "cross_fitted"
        return {
            "class_scores": tuple(
                replace(row, threshold=value)
                for row, value in zip(scores, shown.tolist(), strict=True)
            ),
            "threshold_origin": origin,
            "label_counts": _count_labels(outcome),
            "added": _count_additions(outcome.is_true, outcome.is_predicted),
        }

    @staticmethod
    def read_own(values: Mapping[str, Any]) -> dict[str, Any]:
        """Read what only this kind of judgement has."""
        return {
            "threshold_origin": values["threshold_origin"],
            "label_counts": _read_counts(values["label_counts"]),
            "added": _read_counts(values["added"]),
        }


_KINDS: dict[str, Any] = {kind.task: kind for kind in (ClassJudgement, LabelJudgement)}


def _read_counts(rows: Sequence[Sequence[int]]) -> Counts:
    return tuple(tuple(row) for row in rows)


def judge(
    outcome: Outcome | LabelOutcome,
    classes: Sequence[str],
    *,
    seed: int,
    groups: Sequence[object] | None = None,
    temperature: float | None = None,
    softened: ArrayLike | None = None,
    thresholds: ArrayLike | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> Judgement:
    """Measure a classifier on labelled images, whatever its task.

    Args:
        outcome: The images' labels and the probabilities; ``tasks.Task.make_outcome``.
        classes: The ``C`` class names.
        seed: Seed of the resamples.
        groups: Group of each image where images of one are not independent; an empty
            string stands for an image on its own.
        temperature: multi_class: to show the calibration after; it changes no score.
        softened: multi_class: ``(n, C)`` probabilities after, each image by a temperature
            that it had no part in; None applies ``temperature`` to all.
        thresholds: multi_label: what the model labels new images by, a number or ``(C,)``;
            None is 0.5. The outcome has others where these were found on its images.
        resamples: How many resamples the intervals rest on. They draw images, not
            thresholds.
        level: Coverage that the intervals aim at.

    Raises:
        ScoringError: If the arrays, classes or groups do not fit together.
    """
    if len(classes) != outcome.class_count:
        raise ScoringError(
            f"classes: must be one name a column of probabilities, {outcome.class_count}, "
            f"got {len(classes)}"
        )
    plan = plan_resamples(outcome.images, seed=seed, resamples=resamples, groups=groups)
    kind = _KINDS[outcome.task]
    statistics: dict[str, Any] = {name: each.weigh for name, each in kind.measures.items()}
    # Without an image or a prediction a class has no score on any resample.
    seen = np.flatnonzero((outcome.is_true | outcome.is_predicted).any(axis=0))
    statistics[""] = lambda weighting: _stack_class_scores(weighting)[:, :, seen]
    samples = resample(statistics, outcome, plan)
    fitted = Fitted(temperature, softened, thresholds)
    scores = _judge_classes(outcome, plan, samples[""], seen, classes, level, kind.score_kind)
    found: Judgement = kind(
        classes=tuple(classes),
        n=outcome.images,
        groups=None if groups is None else plan.unit_count,
        seed=seed,
        resamples=resamples,
        metrics=judge_metrics(kind.measures, outcome, plan, samples, level),
        **kind.measure_own(outcome, scores, fitted),
    )
    return found


def judge_metrics(
    metrics: Mapping[str, Measure[Any]],
    outcome: Outcome | LabelOutcome,
    plan: ResamplePlan,
    samples: Mapping[str, FloatArray],
    level: float,
) -> Scores:
    """Put an interval round every metric.

    Args:
        metrics: The task's metrics.
        outcome: The images.
        plan: What was resampled.
        samples: By metric, its ``R`` resampled values.
        level: Coverage aimed at.
    """
    found, weighting = Scores(), outcome.weigh()
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


def _stack_class_scores(weighting: BaseWeighting[Any]) -> FloatArray:
    """Return the scores of each class, ``(R, 3 or 4, C)``, NaN where undefined."""
    found = list(weigh_class_scores(weighting, empty=np.nan).values())
    if isinstance(weighting, LabelWeighting):
        found.append(weighting.ranking[0])
    return np.stack(found, axis=1)


def _judge_classes(
    outcome: Outcome | LabelOutcome,
    plan: ResamplePlan,
    samples: FloatArray,
    seen: IntArray,
    classes: Sequence[str],
    level: float,
    kind: type[ClassScore],
) -> tuple[ClassScore, ...]:
    values = _stack_class_scores(outcome.weigh())[0]
    places = {number: place for place, number in enumerate(seen.tolist())}
    none = np.empty(0)
    rows = []
    for number, name in enumerate(classes):
        is_true, is_predicted = outcome.is_true[:, number], outcome.is_predicted[:, number]
        behind = (is_predicted, is_true, is_true | is_predicted, is_true)
        scores = {
            name_of_score: make_interval(
                float(values[position, number]),
                samples[:, position, places[number]] if number in places else none,
                n=int(behind[position].sum()),
                level=level,
                # Only the first two are shares of images, so only they have exact bounds.
                trials=np.unique(plan.units[behind[position]]).size if position < 2 else None,
                recentred=name_of_score == "ap",
            )
            for position, name_of_score in enumerate(kind.SCORES)
        }
        counted = (is_true, is_predicted, is_true & is_predicted)
        support, predicted, hits = (int(images.sum()) for images in counted)
        rows.append(kind(name, support, predicted, hits, **scores))
    return tuple(rows)


def _count_confusion(outcome: Outcome) -> Counts:
    pairs = np.stack([outcome.targets, outcome.predicted], axis=1)
    cells, images = np.unique(pairs, axis=0, return_counts=True)
    return _read_counts(np.column_stack([cells, images]).tolist())


def _judge_calibration(
    outcome: Outcome, temperature: float | None, crossed: ArrayLike | None
) -> Calibration:
    curve = reliability_curve(outcome.targets, outcome.probabilities)
    if temperature is None:
        return Calibration(curve)
    softened = crossed
    if softened is None:
        softened = apply_temperature(outcome.probabilities, temperature)
    after = compute_scores(Outcome(outcome.targets, softened), (METRICS["ece"], METRICS["loss"]))
    return Calibration(
        curve=curve,
        temperature=temperature,
        curve_after=reliability_curve(outcome.targets, softened),
        ece_after=after["ece"],
        loss_after=after["loss"],
        is_crossed=crossed is not None,
    )


def _count_additions(is_true: BoolArray, is_predicted: BoolArray) -> Counts:
    """Count the labels given though absent beside each that is there; see ``LabelJudgement``."""
    found = np.zeros((0, 4), dtype=np.int64)
    for there in np.flatnonzero(is_true.any(axis=0)):
        own = is_true[:, there]
        # A row of all classes at a time, and never more than a few rows: pairs are many.
        images = (is_predicted[own] & ~is_true[own]).sum(axis=0)
        absent = np.flatnonzero(images)
        chances = (~is_true[own]).sum(axis=0)[absent]
        rows = [np.full(len(absent), there), absent, images[absent], chances]
        found = np.concatenate([found, np.stack(rows, axis=1)])
        if len(found) > 2 * MOST_ADDITIONS:
            found = _sort_additions(found)
    return _read_counts(_sort_additions(found).tolist())


def _sort_additions(found: IntArray) -> IntArray:
    """Keep the most frequent, and of equal ones those with the fewest chances, in order."""
    there, absent, images, chances = found.T
    return found[np.lexsort((absent, there, chances, -images))[:MOST_ADDITIONS]]


def _count_labels(outcome: BaseOutcome) -> Counts:
    """Count the images that have, and that were given, so many labels."""
    there, given = outcome.is_true.sum(axis=1), outcome.is_predicted.sum(axis=1)
    length = int(max(there.max(), given.max())) + 1
    columns = (np.bincount(sizes, minlength=length).tolist() for sizes in (there, given))
    return tuple(zip(*columns, strict=True))
