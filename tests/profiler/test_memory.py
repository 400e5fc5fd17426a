"""The peak of activations against networks worked by hand (float32: 4 bytes)."""

from __future__ import annotations

from tests.profiler.networks import L, profile_function

MAP = 8 * 8 * 4  # bytes of one channel


def test_a_chain_holds_two_neighbours() -> None:
    def build(x):
        for channels in (2, 16, 4):
            x = L.Conv2D(channels, 1, use_bias=False)(x)
        return x

    # 3, 2, 16 and 4 channels in turn: the middle one with its larger neighbour.
    assert profile_function(build, (8, 8, 3)).peak_activation_bytes == (16 + 4) * MAP


def test_elementwise_operations_write_into_their_operand() -> None:
    def build(x):
        return L.ReLU()(L.Conv2D(5, 1)(x))

    assert profile_function(build, (8, 8, 3)).peak_activation_bytes == (3 + 5) * MAP


def test_a_skip_connection_is_held_until_it_is_added() -> None:
    def build(x):
        x = L.Conv2D(4, 1, use_bias=False)(x)
        y = L.Conv2D(10, 1, use_bias=False)(x)
        y = L.Conv2D(4, 1, use_bias=False)(y)
        return L.Add()([x, y])

    assert profile_function(build, (8, 8, 3)).peak_activation_bytes == (4 + 10 + 4) * MAP


def test_a_layer_moves_what_crosses_its_border() -> None:
    def build(x):
        x = L.Conv2D(4, 3, padding="same", name="conv")(x)
        x = L.ReLU(name="relu")(x)
        y = L.Conv2D(4, 1, use_bias=False, name="side")(x)
        shared = L.Dense(4, use_bias=False, name="shared")
        return L.Flatten(name="flat")(L.Add(name="add")([shared(shared(y)), x]))

    moved = {
        layer.name: (layer.moved_bytes / MAP, layer.read_weight_bytes)
        for layer in profile_function(build, (8, 8, 3)).layers
    }
    # Maps read and written; what the bias is added to stays within.
    assert moved["conv"] == (3 + 4, 4 * (3 * 3 * 3 * 4 + 4))
    assert moved["relu"] == (4 + 4, 0)
    assert moved["side"] == (4 + 4, 4 * 16)
    # Called twice: the map between its calls stays within, the weights are read twice.
    assert moved["shared"] == (4 + 4, 2 * 4 * 16)
    assert moved["add"] == (4 + 4 + 4, 0)
    assert moved["flat"] == (4, 0)  # a view is no new array


def test_weights_that_a_batch_norm_combines_are_no_activations() -> None:
    def build(x):
        return L.BatchNormalization(name="norm")(x)

    (norm,) = (layer for layer in profile_function(build, (8, 8, 3)).layers if layer.name == "norm")
    assert (norm.moved_bytes, norm.read_weight_bytes) == (6 * MAP, 4 * 4 * 3)
