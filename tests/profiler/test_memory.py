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
