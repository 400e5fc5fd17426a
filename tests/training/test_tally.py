"""The sums of an epoch, and when the host waits for the device."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.scoring.tasks import get_task
from tfclassify.training import tally as tally_module
from tfclassify.training.tally import EpochTally, Taken


class Tensor:
    """Stands for a number on a device; tells whether it was fetched."""

    def __init__(self, values: object) -> None:
        self.values = np.asarray(values, np.float32)
        self.is_fetched = False

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        self.is_fetched = True
        return self.values

    def __float__(self) -> float:
        self.is_fetched = True
        return float(self.values)


OWN = np.eye(3, dtype=np.float32)


def take(number: int, rows: list[int], loss: float = 1.0) -> Taken:
    """Make a step that answers class 0 everywhere."""
    logits = np.tile([1.0, 0.0, 0.0], (len(rows), 1))
    return Taken(number, 0.1, np.array(rows), Tensor(OWN[rows]), Tensor(loss), Tensor(logits))


def test_a_tally_weighs_batches_by_their_images() -> None:
    tally = EpochTally(get_task("multi_class"), OWN)
    outcomes = [*tally.put(take(1, [2, 0], 1.0)), *tally.put(take(2, [1], 4.0)), *tally.fetch()]
    assert (tally.loss, tally.score, tally.seen) == (6.0, 1.0, 3)
    assert tally.missed.tolist() == [False, True, True]
    assert [(one.number, one.loss, one.mean_loss) for one in outcomes] == [(1, 1, 1), (2, 4, 2)]
    assert tally.images_per_second > 0.0


def test_the_host_waits_for_no_step_that_was_just_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "_PATIENCE_S", 1e9)
    monkeypatch.setattr(tally_module, "_MOST", 5)
    tally = EpochTally(get_task("multi_class"), OWN)
    steps = [take(number, [number % 3]) for number in range(1, 9)]
    numbers = [[one.number for one in tally.put(step)] for step in steps]
    assert numbers == [[], [], [], [], [1, 2, 3, 4], [], [], []]
    assert [step.loss.is_fetched for step in steps] == [True] * 4 + [False] * 4
    assert [one.number for one in tally.fetch()] == [5, 6, 7, 8]


def test_slow_steps_are_told_of_as_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(tally_module, "_AHEAD", 0)
    tally = EpochTally(get_task("multi_class"), OWN)
    assert [one.number for step in (take(1, [0]), take(2, [1])) for one in tally.put(step)] == [
        1,
        2,
    ]
