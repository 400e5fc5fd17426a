"""Images are scaled as each network was trained; ``test_backbones`` has the networks' part."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.backbones.networks import apply_contract
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.origins import KerasNetwork


def origin_of(name: str) -> KerasNetwork:
    origin = BACKBONES[name].origin
    assert isinstance(origin, KerasNetwork)
    return origin


@pytest.mark.parametrize(
    "name", [name for name, spec in BACKBONES.items() if isinstance(spec.origin, KerasNetwork)]
)
def test_the_layers_equal_the_networks_own_preprocessing(name: str) -> None:
    images = np.random.default_rng(1).uniform(0, 255, (2, 5, 7, 3)).astype(np.float32)
    images[0, 0, 0], images[0, 0, 1] = 0.0, 255.0
    module = getattr(keras.applications, origin_of(name).module)
    expected = np.asarray(module.preprocess_input(images.copy()))
    got = apply_contract(BACKBONES[name], images)
    # A product with a rounded reciprocal for a quotient: a few units in the last place.
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_lite_takes_127_to_zero_in_steps_of_one_128th() -> None:
    images = np.array([0.0, 127.0, 255.0], np.float32).reshape(1, 1, 3, 1).repeat(3, axis=-1)
    got = apply_contract(BACKBONES["efficientnet_lite0"], images)
    assert got[0, 0, :, 0].tolist() == [-127 / 128, 0.0, 1.0]


def test_the_custom_network_takes_zero_to_one() -> None:
    images = np.array([0.0, 51.0, 255.0], np.float32).reshape(1, 1, 3, 1).repeat(3, axis=-1)
    got = apply_contract(BACKBONES["custom_cnn"], images)
    np.testing.assert_allclose(got[0, 0, :, 0], [0.0, 0.2, 1.0], rtol=1e-6)
