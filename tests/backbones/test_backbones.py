"""The contract test of all backbones: what the catalog says of a network is so.

The small networks are checked always, the others with the slow tests. That the scaling
layers equal Keras' own is checked for every one of them in ``test_contracts``.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.backbones.networks import ALL, QUICK, apply_contract, built
from tfclassify.backbones.blocks import split_blocks
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.origins import KerasNetwork, TorchNetwork
from tfclassify.backbones.preprocessing import make_preprocessing

#: From black to white, what each channel of the first convolution's input must gain:
#: 2 for -1..1, 255 for shifted bytes, 1 / deviation for ImageNet's normalisation.
NORMALISED = (1 / 0.229, 1 / 0.224, 1 / 0.225)
GAINS = {
    "convnext": NORMALISED,
    "densenet": NORMALISED,
    "efficientnet": (1.0, 1.0, 1.0),  # its normalisation is part of the weights
    "efficientnet_v2": NORMALISED,
    "resnet": (255.0, 255.0, 255.0),
    "vgg16": (255.0, 255.0, 255.0),
    "vgg19": (255.0, 255.0, 255.0),
}
SYMMETRIC = (2.0, 2.0, 2.0)
#: EfficientNet-Lite and the large EfficientNetV2 were trained in steps of one 128th.
STEPS_OF_128TH = (255 / 128, 255 / 128, 255 / 128)
LARGE_V2 = ("efficientnet_v2_s", "efficientnet_v2_m", "efficientnet_v2_l")
SCALING = (keras.layers.Rescaling, keras.layers.Normalization)

#: Blocks of each network, the stem not counted. From the papers' tables.
PUBLISHED = {
    "convnext_tiny": 3 + 3 + 9 + 3,
    "convnext_small": 3 + 3 + 27 + 3,
    "convnext_base": 3 + 3 + 27 + 3,
    "convnext_large": 3 + 3 + 27 + 3,
    "convnext_xlarge": 3 + 3 + 27 + 3,
    "densenet121": 6 + 12 + 24 + 16,
    "densenet169": 6 + 12 + 32 + 32,
    "densenet201": 6 + 12 + 48 + 32,
    "efficientnet_b0": 1 + 2 + 2 + 3 + 3 + 4 + 1,
    "efficientnet_v2_b0": 1 + 2 + 2 + 3 + 5 + 8,
    "efficientnet_v2_s": 2 + 4 + 4 + 6 + 9 + 15,
    "efficientnet_v2_m": 3 + 5 + 5 + 7 + 14 + 18 + 5,
    "efficientnet_v2_l": 4 + 7 + 7 + 10 + 19 + 25 + 7,
    "efficientnet_lite0": 1 + 2 + 2 + 3 + 3 + 4 + 1,
    "efficientnet_lite1": 1 + 3 + 3 + 4 + 4 + 5 + 1,
    "efficientnet_lite2": 1 + 3 + 3 + 4 + 4 + 5 + 1,
    "mobilenet": 13,
    "mobilenet_025": 13,
    "mobilenet_v2": 17,
    "mobilenet_v3_small": 11,
    "mobilenet_v3_large": 15,
    "nasnet_mobile": 2 + 3 * 4 + 2,  # two stem cells, three stacks, two reductions
    "nasnet_large": 2 + 3 * 6 + 2,
    "resnet18": 2 + 2 + 2 + 2,
    "resnet34": 3 + 4 + 6 + 3,
    "resnet50": 3 + 4 + 6 + 3,
    "resnet50_v2": 3 + 4 + 6 + 3,
    "resnet101": 3 + 4 + 23 + 3,
    "resnet101_v2": 3 + 4 + 23 + 3,
    "resnet152": 3 + 8 + 36 + 3,
    "resnet152_v2": 3 + 8 + 36 + 3,
}
#: Here the stem belongs to the first block.
WITHOUT_STEM = {
    "inception_v3": 11,
    "inception_resnet_v2": 1 + 10 + 1 + 20 + 1 + 10,
    "vgg16": 5,
    "vgg19": 5,
    "xception": 14,
}


@pytest.mark.parametrize("name", ALL)
def test_a_backbone_keeps_its_promises(name: str) -> None:
    network = built(name, is_kept=name in QUICK)
    check_shape_and_size(name, network)
    check_exactly_one_rescaling(name, network)
    check_blocks(name, network)


def check_shape_and_size(name: str, network: keras.Model) -> None:
    """It maps images to a feature map, with the parameters that the catalog lists."""
    assert network.input_shape == (None, 96, 96, 3)
    assert len(network.output_shape) == 4
    assert None not in network.output_shape[1:]
    assert network.count_params() == BACKBONES[name].parameters


def check_exactly_one_rescaling(name: str, network: keras.Model) -> None:
    """Either the contract scales or the network does, and black to white is as published."""
    spec = BACKBONES[name]
    inside = [layer for layer in network.layers if isinstance(layer, SCALING)]
    assert bool(inside) == spec.contract.rescales_itself
    assert bool(make_preprocessing(spec.contract)) != spec.contract.rescales_itself
    black_and_white = np.zeros((2, 96, 96, 3), np.float32)
    black_and_white[1] = 255.0
    scaled = apply_contract(spec, black_and_white)
    if inside:
        # Nothing but scaling lies between the input and the last scaling layer.
        assert network.layers[1 : 1 + len(inside)] == inside
        scaled = np.asarray(keras.Model(network.input, inside[-1].output)(scaled))
    gain = STEPS_OF_128TH
    if isinstance(spec.origin, KerasNetwork) and name not in LARGE_V2:
        gain = GAINS.get(spec.origin.module, SYMMETRIC)
    elif isinstance(spec.origin, TorchNetwork):
        gain = NORMALISED
    np.testing.assert_allclose(scaled[1, 0, 0] - scaled[0, 0, 0], gain, rtol=1e-5)


def check_blocks(name: str, network: keras.Model) -> None:
    """It comes apart into the blocks that its paper counts, each layer in one of them."""
    blocks = split_blocks(network, BACKBONES[name].blocks)
    assert sorted(layer.name for block in blocks for layer in block) == sorted(
        layer.name for layer in network.layers
    )
    assert all(any(layer.weights for layer in block) for block in blocks)
    if name in WITHOUT_STEM:
        assert len(blocks) == WITHOUT_STEM[name]
    elif name in PUBLISHED:
        assert len(blocks) == 1 + PUBLISHED[name]
    else:  # a larger EfficientNet, made by multipliers of the smallest one's depth
        assert len(blocks) >= 1 + PUBLISHED[name.rpartition("_")[0] + "_b0"]
