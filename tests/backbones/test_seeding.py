"""The seed decides a network, and leaves everything else alone."""

from __future__ import annotations

import random

import keras
import numpy as np

from tfclassify.backbones.seeding import seeded_construction


def draw(seed: int, part: str) -> np.ndarray:
    with seeded_construction(seed, part):
        layer = keras.layers.Dense(4)
        layer.build((None, 3))
    return np.asarray(layer.kernel)


def test_the_same_seed_and_part_give_the_same_weights() -> None:
    assert np.array_equal(draw(1, "head"), draw(1, "head"))
    assert not np.array_equal(draw(1, "head"), draw(2, "head"))
    assert not np.array_equal(draw(1, "head"), draw(1, "backbone"))


def test_two_layers_of_a_part_differ() -> None:
    with seeded_construction(1, "head"):
        layers = [keras.layers.Dense(4), keras.layers.Dense(4)]
        for layer in layers:
            layer.build((None, 3))
    assert not np.array_equal(layers[0].kernel, layers[1].kernel)


def test_the_global_generator_goes_on_as_before() -> None:
    random.seed(5)
    expected = random.random()
    random.seed(5)
    draw(1, "head")
    assert random.random() == expected
