"""Trainings that are interrupted, and what is compared behind them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tfclassify.events import Observer


class StopsAfter(Observer):
    """Presses Ctrl-C when so many epochs are done."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


def read_weights(run: Path) -> list[np.ndarray]:
    from tfclassify.model.bundle import load_bundle

    return load_bundle(run / "bundle").model.get_weights()


def assert_same_weights(first: Path, second: Path) -> None:
    for one, other in zip(read_weights(first), read_weights(second), strict=True):
        np.testing.assert_array_equal(one, other)
