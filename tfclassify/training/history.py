"""What happened so far, and what follows from it.

Owns: the record of one epoch and every decision that depends on earlier epochs:
best epoch, early stopping, the plateau schedule. All are pure functions of the
records, so a resumed training decides exactly as one that was never stopped.
Does not own: where records are stored (``runs.directory``, ``state``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tfclassify.recipe.schema import EarlyStoppingRecipe, ScheduleRecipe
from tfclassify.scoring.tasks import is_higher_better


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        phase: Name of the phase.
        phase_number: Position of the phase, from 0.
        epoch: Epoch within the phase, from 1.
        learning_rate: Rate of the last step.
        seconds: Wall time of training and validation.
        images_per_second: Training throughput.
        train: Training loss, and accuracy or IoU, on augmented and mixed images.
        validation: Metrics on the validation images; empty without any.
    """

    phase: str
    phase_number: int
    epoch: int
    learning_rate: float
    seconds: float
    images_per_second: float
    train: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpochRecord:
        """Rebuild a record from ``to_dict``."""
        return cls(**values)


def is_better(metric: str, value: float, than: float, min_delta: float = 0.0) -> bool:
    """Tell whether a value of the metric beats another by more than ``min_delta``.

    NaN, a metric without a value, beats nothing and is beaten by all.
    """
    if math.isnan(than):
        return not math.isnan(value)
    gain = value - than if is_higher_better(metric) else than - value
    return gain > min_delta


def best_epoch(values: Sequence[float], metric: str, min_delta: float = 0.0) -> int:
    """Return the position of the first value that none after it beats; -1 if there is none.

    >>> best_epoch([0.5, 0.7, 0.7, 0.6], "accuracy")
    1
    """
    best = -1
    for position, value in enumerate(values):
        if best < 0 or is_better(metric, value, values[best], min_delta):
            best = position
    return best


def should_stop(records: Sequence[EpochRecord], stopping: EarlyStoppingRecipe | None) -> bool:
    """Tell whether a phase's records ask for an early stop."""
    if stopping is None or not records or not records[-1].validation:
        return False
    values = [record.validation[stopping.metric] for record in records]
    waited = len(values) - 1 - best_epoch(values, stopping.metric, stopping.min_delta)
    return waited >= stopping.patience


def plateau_scale(records: Sequence[EpochRecord], schedule: ScheduleRecipe) -> float:
    """Return the factor of the learning rate after these epochs of the phase.

    Each time ``patience`` epochs bring no gain, the rate is multiplied by
    ``factor`` and the waiting starts again.
    """
    scale, waited, best = 1.0, 0, float("nan")
    for record in records:
        value = record.validation[schedule.metric]
        if best != best or is_better(schedule.metric, value, best):
            best, waited = value, 0
            continue
        waited += 1
        if waited >= schedule.patience:
            scale, waited = scale * schedule.factor, 0
    return scale
