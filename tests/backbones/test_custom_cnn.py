"""``custom_cnn`` is exactly what the recipe says."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.backbones.custom_cnn import build_custom_cnn
from tfclassify.errors import ModelError
from tfclassify.recipe.schema import LayerRecipe

BLOCK = LayerRecipe(conv=4, batch_norm=True, pool=2, pool_padding=1)


def test_padded_pooling_gives_the_published_sizes() -> None:
    network = build_custom_cnn([BLOCK] * 5, (64, 64))
    pools = [layer for layer in network.layers if layer.name.endswith("_pool")]
    assert [pool.output.shape[1] for pool in pools] == [33, 17, 9, 5, 3]
    assert [pool.output.shape[2] for pool in pools] == [33, 17, 9, 5, 3]


def test_the_layers_stand_in_their_order() -> None:
    network = build_custom_cnn(
        [LayerRecipe(conv=4, batch_norm=True, pool=2, pool_padding=1, dropout=0.1)], (8, 8)
    )
    assert [layer.name for layer in network.layers] == [
        "scaled_images",
        "block1_conv",
        "block1_bn",
        "block1_activation",
        "block1_pool_pad",
        "block1_pool",
        "block1_dropout",
    ]


def test_parameters_add_up() -> None:
    # 3x3x3x8 + 8, BatchNorm 4x8, then 5x5x8x16 + 16 without BatchNorm
    layers = [LayerRecipe(conv=8, batch_norm=True), LayerRecipe(conv=16, kernel=5)]
    assert build_custom_cnn(layers, (16, 16)).count_params() == 224 + 32 + 3216


def test_stride_and_padding_shape_the_map() -> None:
    layers = [
        LayerRecipe(conv=2, kernel=3, stride=2, padding="valid"),  # (21 - 3) // 2 + 1 = 10
        LayerRecipe(pool=3, pool_stride=2, padding="valid"),  # (10 - 3) // 2 + 1 = 4
        LayerRecipe(pool=3, padding="same"),  # ceil(4 / 3) = 2
    ]
    assert build_custom_cnn(layers, (21, 21)).output_shape == (None, 2, 2, 2)


def test_a_block_without_activation_is_linear() -> None:
    network = build_custom_cnn([LayerRecipe(conv=3, activation=None)], (6, 6))
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype(np.float32)
    total = np.asarray(network(images[:1] + images[1:]))
    parts = np.asarray(network(images[:1])) + np.asarray(network(images[1:]))
    np.testing.assert_allclose(total, parts, atol=1e-5)


def test_no_blocks_are_refused() -> None:
    with pytest.raises(ModelError, match=r"custom_cnn needs at least one block, got none"):
        build_custom_cnn([], (32, 32))


@pytest.mark.parametrize(
    "block",
    [
        LayerRecipe(pool=4, padding="valid"),
        LayerRecipe(conv=2, kernel=5, padding="valid"),
    ],
)
def test_a_block_too_large_for_its_input_is_named(block: LayerRecipe) -> None:
    layers = [LayerRecipe(pool=8), block]
    with pytest.raises(ModelError, match=r"model\.layers\[1\]: .* its input of 2x2 pixels"):
        build_custom_cnn(layers, (16, 16))


def test_a_strided_convolution_of_one_pixel_is_built_around() -> None:
    """TensorFlow's own gradient of it corrupts the memory where there are few channels."""
    blocks = (LayerRecipe(conv=8, activation=None), LayerRecipe(conv=5, kernel=1, stride=2))
    network = build_custom_cnn(blocks, (9, 12))
    strided = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (1, 1)
    ]
    assert [layer.strides for layer in strided] == [(1, 1)]
    images = np.random.default_rng(0).random((2, 9, 12, 3), np.float32)
    before = network.get_layer("block1_conv")(images)
    kernel, bias = strided[0].get_weights()
    expected = tf.nn.relu(tf.nn.conv2d(before, kernel, 2, "SAME") + bias)
    np.testing.assert_allclose(network(images), expected, rtol=1e-5, atol=1e-6)
