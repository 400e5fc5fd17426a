"""Networks are cut where their blocks meet; ``test_backbones`` counts those of all."""

from __future__ import annotations

import keras

from tests.backbones.networks import built
from tfclassify.backbones.blocks import split_blocks
from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import BACKBONES
from tfclassify.recipe.schema import LayerRecipe


def test_the_last_block_takes_what_follows_it() -> None:
    last = split_blocks(built("efficientnet_lite0"), BACKBONES["efficientnet_lite0"].blocks)[-1]
    names = [layer.name for layer in last]
    assert names[0] == "block7a_expand_conv"
    assert names[-1] == "top_relu"


def test_the_residual_convolution_of_a_block_is_in_it() -> None:
    blocks = split_blocks(built("resnet50_v2"), BACKBONES["resnet50_v2"].blocks)
    names = [{layer.name for layer in block} for block in blocks]
    assert {"conv2_block1_0_conv", "conv2_block1_3_conv", "conv2_block1_out"} <= names[1]


def test_blocks_of_the_custom_network_are_the_recipes() -> None:
    layers = [LayerRecipe(conv=2, pool=2), LayerRecipe(conv=3), LayerRecipe(conv=4, dropout=0.1)]
    network = build_backbone("custom_cnn", (16, 16), weights="none", layers=layers)
    blocks = split_blocks(network, BACKBONES["custom_cnn"].blocks)
    kinds = [[type(layer) for layer in block] for block in blocks]
    assert kinds == [
        [
            keras.layers.InputLayer,
            keras.layers.Conv2D,
            keras.layers.Activation,
            keras.layers.MaxPooling2D,
        ],
        [keras.layers.Conv2D, keras.layers.Activation],
        [keras.layers.Conv2D, keras.layers.Activation, keras.layers.Dropout],
    ]
