"""Whether a probability of 0.8 means right in 80 % of the cases, and the cure.

Owns: the reliability curve and the temperature that is fitted on held-out images.
Does not own: the calibration error's definition (``metrics``).

A temperature ``T`` divides the log-probabilities before softmax. It changes no
prediction, only how sure each one is: above 1 less, below 1 more.

Reference:
    Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.scoring.intervals import deal_parts
from tfclassify.scoring.metrics import CALIBRATION_BINS, confidence_bins
from tfclassify.scoring.outcome import FloatArray, Outcome

#: Least and greatest temperature that is searched.
TEMPERATURE_RANGE = (0.05, 20.0)

#: Least probability whose logarithm is taken: the smallest normal float32.
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class ReliabilityBin:
    """The images whose confidence lies in ``(low, high]``; the first bin holds 0 too.

    Attributes:
        low: Lower edge, outside the bin.
        high: Upper edge, inside the bin.
        count: Images in the bin.
        confidence: Their mean confidence; None in an empty bin.
        accuracy: The share of them that is right; None in an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


def reliability_curve(targets: ArrayLike, probabilities: ArrayLike) -> tuple[ReliabilityBin, ...]:
    """Return confidence against accuracy in 15 equal bins, from low to high.

    Args:
        targets: True class ids, ``(n,)``.
        probabilities: ``(n, C)``, rows summing to 1.

    Raises:
        ScoringError: If the arrays do not fit together.
    """
    outcome = Outcome(targets, probabilities)
    bins = confidence_bins(outcome.confidence)
    curve = []
    for number in range(CALIBRATION_BINS):
        is_inside = bins == number
        count = int(is_inside.sum())
        curve.append(
            ReliabilityBin(
                low=number / CALIBRATION_BINS,
                high=(number + 1) / CALIBRATION_BINS,
                count=count,
                confidence=float(outcome.confidence[is_inside].mean()) if count else None,
                accuracy=float(outcome.correct[is_inside].mean()) if count else None,
            )
        )
    return tuple(curve)


def fit_temperature(targets: ArrayLike, probabilities: ArrayLike) -> float:
    """Find the temperature that minimises the cross-entropy on held-out images.

    With ``z`` the log-probabilities and ``b = 1 / T``, the cross-entropy is convex in
    ``b``; its slope, the mean of ``E_p[z] - z_true`` under ``p = softmax(b z)``, is
    bisected over ``TEMPERATURE_RANGE``.

    Args:
        targets: True class ids, ``(n,)``, of images that were not trained on.
        probabilities: ``(n, C)``, rows summing to 1.

    Returns:
        The temperature, within ``TEMPERATURE_RANGE``; 1.0, which changes nothing, when
        every image is right, since then no finite temperature is best.

    Raises:
        ScoringError: If the arrays do not fit together.
    """
    outcome = Outcome(targets, probabilities)
    if outcome.correct.all():
        return 1.0
    logs = _take_logs(outcome.probabilities)
    true_logs = logs[np.arange(outcome.images), outcome.targets]
    low, high = (math.log(1.0 / edge) for edge in reversed(TEMPERATURE_RANGE))
    for _ in range(60):
        middle = (low + high) / 2.0
        expected = (_soften(logs, math.exp(middle)) * logs).sum(axis=1)
        if float((expected - true_logs).mean()) < 0.0:
            low = middle
        else:
            high = middle
    return math.exp(-(low + high) / 2.0)


def cross_fit_temperature(
    targets: ArrayLike,
    probabilities: ArrayLike,
    *,
    seed: int,
    groups: Sequence[object] | None = None,
) -> FloatArray:
    """Apply to each image the temperature that the other images ask for.

    Args:
        targets: True class ids, ``(n,)``, of images that were not trained on.
        probabilities: ``(n, C)``, rows summing to 1.
        seed: Decides the parts; see ``deal_parts``.
        groups: Group of each image; an empty string stands for an image on its own.

    Returns:
        The probabilities after, ``(n, C)``; as they were where all images are of one group.

    Raises:
        ScoringError: If the arrays do not fit together.
    """
    outcome = Outcome(targets, probabilities)
    parts = deal_parts(outcome.images, seed=seed, groups=groups)
    softened = outcome.probabilities.copy()
    for part in np.unique(parts):
        is_in = parts == part
        if not is_in.all():
            found = fit_temperature(outcome.targets[~is_in], outcome.probabilities[~is_in])
            softened[is_in] = apply_temperature(softened[is_in], found)
    return softened


def apply_temperature(probabilities: ArrayLike, temperature: float) -> FloatArray:
    """Return the probabilities at a temperature, ``(n, C)`` float64.

    Raises:
        ScoringError: If the temperature is not a positive number.
    """
    if not (math.isfinite(temperature) and temperature > 0.0):
        raise ScoringError(f"temperature: must be a positive number, got {temperature!r}")
    values = np.asarray(probabilities, dtype=np.float64)
    if temperature == 1.0:
        return values
    return _soften(_take_logs(values), 1.0 / temperature)


def _take_logs(probabilities: FloatArray) -> FloatArray:
    return np.log(np.maximum(probabilities, _TINY))


def _soften(logs: FloatArray, factor: float) -> FloatArray:
    from scipy.special import softmax  # slow to import

    return np.asarray(softmax(logs * factor, axis=1))
