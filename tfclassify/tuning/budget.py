"""What fits into a time: a recipe's epochs, before and while it trains.

Owns: the arithmetic over costs that were measured. Does not own: measuring them
(``workflows.fitting``), which network (``probes``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tfclassify.errors import RequestError
from tfclassify.recipe.schema import PhaseRecipe
from tfclassify.recipe.wording import format_seconds
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.training.schedules import follow_plans, shorten_phase

#: Part of a time that is planned with; measured on a few steps, costs come out higher.
PLANNED = 0.85
#: Part of a time within which cached views stay, where something has to go.
_VIEWING = 0.1
#: Part of a time that a training which takes longer is cut to.
_KEPT = 0.97
#: Seconds of estimated epochs below which they tell nothing of how slow the machine is.
_TELLING = 20.0
#: What an image costs in training, against its features alone; seconds of one whose are stored.
_STEP, _STORED = 3.5, 2e-5


@dataclass(frozen=True)
class PhaseCost:
    """What a phase takes, in seconds.

    Attributes:
        view: Caching one view of every image, where it trains on stored features; else 0.
        epoch: An epoch, its validation included.
    """

    view: float
    epoch: float


@dataclass(frozen=True)
class TrainingCost:
    """What a training takes, in seconds.

    Attributes:
        start: Before the first phase: reading images, compiling.
        phases: Each phase.
        end: After the last: judging and reporting.
    """

    start: float
    phases: tuple[PhaseCost, ...]
    end: float

    def total(self, phases: Sequence[PhaseRecipe]) -> float:
        """Return what these phases would take in all."""
        return self.start + self.end + sum(map(_cost_phase, phases, self.phases))


def _cost_phase(phase: PhaseRecipe, cost: PhaseCost) -> float:
    views = min(phase.features.views, phase.epochs) if phase.features else 0
    return views * cost.view + phase.epochs * cost.epoch


def fit_phases(
    phases: Sequence[PhaseRecipe], cost: TrainingCost, seconds: float
) -> tuple[PhaseRecipe, ...]:
    """Shorten the phases that take longest until the training fits into a time.

    They are cut to one length of time; a phase that takes less than that keeps its epochs.
    No phase becomes longer. Cached views are given up before epochs, beyond a tenth of the time.

    Args:
        phases: As the recipe has them.
        cost: What was measured.
        seconds: What is left of the time.

    Raises:
        RequestError: If one epoch of each phase is too much.

    Example:
        >>> phases = [PhaseRecipe(name="a", epochs=30), PhaseRecipe(name="b", epochs=20)]
        >>> cost = TrainingCost(10, (PhaseCost(0, 1), PhaseCost(0, 5)), 15)
        >>> [phase.epochs for phase in fit_phases(phases, cost, 82)]
        [29, 5]
    """
    if cost.total(phases) <= seconds:
        return tuple(phases)
    kept = [
        _keep_views(phase, math.floor(_VIEWING * seconds / each.view) if each.view else 1)
        for phase, each in zip(phases, cost.phases, strict=True)
    ]
    if cost.total([shorten_phase(phase, 1) for phase in kept]) > seconds:
        kept = [_keep_views(phase, 1) for phase in phases]
    pairs = list(zip(kept, cost.phases, strict=True))
    least = cost.total([shorten_phase(phase, 1) for phase in kept])
    if least > seconds:
        raise RequestError(
            f"--time: {format_seconds(seconds)} are left, but reading the images, one epoch of "
            f"each phase and judging take about {format_seconds(least)} on this machine; give "
            f"more time, or use a smaller image_size or backbone"
        )
    if cost.total(kept) <= seconds:
        return tuple(kept)
    stretches = [Stretch(phase.epochs, each.epoch) for phase, each in pairs]
    fixed = cost.total(kept) - sum(each.epochs * each.epoch_s for each in stretches)
    epochs = share_evenly(stretches, seconds - fixed)
    return tuple(shorten_phase(phase, count) for phase, count in zip(kept, epochs, strict=True))


@dataclass(frozen=True)
class Stretch:
    """Epochs that may be cut.

    Attributes:
        epochs: As planned.
        epoch_s: Seconds of each.
        least: How many are done in any case.
    """

    epochs: int
    epoch_s: float
    least: int = 1


def share_evenly(stretches: Sequence[Stretch], seconds: float) -> list[int]:
    """Return the epochs of each stretch that fit into a time; the least of each if none do.

    Those that take longest are cut to one length of time.

    >>> share_evenly([Stretch(29, 1.0), Stretch(20, 5.0)], 60.0)
    [29, 6]
    """

    def cut(each: Stretch, longest: float) -> int:
        return max(each.least, min(each.epochs, math.floor(longest / each.epoch_s)))

    low, high = 0.0, max(seconds, 0.0)  # what the epochs of one stretch may take
    if sum(each.epochs * each.epoch_s for each in stretches) <= seconds:
        return [each.epochs for each in stretches]
    for _ in range(40):
        middle = (low + high) / 2
        taken = sum(cut(each, middle) * each.epoch_s for each in stretches)
        low, high = (middle, high) if taken <= seconds else (low, middle)
    return [cut(each, low) for each in stretches]


class Pace:
    """Keeps a training within its time where its epochs take longer than was estimated.

    Args:
        phases: As fitted to the estimate.
        cost: The estimate.
        seconds: The time of the whole command.
        elapsed: Tells the seconds since it began.
    """

    def __init__(
        self,
        phases: Sequence[PhaseRecipe],
        cost: TrainingCost,
        seconds: float,
        elapsed: Callable[[], float],
    ) -> None:
        self._phases, self._cost = tuple(phases), cost
        self._seconds, self._elapsed = seconds, elapsed

    def replan(self, records: Sequence[EpochRecord]) -> tuple[int, ...]:
        """Return the epochs that every phase has from now on; empty to leave them as they are.

        Epochs are never added. What is left of the phase at work and all of the later ones
        are cut to one length of time; a later phase keeps one epoch, and one that prunes all
        of its own, since its network would stay denser. The later ones are taken to be
        slower than estimated by as much as this one, if that was to take long enough to tell:
        an epoch on stored features is over in a moment, most of which is no training. A
        phase's first epoch compiles, so that it decides only where there is no time for
        another one.

        Args:
            records: Of every epoch so far.
        """
        number = records[-1].phase_number
        phases = follow_plans(self._phases, records)
        own = [record.seconds for record in records if record.phase_number == number]
        epoch_s = float(np.median(own[1:] or own))
        estimated = len(own) * self._cost.phases[number].epoch
        slower = max(1.0, len(own) * epoch_s / max(estimated, _TELLING))
        stretches = [_leave(phases[number], len(own), epoch_s)]
        left = _KEPT * self._seconds - self._elapsed() - slower * self._cost.end
        later = list(zip(phases, self._cost.phases, strict=True))[number + 1 :]
        for phase, cost in later:
            least = phase.epochs if phase.prune else 1
            stretches.append(Stretch(phase.epochs, slower * cost.epoch, least))
            left -= slower * (_cost_phase(phase, cost) - phase.epochs * cost.epoch)
        needed = epoch_s + sum(each.least * each.epoch_s for each in stretches[1:])
        if len(own) == 1 and needed <= left:
            return ()
        kept = share_evenly(stretches, left)
        kept[0] += len(own)
        planned = tuple(phase.epochs for phase in phases)
        plan = (*planned[:number], *kept)
        return () if plan == planned else plan


def _leave(phase: PhaseRecipe, done: int, epoch_s: float) -> Stretch:
    """Say what is left of a phase; an average over its last epochs needs one to come."""
    left = phase.epochs - done
    least = left if phase.prune else min(left, 1 if phase.swa else 0)
    return Stretch(left, epoch_s, least)


def _keep_views(phase: PhaseRecipe, most: int) -> PhaseRecipe:
    """Leave a phase on stored features this many views of each image at most, and one at least."""
    if phase.features is None:
        return phase
    views = max(1, min(most, phase.features.views))
    features = phase.features.model_copy(update={"views": views})
    return phase.model_copy(update={"features": features})


def foresee_cost(
    phases: Sequence[PhaseRecipe], image_s: float, *, train: int, held_out: int, views: int
) -> TrainingCost:
    """Estimate what a training takes from the time of one image's features.

    Coarse: it says which networks are out of the question before they are looked at closely.

    Args:
        phases: Of the recipe.
        image_s: Seconds of the features of an image.
        train: Training images.
        held_out: Images that are judged.
        views: Looks at each of them at the end.
    """
    judged = held_out * image_s
    stored, whole = PhaseCost(train * image_s, train * _STORED), _STEP * train * image_s + judged
    costs = tuple(stored if each.features else PhaseCost(0.0, whole) for each in phases)
    return TrainingCost(0.0, costs, views * judged)
