"""The contract test of all backbones: images are scaled as each network was trained."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.backbones.networks import KERAS, built
from tfclassify.backbones.catalog import BACKBONES, BackboneSpec
from tfclassify.backbones.origins import KerasNetwork

#: From black to white, what each channel of the first convolution's input must gain:
#: 2 for -1..1, 255 for shifted bytes, 1 / deviation for ImageNet's normalisation.
NORMALISED = (1 / 0.229, 1 / 0.224, 1 / 0.225)
GAINS = {
    "convnext": NORMALISED,
    "densenet": NORMALISED,
    "efficientnet": (1.0, 1.0, 1.0),  # its normalisation is part of the weights
    "efficientnet_v2": NORMALISED,
    "inception_resnet_v2": (2.0, 2.0, 2.0),
    "inception_v3": (2.0, 2.0, 2.0),
    "mobilenet": (2.0, 2.0, 2.0),
    "mobilenet_v2": (2.0, 2.0, 2.0),
    "mobilenet_v3": (2.0, 2.0, 2.0),
    "nasnet": (2.0, 2.0, 2.0),
    "resnet": (255.0, 255.0, 255.0),
    "resnet_v2": (2.0, 2.0, 2.0),
    "vgg16": (255.0, 255.0, 255.0),
    "vgg19": (255.0, 255.0, 255.0),
    "xception": (2.0, 2.0, 2.0),
}
LARGE_V2 = ("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l")  # -1..1
SCALING = (keras.layers.Rescaling, keras.layers.Normalization)


def apply_contract(spec: BackboneSpec, images: np.ndarray) -> np.ndarray:
    """Scale images as the backbone's contract says."""
    for layer in spec.contract.as_layers():
        images = layer(images)
    return np.asarray(images)


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


@pytest.mark.parametrize("name", KERAS)
def test_exactly_one_rescaling_happens(name: str) -> None:
    spec, network = BACKBONES[name], built(name)
    inside = [layer for layer in network.layers if isinstance(layer, SCALING)]
    assert bool(inside) == spec.contract.rescales_itself
    assert bool(spec.contract.as_layers()) != spec.contract.rescales_itself
    black_and_white = np.zeros((2, 96, 96, 3), np.float32)
    black_and_white[1] = 255.0
    scaled = apply_contract(spec, black_and_white)
    if inside:
        # Nothing but scaling lies between the input and the last scaling layer.
        assert [*network.layers[1 : 1 + len(inside)]] == inside
        scaled = np.asarray(keras.Model(network.input, inside[-1].output)(scaled))
    gain = (2.0, 2.0, 2.0) if name in LARGE_V2 else GAINS[origin_of(name).module]
    np.testing.assert_allclose(scaled[1, 0, 0] - scaled[0, 0, 0], gain, rtol=1e-5)


def test_lite_takes_127_to_zero_in_steps_of_one_128th() -> None:
    images = np.array([0.0, 127.0, 255.0], np.float32).reshape(1, 1, 3, 1).repeat(3, axis=-1)
    got = apply_contract(BACKBONES["efficientnet_lite0"], images)
    assert got[0, 0, :, 0].tolist() == [-127 / 128, 0.0, 1.0]


def test_the_custom_network_takes_zero_to_one() -> None:
    images = np.array([0.0, 51.0, 255.0], np.float32).reshape(1, 1, 3, 1).repeat(3, axis=-1)
    got = apply_contract(BACKBONES["custom_cnn"], images)
    np.testing.assert_allclose(got[0, 0, :, 0], [0.0, 0.2, 1.0], rtol=1e-6)
