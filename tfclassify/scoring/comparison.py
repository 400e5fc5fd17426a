"""Whether one model is better than another on the same images, or only luckier.

Owns: the paired bootstrap of a difference, McNemar's exact test, Holm's correction.
Does not own: the scores themselves (``metrics``), which models are compared (``workflows``).

Two models that are judged on the same images err on the same hard ones. Drawing the
images once for both and looking at the difference takes that out, so a difference can be
sure where the two intervals overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.scoring.intervals import Interval, ResamplePlan, make_interval
from tfclassify.scoring.outcome import FloatArray

#: A score under each of ``R`` weightings of the images: ``(R, n)`` weights to ``(R,)``.
Statistic = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class McNemar:
    """On which images two models differ in being right.

    Attributes:
        only_first: Images that only the first model gets right.
        only_second: Images that only the second gets right.
        p_value: Chance of so uneven a split, or a more uneven one, if both were as good.
    """

    only_first: int
    only_second: int
    p_value: float


def resample_difference(
    first: Statistic, second: Statistic, plan: ResamplePlan, *, level: float = 0.95
) -> Interval:
    """Measure how much the second model scores above the first, on the same resamples.

    Args:
        first: Score of the first model under weightings of the images.
        second: Score of the second on the same images, in the same order.
        plan: Which resamples; whole groups where it has groups.
        level: Coverage aimed at.

    Returns:
        ``second - first`` and its interval; no interval where all resamples agree.

    Raises:
        ScoringError: If the level is not within (0, 1).
    """
    images = len(plan.units)
    whole = np.ones((1, images))
    value = float((second(whole) - first(whole))[0])
    parts = [second(weights) - first(weights) for weights in plan.chunks()]
    return make_interval(value, np.concatenate(parts), n=images, level=level)


def compare_hits(first_right: ArrayLike, second_right: ArrayLike) -> McNemar:
    """Test whether two models are right equally often on the same images.

    Images on which both are right, or both wrong, say nothing. Of the ``n`` others, each
    falls to either side like a coin if the models are equally good. With ``k`` the smaller
    side, the two-sided exact p-value is

        p = min(1, 2 * sum of C(n, i) for i = 0..k / 2^n)

    It takes the images as independent; where they come in groups it is too sure.

    Args:
        first_right: Whether the first model is right, bool ``(n,)``.
        second_right: The same for the second.

    Raises:
        ScoringError: If the two are not one flag an image of the same images.

    Example:
        >>> compare_hits([True] * 9 + [False], [False] * 9 + [True]).p_value
        0.021484375

    Reference:
        McNemar 1947, Psychometrika 12; Dietterich 1998, Neural Computation 10.
    """
    one, other = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    if one.ndim != 1 or one.shape != other.shape:
        raise ScoringError(
            f"McNemar: needs one flag an image from each model, got the shapes {one.shape} and "
            f"{other.shape}"
        )
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    if not only_first + only_second:
        return McNemar(0, 0, 1.0)
    from scipy.stats import binomtest  # slow to import

    test = binomtest(only_first, only_first + only_second)
    return McNemar(only_first, only_second, float(test.pvalue))


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Raise p-values so that the chance of any false finding among them stays as said.

    The smallest of ``m`` is multiplied by ``m``, the next by ``m - 1`` and so on; none may
    come out smaller than one before it.

    Example:
        >>> adjust_holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]

    Reference:
        Holm 1979, Scandinavian Journal of Statistics 6.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
