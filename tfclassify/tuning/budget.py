"""What fits into a time: a recipe's epochs, and which network is worth its time.

Owns: the arithmetic over costs that were measured. Does not own: measuring them
(``workflows.fitting``), probes (``probes``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tfclassify.errors import RequestError
from tfclassify.recipe.schema import PhaseRecipe, ScheduleRecipe
from tfclassify.recipe.wording import format_seconds

#: Part of a time that is planned with; measured on a few steps, costs come out higher.
PLANNED = 0.85


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
class Cost:
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
    phases: Sequence[PhaseRecipe], cost: Cost, seconds: float
) -> tuple[PhaseRecipe, ...]:
    """Shorten the phases that take longest until the training fits into a time.

    They are cut to one length of time; a phase that takes less than that keeps its epochs.
    No phase becomes longer. Of cached views one is kept before epochs are given up.

    Args:
        phases: As the recipe has them.
        cost: What was measured.
        seconds: What is left of the time.

    Raises:
        RequestError: If one epoch of each phase is too much.

    Example:
        >>> phases = [PhaseRecipe(name="a", epochs=30), PhaseRecipe(name="b", epochs=20)]
        >>> cost = Cost(10, (PhaseCost(0, 1), PhaseCost(0, 5)), 15)
        >>> [phase.epochs for phase in fit_phases(phases, cost, 82)]
        [29, 5]
    """
    if cost.total(phases) <= seconds:
        return tuple(phases)
    kept = [_keep_one_view(phase) for phase in phases]
    pairs = list(zip(kept, cost.phases, strict=True))
    least = cost.total([_cut(phase, each, 0.0) for phase, each in pairs])
    if least > seconds:
        raise RequestError(
            f"--time: {format_seconds(seconds)} are left, but reading the images, one epoch of "
            f"each phase and judging take about {format_seconds(least)} on this machine; give "
            f"more time, or use a smaller image_size or backbone"
        )
    if cost.total(kept) <= seconds:
        return tuple(kept)
    low, high = 0.0, seconds  # what the epochs of one phase may take
    for _ in range(40):
        middle = (low + high) / 2
        fits = cost.total([_cut(phase, each, middle) for phase, each in pairs]) <= seconds
        low, high = (middle, high) if fits else (low, middle)
    return tuple(_cut(phase, each, low) for phase, each in pairs)


def _cut(phase: PhaseRecipe, cost: PhaseCost, seconds: float) -> PhaseRecipe:
    """Leave a phase the epochs that fit into a time, one at least."""
    return shorten_phase(phase, max(1, min(phase.epochs, math.floor(seconds / cost.epoch))))


def _keep_one_view(phase: PhaseRecipe) -> PhaseRecipe:
    if phase.features is None:
        return phase
    features = phase.features.model_copy(update={"views": 1})
    return phase.model_copy(update={"features": features})


def shorten_phase(phase: PhaseRecipe, epochs: int) -> PhaseRecipe:
    """Give a phase fewer epochs; what its schedule counts in epochs shrinks alike.

    >>> schedule = {"kind": "multi_step", "milestones": [4, 8]}
    >>> shorten_phase(PhaseRecipe(name="a", epochs=10, schedule=schedule), 5).schedule.milestones
    (2, 4)
    """
    schedule, share = phase.schedule, epochs / phase.epochs
    if share == 1:
        return phase
    milestones = {max(1, round(share * each)) for each in schedule.milestones}
    kept = tuple(sorted(each for each in milestones if each < epochs))
    warmup = min(share * schedule.warmup_epochs, epochs)
    shrunk = schedule.model_copy(update={"milestones": kept, "warmup_epochs": warmup})
    if schedule.kind == "multi_step" and not kept:
        shrunk = ScheduleRecipe(warmup_epochs=warmup)
    swa = None if phase.swa is None or epochs < 2 else min(phase.swa, epochs)
    return phase.model_copy(update={"epochs": epochs, "schedule": shrunk, "swa": swa})


@dataclass(frozen=True)
class Probed:
    """A network at a size that was looked at.

    Attributes:
        backbone: Its name.
        size: Side of its images, in pixels.
        score: Of cross-fitted linear probes on its features.
        error: Standard error of the score.
        image_ms: What its features of one image take.
    """

    backbone: str
    size: int
    score: float
    error: float
    image_ms: float

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return f"{self.backbone} at {self.size} pixels"


def rank_probes(probes: Sequence[Probed]) -> list[Probed]:
    """Order networks for a closer look: the best first, but a faster one where they tie.

    Those within half a standard error of the best tie with it; then come the best of the
    others, and so on.
    """
    left, ranked = list(probes), []
    while left:
        best = max(left, key=lambda probe: probe.score)
        ties = [probe for probe in left if probe.score >= best.score - best.error / 2]
        ties.sort(key=lambda probe: probe.image_ms)
        ranked += ties
        left = [probe for probe in left if probe not in ties]
    return ranked
