"""What an epoch of training was like, and which epoch was the best.

Owns: the record of one epoch, as it is kept and shown. Does not own: where records are
stored (``runs.directory``), what a training decides by them (``training.schedules``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tfclassify.scoring.tasks import is_higher_better


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Attributes:
        phase: Name of the phase.
        phase_number: Position of the phase, from 0.
        epoch: Epoch within the phase, from 1.
        learning_rate: Rate of the last step.
        learning_rates: Rates within the epoch, up to 16 of them at even distances, from the
            first step to the last; empty in records of earlier versions.
        seconds: Wall time of training and validation.
        images_per_second: Training throughput.
        train: Training loss, and accuracy or IoU, on augmented and mixed images.
        validation: Metrics on the validation images; empty without any.
        plan: Epochs of every phase from here on, where they were cut after this one to keep
            a time; else empty.
    """

    phase: str
    phase_number: int
    epoch: int
    learning_rate: float
    seconds: float
    images_per_second: float
    train: Mapping[str, float] = field(default_factory=dict)
    validation: Mapping[str, float] = field(default_factory=dict)
    learning_rates: tuple[float, ...] = ()
    plan: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        return values if self.plan else {k: v for k, v in values.items() if k != "plan"}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpochRecord:
        """Rebuild a record from ``to_dict``."""
        lists = {name: tuple(values.get(name, ())) for name in ("learning_rates", "plan")}
        return cls(**{**values, **lists})


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
