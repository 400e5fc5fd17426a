"""The verdict on a classifier of label sets: every score, with its interval and its images.

Owns: what ``metrics.json`` holds under task multi_label, its making, writing and reading
back. Does not own: how a verdict looks (``report``), the thresholds (``thresholds``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.scoring.intervals import (
    Interval,
    ResamplePlan,
    make_interval,
    plan_resamples,
    resample,
)
from tfclassify.scoring.judgement import FORMAT, check_form, judge_metrics
from tfclassify.scoring.metrics import LABEL_METRICS, weigh_class_scores
from tfclassify.scoring.outcome import (
    DEFAULT_THRESHOLD,
    FloatArray,
    LabelOutcome,
    LabelWeighting,
)

#: What ``to_dict`` marks itself with.
TASK = "multi_label"

#: Where the thresholds came from: ``half``, 0.5 for want of any; ``stored``, with the
#: model; ``cross_fitted``, for each image from the other images judged.
ThresholdOrigin = Literal["half", "stored", "cross_fitted"]

_CLASS_SCORES = ("ap", "precision", "recall", "f1")


@dataclass(frozen=True)
class LabelScore:
    """How one class fares.

    Attributes:
        name: The class.
        support: Images that have it.
        predicted: Images that it was given to.
        hits: Images that have it and were given it.
        threshold: Least probability at which new images are given it.
        ap: Average precision; no value if no image has it.
        precision: ``hits / predicted``; no value if it is never given.
        recall: ``hits / support``; no value if no image has it.
        f1: Harmonic mean of the two; no value if it is neither there nor given.
    """

    name: str
    support: int
    predicted: int
    hits: int
    threshold: float
    ap: Interval
    precision: Interval
    recall: Interval
    f1: Interval


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
class MultiLabelJudgement:
    """Everything that was measured on one set of images that may have any number of labels.

    Attributes:
        classes: Class names, in the order of their ids.
        n: Images.
        groups: Independent groups that the intervals resample; None: single images.
        seed: Seed of the resamples.
        resamples: Number of resamples.
        metrics: Every metric of the registry, by name.
        class_scores: One for each class, in the order of their ids.
        threshold_origin: Where the thresholds behind the scores came from.
        label_counts: ``(images that have k labels, images that were given k)`` for each
            ``k`` from 0 on.
        pairs: ``[one][other]`` counts of images that have both; the diagonal is support.
        added: ``[there][absent]`` counts of images that have the first and were given the
            second, which they do not have.
    """

    classes: tuple[str, ...]
    n: int
    groups: int | None
    seed: int
    resamples: int
    metrics: dict[str, Interval]
    class_scores: tuple[LabelScore, ...]
    threshold_origin: ThresholdOrigin
    label_counts: tuple[tuple[int, int], ...]
    pairs: tuple[tuple[int, ...], ...]
    added: tuple[tuple[int, ...], ...]

    @property
    def task(self) -> str:
        """The task that was judged."""
        return TASK

    def top_additions(self, limit: int = 10) -> list[Addition]:
        """Return the most frequent labels that were given though absent, and beside which."""
        found = [
            Addition(
                given=self.classes[absent],
                beside=self.classes[there],
                images=images,
                chances=self.pairs[there][there] - self.pairs[there][absent],
            )
            for there, row in enumerate(self.added)
            for absent, images in enumerate(row)
            if images
        ]
        return sorted(found, key=lambda row: (-row.images, row.chances))[:limit]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what has no value is None, never NaN."""
        return {"format": FORMAT, "task": TASK, **asdict(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MultiLabelJudgement:
        """Rebuild what ``to_dict`` returned, after a trip through JSON too.

        Raises:
            ScoringError: If it is of another format or task, or something is missing.
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
                threshold_origin=values["threshold_origin"],
                label_counts=tuple((there, given) for there, given in values["label_counts"]),
                pairs=tuple(tuple(row) for row in values["pairs"]),
                added=tuple(tuple(row) for row in values["added"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ScoringError(
                f"metrics: the stored scores are incomplete, got {error!r}; evaluate the run again"
            ) from error


def judge_labels(
    targets: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    seed: int,
    thresholds: ArrayLike | None = None,
    crossed: ArrayLike | None = None,
    groups: Sequence[object] | None = None,
    resamples: int = 1000,
    level: float = 0.95,
) -> MultiLabelJudgement:
    """Measure a classifier on images that may have any number of labels.

    Args:
        targets: Multi-hot labels, ``(n, C)``.
        probabilities: ``(n, C)`` from 0 to 1.
        classes: The ``C`` class names.
        seed: Seed of the resamples.
        thresholds: What the model labels new images by: a number or ``(C,)``; None is 0.5.
        crossed: ``(n, C)`` thresholds to judge these images by, where the model's own were
            found on them; see ``thresholds.fit_thresholds``.
        groups: Group of each image where images of one are not independent; an empty
            string stands for an image on its own.
        resamples: How many resamples the intervals rest on. They draw images, not
            thresholds.
        level: Coverage that the intervals aim at.

    Raises:
        ScoringError: If the arrays, classes or groups do not fit together.
    """
    outcome = LabelOutcome(targets, probabilities, thresholds if crossed is None else crossed)
    if len(classes) != outcome.class_count:
        raise ScoringError(
            f"classes: must be one name a column of probabilities, {outcome.class_count}, "
            f"got {len(classes)}"
        )
    plan = plan_resamples(outcome.images, seed=seed, resamples=resamples, groups=groups)
    statistics = {name: metric.weigh for name, metric in LABEL_METRICS.items()}
    samples = resample({**statistics, "": _stack_class_scores}, outcome, plan)
    own = DEFAULT_THRESHOLD if thresholds is None else thresholds
    shown = np.broadcast_to(np.asarray(own, dtype=np.float64), outcome.class_count)
    origin: ThresholdOrigin = "half" if thresholds is None else "stored"
    pairs, added = _count_pairs(outcome)
    return MultiLabelJudgement(
        classes=tuple(classes),
        n=outcome.images,
        groups=None if groups is None else plan.unit_count,
        seed=seed,
        resamples=resamples,
        metrics=judge_metrics(LABEL_METRICS, outcome, outcome.weigh(), plan, samples, level),
        class_scores=_judge_classes(outcome, plan, samples[""], classes, shown, level),
        threshold_origin=origin if crossed is None else "cross_fitted",
        label_counts=_count_labels(outcome),
        pairs=pairs,
        added=added,
    )


def _stack_class_scores(weighting: LabelWeighting) -> FloatArray:
    """Return AP, precision, recall and F1 of each class, ``(R, 4, C)``, NaN where undefined."""
    scores = weigh_class_scores(weighting, empty=np.nan)
    return np.stack([weighting.ranking[0], *(scores[n] for n in _CLASS_SCORES[1:])], axis=1)


def _judge_classes(
    outcome: LabelOutcome,
    plan: ResamplePlan,
    samples: FloatArray,
    classes: Sequence[str],
    thresholds: FloatArray,
    level: float,
) -> tuple[LabelScore, ...]:
    values = _stack_class_scores(outcome.weigh())[0]
    rows = []
    for number, name in enumerate(classes):
        is_true, is_given = outcome.is_true[:, number], outcome.is_predicted[:, number]
        behind = (is_true, is_given, is_true, is_true | is_given)
        scores = {
            score: make_interval(
                float(values[position, number]),
                samples[:, position, number],
                n=int(behind[position].sum()),
                level=level,
                # Only these two are shares of images, so only they have exact bounds.
                trials=np.unique(plan.units[behind[position]]).size
                if score in ("precision", "recall")
                else None,
                recentred=score == "ap",
            )
            for position, score in enumerate(_CLASS_SCORES)
        }
        counted = (is_true, is_given, is_true & is_given)
        support, given, hits = (int(images.sum()) for images in counted)
        rows.append(LabelScore(name, support, given, hits, float(thresholds[number]), **scores))
    return tuple(rows)


def _count_labels(outcome: LabelOutcome) -> tuple[tuple[int, int], ...]:
    """Count the images that have, and that were given, so many labels."""
    there, given = outcome.is_true.sum(axis=1), outcome.is_predicted.sum(axis=1)
    length = int(max(there.max(), given.max())) + 1
    columns = (np.bincount(sizes, minlength=length).tolist() for sizes in (there, given))
    return tuple(zip(*columns, strict=True))


def _count_pairs(
    outcome: LabelOutcome,
) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    is_true = outcome.is_true.astype(np.int64)
    is_added = (outcome.is_predicted & ~outcome.is_true).astype(np.int64)
    pairs, added = is_true.T @ is_true, is_true.T @ is_added
    return tuple(map(tuple, pairs.tolist())), tuple(map(tuple, added.tolist()))


def _read_class_score(values: Mapping[str, Any]) -> LabelScore:
    intervals = {name: Interval.from_dict(values[name]) for name in _CLASS_SCORES}
    return LabelScore(**{**values, **intervals})
