"""A learning-rate range test: what the loss does while the rate rises.

Owns: the rising rates, the smoothed loss, what is suggested. Does not own: the phase that
takes the steps (``phases``), the page.

Reference:
    Smith 2017, arXiv:1506.01186, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from tfclassify.training.phases import WorkingPhase

#: What stays of the smoothed loss from one update to the next.
_MEMORY = 0.9
#: A smoothed loss of so many times the lowest one ends the test.
_DIVERGED = 4.0
#: The lowest loss must be at most this share of the first, to say anything.
_FALLEN = 0.98


@dataclass(frozen=True)
class RateTest:
    """How the loss went.

    Attributes:
        rates: Learning rate of each update, rising.
        losses: Mean loss of its images; the last may be no number.
        smoothed: The losses' moving average.
        suggestion: A tenth of the rate with the lowest smoothed loss; None if it never fell.
        is_diverged: Whether the test ended early, since the loss rose beyond all bounds.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestion: float | None
    is_diverged: bool


def list_rates(lowest: float, highest: float, steps: int) -> list[float]:
    """Return rates that rise by the same factor from one to the next.

    >>> [round(rate, 6) for rate in list_rates(0.001, 0.1, 3)]
    [0.001, 0.01, 0.1]
    """
    return [float(rate) for rate in np.geomspace(lowest, highest, steps)]


def sweep_rates(work: WorkingPhase, rates: Sequence[float]) -> RateTest:
    """Take an update of a phase at each rate, until the loss diverges.

    Args:
        work: The phase, set up; it is no use for training afterwards.
        rates: Rising.
    """
    losses: list[float] = []
    smoothed: list[float] = []
    batches = _repeat(work)
    for rate in rates:
        work.step.set_learning_rate(rate)
        losses.append(_update(work, batches))
        smoothed = smooth(losses)
        if not math.isfinite(losses[-1]) or smoothed[-1] > _DIVERGED * min(smoothed):
            return read_test(rates, losses, is_diverged=True)
    return read_test(rates, losses, is_diverged=False)


def _repeat(work: WorkingPhase) -> Iterator[Any]:
    for epoch in count(1):
        yield from work.source.batches(epoch)


def _update(work: WorkingPhase, batches: Iterator[Any]) -> float:
    """Make one update from as many batches as the phase gathers; return its mean loss."""
    group = work.recipe.accumulate
    total = 0.0
    for number in range(1, group + 1):
        images, targets, weights = next(batches)
        loss, _ = work.step(images, targets, weights, 1.0 / group, ends_group=number == group)
        total += float(loss) / group
    return total


def smooth(losses: Sequence[float]) -> list[float]:
    """Return the moving average of the losses, without a pull towards zero at the start.

    >>> [round(value, 3) for value in smooth([1.0, 0.0, 0.0])]
    [1.0, 0.474, 0.299]
    """
    average, smoothed = 0.0, []
    for number, loss in enumerate(losses, start=1):
        average = _MEMORY * average + (1.0 - _MEMORY) * loss
        smoothed.append(average / (1.0 - _MEMORY**number))
    return smoothed


def read_test(rates: Sequence[float], losses: Sequence[float], *, is_diverged: bool) -> RateTest:
    """Read a suggestion off the losses of a test.

    Args:
        rates: Those asked for; the first of them were taken.
        losses: One a rate that was taken.
        is_diverged: Whether the last of them ended the test.
    """
    smoothed = smooth(losses)
    finite = [value for value in smoothed if math.isfinite(value)]
    taken = tuple(rates[: len(losses)])
    suggestion = None
    if finite and min(finite) <= _FALLEN * finite[0]:
        suggestion = taken[int(np.argmin(finite))] / 10.0
    return RateTest(taken, tuple(losses), tuple(smoothed), suggestion, is_diverged)
