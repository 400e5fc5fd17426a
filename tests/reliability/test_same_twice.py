"""The same recipe and seed give the same bits, however many readers there are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.reliability.outcome import find_differing, read_outcome
from tests.reliability.scene import make_scene, train_on
from tests.training.builders import HEAD, WHOLE, make_recipe, make_trainer, weights_of
from tfclassify.training import sources

AUGMENT = {"flip": ["horizontal"], "rotate": 0.1, "mix": {"cutmix": 0.5, "mixup": 0.5}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """What a training with one reader ends with."""
    with pytest.MonkeyPatch.context() as patch:
        return train(tmp_path_factory.mktemp("one"), patch, 1)


def train(folder: Path, patch: pytest.MonkeyPatch, readers: int | None) -> list[np.ndarray]:
    stream = partial(sources.training_stream, parallel_calls=readers)
    patch.setattr(sources, "training_stream", stream)
    phases = [HEAD | {"epochs": 1, "features": {"views": 1}}, WHOLE | {"epochs": 2}]
    recipe = make_recipe(phases, augment=AUGMENT)
    trainer = make_trainer(recipe, folder / "photos", folder / "state")
    trainer.run()
    return weights_of(trainer)


@pytest.mark.parametrize("readers", [2, 7, None])
def test_readers_do_not_change_the_weights(
    tmp_path: Path, weights: list[np.ndarray], monkeypatch: pytest.MonkeyPatch, readers: int | None
) -> None:
    for one, other in zip(weights, train(tmp_path, monkeypatch, readers), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow  # two whole trainings; every test of resuming compares two as well
def test_the_same_recipe_trains_to_the_same_run(tmp_path: Path) -> None:
    recipe = make_scene(tmp_path)
    for name in ("first", "second"):
        train_on(recipe, tmp_path / name)
    one, other = (read_outcome(tmp_path / name) for name in ("first", "second"))
    assert find_differing(one, other) == []
