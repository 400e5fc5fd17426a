"""Receptive fields against hand-worked networks and published figures."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.profiler.networks import L, by_name, profile_function, profile_published
from tfclassify.profiler.keras_profile import profile_model


def field_of(build, shape=(32, 32, 3)):
    """Return the receptive field of a network's output."""
    extent = profile_function(build, shape).layers[-1].receptive_field
    return extent.to_dict() if extent else None


def chain(*layers):
    def build(x):
        for layer in layers:
            x = layer(x)
        return x

    return build


def known(size, stride, padding, aligned=True):
    return {
        "global": False,
        "size": size,
        "stride": stride,
        "padding": padding,
        "aligned": aligned,
    }


# Worked by hand: size r, stride s, padding p after each layer, from r=1, s=1, p=0.
NETWORKS = {
    "conv3": (chain(L.Conv2D(2, 3, padding="same")), known(3, 1, 1)),
    # r = 1+2 = 3; then 3+2 = 5; p = 1+1.
    "two": (chain(*(L.Conv2D(2, 3, padding="same") for _ in range(2))), known(5, 1, 2)),
    # 5x5 step 2 on 33: pad 2; r=5, s=2. Pool 2 valid: r=5+2=7, s=4, p=2.
    "pool": (
        chain(L.Conv2D(2, 5, 2, padding="same"), L.MaxPooling2D(2)),
        known(7, 4, 2),
    ),
    "valid": (chain(L.Conv2D(2, 7, 3)), known(7, 3, 0)),
    # Taps 2 apart reach 5.
    "dilated": (chain(L.Conv2D(2, 3, dilation_rate=2, padding="same")), known(5, 1, 2)),
    "depthwise_dilated": (
        chain(L.DepthwiseConv2D(3, dilation_rate=3, padding="same")),
        known(7, 1, 3),
    ),
    "oblong": (
        chain(L.Conv2D(2, (1, 7), padding="same")),
        known([1, 7], 1, [0, 3]),
    ),
    "padded": (chain(L.ZeroPadding2D(3), L.Conv2D(2, 7, 2)), known(7, 2, 3)),
    "cropped": (chain(L.Cropping2D(2), L.Conv2D(2, 3)), known(3, 1, -2)),
    "separable": (chain(L.SeparableConv2D(2, 3, padding="same")), known(3, 1, 1)),
    "global": (chain(L.GlobalAveragePooling2D()), {"global": True}),
    "dense": (chain(L.Flatten(), L.Dense(2)), {"global": True}),
    # Step 2 up after step 2 down: each output meets one or two of the halved positions.
    "transposed": (
        chain(L.Conv2DTranspose(2, 2, 2)),
        known(1.5, 0.5, 0.5),
    ),
    # Output 2i reads i - 1 and i, output 2i + 1 reads i and i + 1: -1 to 1/2 around o/2.
    "bilinear": (chain(L.UpSampling2D(2, interpolation="bilinear")), known(2.5, 0.5, 1)),
    # Halved: output o reads 2o and 2o + 1, whose middle it is.
    "halved": (chain(L.Resizing(16, 16)), known(2, 2, 0)),
    "pointwise_dense": (chain(L.Dense(4)), known(1, 1, 0)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_small_networks_worked_by_hand(name: str) -> None:
    build, expected = NETWORKS[name]
    size = 33 if name == "pool" else 32
    assert field_of(build, (size, size, 3)) == expected


def test_aligned_branches_take_the_larger_window() -> None:
    def build(x):
        return L.Add()([L.Conv2D(3, 3, padding="same")(x), L.Conv2D(3, 7, padding="same")(x)])

    assert field_of(build) == known(7, 1, 3)


def test_misaligned_branches_hold_both_windows() -> None:
    """A crop of 2 before reaches 2..4, same padding -1..1: together -1..4."""

    def build(x):
        left = L.Conv2D(3, 3, padding="same")(L.Cropping2D(((0, 4), (0, 4)))(x))
        right = L.Conv2D(3, 3)(L.Cropping2D(((2, 0), (2, 0)))(x))
        return L.Add()([left, right])

    assert field_of(build) == known(6, 1, 1, aligned=False)


def test_branches_of_different_strides_are_not_guessed() -> None:
    def build(x):
        return L.Add()([L.UpSampling2D(2)(L.Conv2D(3, 1, 2)(x)), x])

    extent = profile_function(build, (8, 8, 3)).layers[-1].receptive_field
    assert extent is None or extent.spans[0].stride == 1


def test_squeeze_and_excitation_makes_the_map_global() -> None:
    def build(x):
        gate = L.GlobalAveragePooling2D(keepdims=True)(x)
        return L.Multiply()([x, L.Conv2D(3, 1, activation="sigmoid")(gate)])

    assert field_of(build) == {"global": True}


def test_patches_stay_local_until_attention() -> None:
    def build(x):
        x = L.Reshape((16, 6), name="tokens")(L.Conv2D(6, 8, 8, name="patches")(x))
        x = L.LayerNormalization(name="norm")(x)
        return L.MultiHeadAttention(2, 3, name="attention")(x, x)

    layers = by_name(profile_function(build, (32, 32, 3)))
    for name in ("patches", "tokens", "norm"):
        assert layers[name].receptive_field.to_dict() == known(8, 8, 0)
    assert layers["attention"].receptive_field.is_global


def test_a_dense_layer_on_a_map_leaves_the_map() -> None:
    """Keras lays the map out in a row for the product and folds it again."""
    layers = chain(L.Conv2D(4, 3, 2), L.Dense(5), L.DepthwiseConv2D(3), L.Dense(2))
    assert field_of(layers) == known(7, 2, 0)


def test_a_map_in_a_row_finds_its_axes_again() -> None:
    layers = chain(L.Conv2D(4, 3), L.Reshape((900, 4)), L.Reshape((30, 30, 4)), L.Conv2D(4, 3))
    assert field_of(layers) == known(5, 1, 0)
    # Cut elsewhere, its axes are lost.
    assert field_of(chain(L.Reshape((16, 64, 3)), L.Conv2D(4, 3))) is None


def test_one_dimension_and_three() -> None:
    assert field_of(chain(L.Conv1D(2, 5, padding="same")), (20, 3)) == known(5, 1, 2)
    assert field_of(chain(L.Conv3D(2, 3, padding="same")), (6, 6, 6, 1)) == known(3, 1, 1)


def test_an_operation_without_a_rule_leaves_it_open() -> None:
    def build(x):
        return L.Conv2D(2, 3)(keras.ops.roll(x, 1, axis=1))

    assert field_of(build) is None


def test_concatenated_and_split_channels_keep_the_map() -> None:
    def build(x):
        left, right = keras.ops.split(L.Conv2D(4, 3, padding="same")(x), 2, axis=-1)
        return L.Concatenate()([left, L.Conv2D(2, 3, padding="same")(right)])

    assert field_of(build) == known(5, 1, 2)


def test_channels_in_another_order_keep_the_map() -> None:
    def build(x):
        return L.Conv2D(2, 3)(keras.ops.flip(x, axis=-1))

    assert field_of(build) == known(3, 1, 0)


def test_it_is_what_a_changed_pixel_changes() -> None:
    """Brute force: change each pixel and see whether the output's middle moves."""
    keras.utils.set_random_seed(1)
    image = keras.Input((24, 24, 1))
    x = L.Conv2D(2, 3, padding="same")(image)
    x = L.MaxPooling2D(2)(x)
    y = L.DepthwiseConv2D(3, padding="same", dilation_rate=2)(x)
    x = L.Add()([L.Conv2D(2, 1)(x), y])
    model = keras.Model(image, L.AveragePooling2D(2)(x))
    base = keras.random.normal((1, 24, 24, 1), seed=2)
    start = np.array(base)
    changed = np.repeat(start, 24, axis=0)
    changed[np.arange(24), np.arange(24)] += 100.0  # one whole row of pixels each
    moved = np.abs(np.array(model(changed)) - np.array(model(start)))[:, 3, 3].max(axis=-1) > 1e-2
    rows = np.flatnonzero(moved)
    span = profile_model_span(model)
    assert rows.min() == span.low + 3 * span.stride
    assert rows.max() == span.high + 3 * span.stride


def profile_model_span(model):
    profile = profile_model(model, [(24, 24, 1)], title="", target="")
    return profile.layers[-1].receptive_field.spans[0]


# google-research/receptive_field and Araujo et al. 2019: size, stride.
@pytest.mark.parametrize(
    ("name", "layer", "size", "stride"),
    [("VGG16", "block5_pool", 212, 32), ("ResNet50", "conv5_block3_out", 483, 32)],
)
def test_published_fields(name: str, layer: str, size: int, stride: int) -> None:
    # The field does not hang on the input's size.
    found = by_name(profile_published(name, 64))[layer].receptive_field.to_dict()
    assert (found["size"], found["stride"]) == (size, stride)
    if name == "VGG16":
        assert found["padding"] == 90


@pytest.mark.slow
def test_published_field_of_inception() -> None:
    profile = profile_published("InceptionV3", 299)
    convolutions = [layer for layer in profile.layers if layer.kind == "Conv2D"]
    # Keras numbers them on through a process: conv2d_85 is the 86th that is made.
    convolutions.sort(key=lambda layer: int(layer.name.partition("_")[2] or 0))
    found = convolutions[85].receptive_field.to_dict()
    assert (found["size"], found["stride"]) == (1183, 32)
