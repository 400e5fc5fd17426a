from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers as kl

from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.rebuilding import name_stably, rebuild
from tfclassify.errors import ModelError


def test_names_that_keras_gives_are_the_same_in_every_build() -> None:
    def build() -> keras.Model:
        images = keras.Input((8, 8, 3))
        x = kl.Conv2D(4, 1)(kl.Conv2D(4, 1, name="own")(images))
        return keras.Model(images, kl.SeparableConv2D(4, 1)(kl.Conv2D(4, 1)(x)))

    first, second = build(), build()
    assert first.layers[2].name != second.layers[2].name
    expected = {"input_layer", "own", "conv2d", "conv2d_1", "separable_conv2d"}
    for network in (first, second):
        assert set(name_stably(network).values()) == expected
        narrow = rebuild(network, {"conv2d_1": 2})
        assert [layer.filters for layer in narrow.layers[1:]] == [4, 4, 2, 4]


def make_network() -> keras.Model:
    images = keras.Input((8, 8, 3))
    x = kl.Conv2D(8, 3, padding="same", name="first")(images)
    x = kl.DepthwiseConv2D(3, padding="same", name="depth")(x)
    y = kl.Conv2D(8, 1, name="second")(kl.BatchNormalization()(x))
    return keras.Model(images, kl.Add()([x, y]), name="net")


def test_layers_follow_those_with_fewer_channels() -> None:
    network = make_network()
    narrow = rebuild(network, {"first": 5, "second": 5})
    assert narrow.output_shape == (None, 8, 8, 5)
    assert narrow.get_layer("depth").kernel.shape == (3, 3, 5, 1)
    assert network.output_shape == (None, 8, 8, 8)
    assert rebuild(network, {}) is network


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        (
            {"frist": 4},
            r"model.channels: 'net' has no convolution .* 'frist'; did you mean 'first'",
        ),
        ({"xyz": 4}, r"has no convolution or dense layer 'xyz'; the names are those of its layers"),
        ({"first": 9, "second": 9}, r"model.channels: 'first' has 8 channels, got 9; .* 1 to 8"),
        ({"depth": 4}, r"'depth' is a DepthwiseConv2D, which follows what comes in"),
        ({"first": 4}, r"'net' cannot be built with these numbers: .*; layers whose results are"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(channels, message) -> None:
    with pytest.raises(ModelError, match=message):
        rebuild(make_network(), channels)


@pytest.mark.parametrize(
    "name", ["efficientnet_lite0", pytest.param("mobilenet_v2", marks=pytest.mark.slow)]
)
def test_symmetric_padding_changes_nothing_where_it_is_symmetric_already(name: str) -> None:
    # 33 pixels become 17, 9, 5, 3 and 2: at every odd size 'same' pads alike on both sides.
    side = 33
    network = build_backbone(name, (side, side), weights="none")
    other = rebuild(network, {}, is_symmetric=True)
    other.set_weights(network.get_weights())
    images = np.random.default_rng(0).normal(0, 1, (2, side, side, 3)).astype(np.float32)
    np.testing.assert_allclose(other(images), network(images), atol=1e-6)


def test_symmetric_padding_keeps_the_sizes_of_feature_maps() -> None:
    images = keras.Input((16, 12, 3))
    x = kl.Conv2D(4, 3, 2, padding="same", name="conv")(images)
    x = kl.ZeroPadding2D(((0, 1), (0, 1)), name="pad")(x)
    x = kl.DepthwiseConv2D(3, 2, name="depth")(x)
    network = keras.Model(images, x)
    other = rebuild(network, {}, is_symmetric=True)
    assert other.output_shape == network.output_shape == (None, 4, 3, 4)
    assert other.get_layer("pad").padding == ((1, 1), (1, 1))
    # By hand: the middle tap of the first window lies on the first pixel.
    kernel = np.zeros((3, 3, 3, 4), np.float32)
    kernel[1, 1, 0, 0] = 1.0
    picture = np.arange(16 * 12 * 3, dtype=np.float32).reshape(1, 16, 12, 3)
    first = keras.Model(other.input, other.get_layer("conv").output)
    other.get_layer("conv").set_weights([kernel, np.zeros(4)])
    np.testing.assert_array_equal(first(picture)[0, :, :, 0], picture[0, ::2, ::2, 0])
