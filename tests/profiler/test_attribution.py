"""Which layer an operation, a weight and a block belong to."""

from __future__ import annotations

import keras
import pytest

from tests.profiler.networks import L, build_objects50, by_name, profile_function
from tfclassify.errors import ProfileError
from tfclassify.profiler.keras_profile import check_sums, profile_model
from tfclassify.profiler.results import fold_layers, name_blocks


def assert_sums(profile) -> None:
    assert sum(layer.macs for layer in profile.layers) == profile.macs
    assert sum(layer.flops for layer in profile.layers) == profile.flops
    assert sum(layer.params for layer in profile.layers) == profile.params
    assert sum(layer.trainable_params for layer in profile.layers) == profile.trainable_params


def test_a_nested_backbone_is_taken_apart() -> None:
    inner_in = keras.Input((8, 8, 3))
    inner_out = L.Conv2D(4, 3, padding="same", name="conv")(inner_in)
    inner = keras.Model(inner_in, inner_out, name="inner")
    middle_in = keras.Input((8, 8, 3))
    middle = keras.Model(middle_in, inner(middle_in), name="middle")

    def build(x):
        return L.Dense(2, name="logits")(L.Flatten(name="flat")(middle(x)))

    profile = profile_function(build, (8, 8, 3))
    layers = by_name(profile)
    assert layers["middle/inner/conv"].macs == 8 * 8 * 4 * 27
    assert layers["logits"].macs == 256 * 2
    assert list(layers) == ["middle/inner/conv", "flat", "logits"]
    assert_sums(profile)


def test_a_shared_layer_costs_twice_and_weighs_once() -> None:
    shared = L.Dense(4, name="shared")
    profile = profile_function(lambda x, y: L.Add(name="add")([shared(x), shared(y)]), (5,), (5,))
    layer = by_name(profile)["shared"]
    assert (layer.calls, layer.macs, layer.params) == (2, 40, 24)
    assert layer.activation_bytes == 2 * 4 * 4
    assert_sums(profile)


def test_a_shared_network_costs_twice() -> None:
    tower_in = keras.Input((6,))
    tower = keras.Model(tower_in, L.Dense(3, name="dense")(tower_in), name="tower")
    profile = profile_function(
        lambda x, y: L.Concatenate(name="join")([tower(x), tower(y)]), (6,), (6,)
    )
    assert by_name(profile)["tower/dense"].macs == 2 * 18
    assert profile.params == 21
    assert_sums(profile)


def test_branches_and_operations_between_layers() -> None:
    def build(x):
        left, right = L.Conv2D(4, 1, name="left")(x), L.Conv2D(4, 3, padding="same")(x)
        return keras.ops.relu(left * 2.0 + right)

    profile = profile_function(build, (4, 4, 2))
    assert profile.macs == 16 * 4 * (2 + 18)
    assert profile.cost.elementwise["Relu"] == 64
    assert_sums(profile)


def test_attention_holds_its_own_products_and_its_projections_theirs() -> None:
    profile = profile_function(lambda x: L.MultiHeadAttention(2, 3, name="attention")(x, x), (5, 8))
    layers = by_name(profile)
    own = [layer for name, layer in layers.items() if name == "attention"]
    assert own[0].macs == 2 * (2 * 5 * 5 * 3)
    assert layers["attention/query"].macs == 5 * 8 * 6
    assert_sums(profile)


def test_weights_that_inference_does_not_use_are_listed() -> None:
    class Idle(keras.Model):
        def __init__(self, **keywords):
            super().__init__(**keywords)
            self.used, self.idle = L.Dense(2, name="used"), L.Dense(3, name="idle")

        def call(self, x):
            return self.used(x)

    part = Idle(name="part")
    part.idle.build((None, 4))
    profile = profile_function(lambda x: part(x), (4,))
    assert by_name(profile)["idle"].calls == 0
    assert by_name(profile)["idle"].params == 15
    assert_sums(profile)


def test_frozen_weights_are_not_trainable() -> None:
    def build(x):
        layer = L.Dense(2, name="frozen")
        layer.trainable = False
        return L.BatchNormalization(name="bn")(layer(x))

    profile = profile_function(build, (4,))
    assert by_name(profile)["frozen"].trainable_params == 0
    assert (profile.params, profile.trainable_params) == (10 + 8, 4)


def test_mixed_precision_halves_activations_and_keeps_weights() -> None:
    def build(x):
        return L.Dense(8, dtype="mixed_float16", name="dense")(x)

    layer = by_name(profile_function(build, (4,)))["dense"]
    assert (layer.weight_bytes, layer.activation_bytes) == (40 * 4, 8 * 2)


def test_the_network_of_the_50_class_system_by_hand() -> None:
    """Sides 64, 33, 17, 9, 5; each convolution is side² x filters x 9 x channels."""
    model = build_objects50()
    profile = profile_model(model, [(64, 64, 3)], title="objects50", target="objects50")
    macs = {name: layer.macs for name, layer in by_name(profile).items() if layer.macs}
    assert macs == {
        "conv1": 64 * 64 * 32 * 9 * 3,
        "conv2": 33 * 33 * 64 * 9 * 32,
        "conv3": 17 * 17 * 128 * 9 * 64,
        "conv4": 9 * 9 * 256 * 9 * 128,
        "conv5": 5 * 5 * 512 * 9 * 256,
        "dense": 3 * 3 * 512 * 512,
        "logits": 512 * 50,
    }
    assert by_name(profile)["pool5"].output_shape == (3, 3, 512)
    assert by_name(profile)["pool5"].receptive_field.to_dict()["stride"] == 32
    params = [896, 128, 18496, 256, 73856, 512, 295168, 1024, 1180160, 2048]
    assert profile.params == sum(params) + 4608 * 512 + 512 + 512 * 50 + 50
    assert_sums(profile)


def test_folding_keeps_the_sums() -> None:
    model = keras.applications.MobileNetV2(weights=None, input_shape=(64, 64, 3))
    profile = profile_model(model, [(64, 64, 3)], title="m", target="m")
    blocks = fold_layers(profile.layers, 1)
    assert [layer.name for layer in blocks][:3] == ["stem", "expanded_conv", "block_1"]
    assert blocks[-1].name == "top"
    assert sum(layer.macs for layer in blocks) == profile.macs
    assert sum(layer.flops for layer in blocks) == profile.flops
    assert sum(layer.params for layer in blocks) == profile.params
    assert fold_layers(profile.layers, 9) == profile.layers


def test_blocks_follow_the_names() -> None:
    names = ["stem_conv", "block1_a", "block1_b", "relu", "block2_a", "pool", "dense"]
    assert name_blocks(names) == ["stem", *["block1"] * 3, "block2", "top", "top"]
    assert name_blocks(["conv", "dense"]) == ["", ""]


def test_sums_that_differ_are_an_error() -> None:
    from dataclasses import replace

    profile = profile_function(L.Dense(2), (3,))
    with pytest.raises(ProfileError, match="this is a fault of the profiler"):
        check_sums(replace(profile, params=1))


def test_a_shape_that_a_model_refuses() -> None:
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, L.Conv2D(2, 9)(inputs), name="wide")
    with pytest.raises(ProfileError, match="wide: cannot be run on inputs of shape"):
        profile_model(model, [(4, 4, 3)], title="", target="")


def test_the_model_is_left_as_it_was() -> None:
    model = build_objects50()
    profile_model(model, [(64, 64, 3)], title="", target="")
    assert all("call" not in vars(layer) for layer in model.layers)
