"""Learning rates: a pure function of the step and of the epochs before.

Owns: the shapes. Does not own: the optimizer that the rate is given to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tfclassify.recipe.schema import PhaseRecipe
from tfclassify.training.history import EpochRecord, plateau_scale


def learning_rate_at(
    phase: PhaseRecipe, step: int, steps_per_epoch: int, records: Sequence[EpochRecord]
) -> float:
    """Return the learning rate of one step of a phase.

    Args:
        phase: The phase; its ``learning_rate`` is the peak.
        step: Step within the phase, from 0.
        steps_per_epoch: Steps in an epoch.
        records: The phase's finished epochs, for ``plateau``.

    Returns:
        The rate. A warm-up rises linearly and reaches the peak at its last step;
        cosine then falls to ``final`` times the peak at the phase's last step.
    """
    schedule = phase.schedule
    warmup_steps = round(schedule.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return phase.learning_rate * (step + 1) / warmup_steps
    if schedule.kind == "cosine":
        last = max(1, phase.epochs * steps_per_epoch - 1 - warmup_steps)
        progress = min(1.0, (step - warmup_steps) / last)
        wave = 0.5 * (1.0 + math.cos(math.pi * progress))
        return phase.learning_rate * (schedule.final + (1.0 - schedule.final) * wave)
    if schedule.kind == "plateau":
        return max(phase.learning_rate * plateau_scale(records, schedule), schedule.min_rate)
    return phase.learning_rate
