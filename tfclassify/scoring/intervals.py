"""How far a score could be off, given how few images it rests on.

Owns: the bootstrap over images or over groups of images, and how its resamples
become an interval. Does not own: what is resampled (``metrics``).

Method. Images are drawn with replacement, as many as there are; where groups are
given, whole groups are drawn, since images of one group are not independent. The
interval lies between two percentiles of the resampled scores. Five cases are special:

- A resample in which the score has no value (its class was not drawn) is left out.
- A score without a value on the images themselves has no interval.
- The interval is widened to hold the score itself where it does not: resampling
  pushes a few scores to one side.
- The calibration error is a sum of distances, which chance alone lifts above 0: 0.15 with
  60 images of a model that is perfectly calibrated. Its interval is of the error that
  endless images would show. Resampling lifts it once more, by as much as can be seen: its
  upper end is lowered by twice that, its lower end by what chance would give a calibrated
  model. See ``docs/scores.md`` for how often it then holds the truth.
- Average precision is lifted by resampling itself: an image that is drawn twice ranks
  beside its copy, and a class whose few images are not drawn drops out. Its resampled
  scores are shifted so that their mean is the score. Measured on simulated images, 20
  classes of 1 to 8 %, intervals that aim at 95 % then hold the truth in 93 % instead of
  72 % of samples of 300 images, and 92 % instead of 88 % of samples of 1000. With 120 it
  is 53 % instead of 32 %: so few images flatter average precision as such.
- Where all resamples agree, the bootstrap knows nothing: 20 right of 20 does not mean
  that the model is never wrong. A proportion gets the exact binomial bound there,
  any other score no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import AbsentNameError, ScoringError
from tfclassify.recipe.wording import join_names, suggest
from tfclassify.scoring.outcome import FloatArray, IntArray

#: Weights held at once, in elements; bounds memory at about 100 MB with temporaries.
CHUNK_ELEMENTS = 2_000_000

Method = Literal["bootstrap", "exact", "none"]

WeightingT = TypeVar("WeightingT")
SeenT = TypeVar("SeenT", covariant=True)


class Weighable(Protocol[SeenT]):
    """An outcome of any task: images that can be seen under many weightings."""

    @property
    def class_count(self) -> int:
        """Number of classes."""
        ...

    def weigh(self, weights: FloatArray) -> SeenT:
        """See the images under ``(R, n)`` weights."""
        ...


@dataclass(frozen=True)
class Interval:
    """A score and where it could truly lie.

    Attributes:
        value: The score on all images; None where it has no value.
        low: Lower end; None where there is no interval.
        high: Upper end; None where there is no interval.
        n: Images that the score rests on.
        level: Coverage that the interval aims at, such as 0.95.
        method: ``bootstrap``, ``exact`` (binomial) or ``none``.
        classes: ``(averaged, all)`` of a mean over classes that leaves some out, since they
            are absent and were never predicted; None of any other score.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    level: float = 0.95
    method: Method = "bootstrap"
    classes: tuple[int, int] | None = None

    def describe(self, digits: int = 3) -> str:
        """Write it on one line, such as ``0.923 (0.901-0.943, n=620)``; a dash if empty."""
        if self.value is None:
            return "–"
        notes = [] if self.low is None else [f"{self.low:.{digits}f}–{self.high:.{digits}f}"]
        notes += [f"n={self.n}", *self.remarks]
        return f"{self.value:.{digits}f} ({', '.join(notes)})"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What belongs beside the number: on how many classes it is, where not on all."""
        return () if self.classes is None else ("{} of {} classes".format(*self.classes),)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without NaN."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "level": self.level,
            "method": self.method,
            "classes": None if self.classes is None else list(self.classes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interval:
        """Rebuild what ``to_dict`` returned."""
        classes = values.get("classes")
        return cls(**{**values, "classes": None if classes is None else tuple(classes)})


class Scores(dict[str, Interval]):
    """Scores by metric; a name that is none of them is an error that gives the nearest."""

    def __missing__(self, name: object) -> Interval:
        raise AbsentNameError(
            f"{name!r}: is none of the scores, which are {join_names(self, 'and')}"
            f"{suggest(name, self)}"
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Mapping[str, Any]]) -> Scores:
        """Rebuild scores from what JSON holds."""
        return cls((name, Interval.from_dict(value)) for name, value in values.items())


@dataclass(frozen=True)
class ResamplePlan:
    """Which resamples to draw; the same plan always draws the same ones.

    Attributes:
        units: What is drawn, ``(n,)``: images with equal numbers are drawn together.
        seed: Seed of the draws.
        resamples: How many, ``R``.
    """

    units: IntArray
    seed: int
    resamples: int = 1000

    @property
    def unit_count(self) -> int:
        """Number of units: images, or groups of images."""
        return int(self.units.max()) + 1

    def chunks(self, classes: int = 1) -> Iterator[FloatArray]:
        """Yield the weights of all resamples, ``(r, n)`` at a time, ``R`` rows in all.

        A weight says how often the resample holds the image. Chunking depends on the
        number of images and classes, and the draws do not depend on the chunking.

        Args:
            classes: Values that each resample is made into, such as one a class.
        """
        generator = np.random.default_rng(self.seed)
        rows = max(1, CHUNK_ELEMENTS // max(len(self.units), classes))
        for start in range(0, self.resamples, rows):
            count = min(rows, self.resamples - start)
            drawn = generator.integers(self.unit_count, size=(count, self.unit_count))
            drawn += np.arange(count)[:, None] * self.unit_count
            times = np.bincount(drawn.ravel(), minlength=count * self.unit_count)
            yield times.reshape(count, -1)[:, self.units].astype(np.float64)


def plan_resamples(
    images: int, *, seed: int, resamples: int = 1000, groups: Sequence[object] | None = None
) -> ResamplePlan:
    """Plan a bootstrap of ``images`` images.

    Args:
        images: How many there are, ``n``.
        seed: Seed of the draws.
        resamples: How many resamples.
        groups: Group of each image, ``n`` of them; an empty string or None stands
            for an image on its own.

    Raises:
        ScoringError: If there is not one group an image, or no resample.
    """
    if resamples < 1:
        raise ScoringError(f"resamples: must be at least 1, got {resamples}")
    if groups is None:
        return ResamplePlan(np.arange(images), seed, resamples)
    if len(groups) != images:
        raise ScoringError(f"groups: must be one an image, {images}, got {len(groups)}")
    numbers: dict[object, int] = {}
    units = []
    for position, group in enumerate(groups):
        # An object of its own as the key, so that no two lone images ever meet.
        key = ("alone", position) if group is None or group == "" else ("group", group)
        units.append(numbers.setdefault(key, len(numbers)))
    return ResamplePlan(np.array(units, dtype=np.int64), seed, resamples)


#: Parts that images are cut into where something is found on some and judged on others.
FOLDS = 5


def deal_parts(images: int, *, seed: int, groups: Sequence[object] | None = None) -> IntArray:
    """Cut images into parts for cross-fitting, whole groups at a time.

    What is fitted on the very images that it is judged on (a threshold, a temperature, the
    weights of an ensemble) is judged too well. So each part is judged by what was found on
    the others.

    Args:
        images: How many there are, ``n``.
        seed: Decides the parts.
        groups: Group of each image, as for ``plan_resamples``.

    Returns:
        The number of each image's part, ``(n,)``: 5 parts of equally many groups, or as
        many as there are groups.
    """
    plan = plan_resamples(images, seed=seed, groups=groups)
    order = np.random.default_rng(seed).permutation(plan.unit_count)
    return np.asarray(order[plan.units] % min(FOLDS, plan.unit_count))


def resample(
    statistics: Mapping[str, Callable[[WeightingT], FloatArray]],
    outcome: Weighable[WeightingT],
    plan: ResamplePlan,
) -> dict[str, FloatArray]:
    """Compute several statistics on the same resamples.

    Args:
        statistics: Functions of a weighting that return ``(r, ...)``.
        outcome: The images.
        plan: Which resamples.

    Returns:
        By name, the ``R`` values: ``(R, ...)``.
    """
    parts: dict[str, list[FloatArray]] = {name: [] for name in statistics}
    for weights in plan.chunks(outcome.class_count):
        weighting = outcome.weigh(weights)
        for name, statistic in statistics.items():
            parts[name].append(statistic(weighting))
    return {name: np.concatenate(values) for name, values in parts.items()}


def make_interval(
    value: float,
    samples: NDArray[Any],
    *,
    n: int,
    level: float = 0.95,
    trials: int | None = None,
    recentred: bool = False,
    noise: float = 0.0,
) -> Interval:
    """Make an interval of a score's resampled values.

    Args:
        value: The score on all images; NaN if it has none.
        samples: The score of each resample, ``(R,)``; NaN if it has none.
        n: Images that the score rests on.
        level: Coverage aimed at, within (0, 1).
        trials: For a proportion, the independent trials behind it: images, or groups.
        recentred: Whether to shift the resampled values of a score from 0 to 1 so that
            their mean is the score.
        noise: How far above 0 chance alone would lift a sum of distances, such as the
            calibration error; see the module's text.

    Raises:
        ScoringError: If the level is not within (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ScoringError(f"level: must be between 0 and 1, got {level!r}")
    if math.isnan(value):
        return Interval(None, None, None, n, level, "none")
    defined = samples[~np.isnan(samples)]
    if recentred and defined.size:
        defined = np.clip(defined + (value - defined.mean()), 0.0, 1.0)
    # A hair of tolerance: sums in another order may differ in their last bits.
    if defined.size and np.ptp(defined) > 1e-12:
        low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
        if noise:
            bias = float(defined.mean()) - value
            low, high = max(0.0, low - bias - noise), high - 2.0 * bias
        return Interval(value, float(min(low, value)), float(max(high, value)), n, level)
    if trials and value in (0.0, 1.0):
        low, high = _bound_sure_proportion(value, trials, level)
        return Interval(value, low, high, n, level, "exact")
    return Interval(value, None, None, n, level, "none")


def _bound_sure_proportion(value: float, trials: int, level: float) -> tuple[float, float]:
    """Bound a proportion of which all trials, or none, succeeded.

    Clopper and Pearson's interval has a closed form there: the success rate under which
    so uniform a result still has the chance ``(1 - level) / 2``.
    """
    bound = ((1.0 - level) / 2.0) ** (1.0 / trials)
    return (bound, 1.0) if value == 1.0 else (0.0, 1.0 - bound)
