"""How often a loop runs is exact, or open."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.profiler.control_flow import count_node, count_turns
from tfclassify.profiler.keras_profile import profile_model

L = keras.layers


def trace_loop(condition: Any, body: Any, start: Any) -> Any:
    """Trace a loop over one counter and four numbers, and return its node."""

    def run(x: Any) -> Any:
        return tf.while_loop(condition, lambda n, x: (body(n), x * 2), (start, x))

    spec = tf.TensorSpec((4,), tf.float32)
    graph = tf.function(run, autograph=False).get_concrete_function(spec).graph
    (node,) = (n for n in graph.get_operations() if n.type.endswith("While"))
    return node


def count_really(condition: Any, body: Any, start: Any) -> int:
    """Run the loop and count its turns."""
    n, turns = start, 0
    while bool(condition(n, None)):
        n, turns = body(n), turns + 1
    return turns


@pytest.mark.parametrize(
    ("condition", "body", "start"),
    [
        (lambda n, _: n < 50, lambda n: n + 1, 0),
        (lambda n, _: n < 50, lambda n: n + 7, 3),
        (lambda n, _: n <= 50, lambda n: n + 5, 0),
        (lambda n, _: tf.logical_and(n < 9, n < 7), lambda n: n + 2, 0),
        (lambda n, _: n < 0, lambda n: n + 1, 5),
        (lambda n, _: n < 2.5, lambda n: n + 1.0, tf.constant(0.0)),
    ],
)
def test_certain_turns_are_exact(condition: Any, body: Any, start: Any) -> None:
    node = trace_loop(condition, body, start)
    assert count_turns(node) == count_really(condition, body, start)
    assert count_node(node).elementwise["Multiply"] == 4 * count_really(condition, body, start)


@pytest.mark.parametrize(
    ("condition", "body", "start"),
    [
        # Ends by the data, or at 50: it was counted as 50 turns.
        (lambda n, x: tf.logical_and(n < 50, tf.reduce_sum(x) < 9), lambda n: n + 1, 0),
        # Runs to 9: it was counted as the smaller.
        (lambda n, _: tf.logical_or(n < 4, n < 9), lambda n: n + 1, 0),
        (lambda n, _: n < 1.0, lambda n: n + 0.1, tf.constant(0.0)),
        (lambda n, _: n < 5, lambda n: n * 2 + 1, 0),
        (lambda n, _: n < 5, lambda n: n - 1, 0),
        (lambda n, _: n > -5, lambda n: n - 1, 0),
    ],
)
def test_uncertain_turns_are_open(condition: Any, body: Any, start: Any) -> None:
    node = trace_loop(condition, body, start)
    assert count_turns(node) is None
    assert count_node(node).uncounted == {"While of unknown length": 1}


def test_a_limit_that_moves_is_no_limit() -> None:
    def run(x: Any) -> Any:
        return tf.while_loop(
            lambda n, end, x: n < end, lambda n, end, x: (n + 1, end + 1, x * 2), (0, 3, x)
        )

    spec = tf.TensorSpec((4,), tf.float32)
    graph = tf.function(run, autograph=False).get_concrete_function(spec).graph
    (node,) = (n for n in graph.get_operations() if n.type.endswith("While"))
    assert count_turns(node) is None


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        # Without TensorFlow's padding to whole blocks: 33 x 33 positions, 9 taps.
        (L.Conv2D(8, 3, dilation_rate=6, padding="same"), (33, 33, 4), 33 * 33 * 8 * 9 * 4),
        (L.Conv2D(2, 3, dilation_rate=3), (16, 16, 3), 10 * 10 * 2 * 9 * 3),
        (L.DepthwiseConv2D(3, dilation_rate=2), (9, 9, 4), 5 * 5 * 9 * 4),
        (L.Conv3D(2, 3, dilation_rate=2), (7, 7, 7, 2), 3**3 * 2 * 27 * 2),
        (L.Conv1D(5, 3, dilation_rate=4, padding="causal"), (21, 3), 21 * 5 * 3 * 3),
    ],
)
def test_dilation_costs_what_the_formula_says(
    layer: Any, shape: tuple[int, ...], macs: int
) -> None:
    inputs = keras.Input(shape)
    profile = profile_model(keras.Model(inputs, layer(inputs)), [shape], title="", target="")
    assert profile.macs == macs
    assert not profile.cost.uncounted


@pytest.mark.parametrize(
    ("kernel", "is_antialiased"),
    [
        ("bilinear", False),
        ("bilinear", True),
        ("bicubic", True),
        ("lanczos3", True),
        ("lanczos5", True),
    ],
)
def test_a_resize_reaches_as_far_as_its_filter(kernel: str, is_antialiased: bool) -> None:
    inputs = keras.Input((96, 96, 1))
    layer = L.Resizing(32, 32, interpolation=kernel, antialias=is_antialiased)
    model = keras.Model(inputs, layer(inputs))
    profile = profile_model(model, [(96, 96, 1)], title="", target="")
    image = tf.Variable(tf.random.stateless_uniform((1, 96, 96, 1), (1, 2)))
    with tf.GradientTape() as tape:
        value = model(image)[0, 16, 16, 0]
    rows = np.flatnonzero(np.abs(tape.gradient(value, image)).sum((0, 2, 3)))
    # The zeros of the other filters' ends are within what they read.
    slack = 2 if kernel == "bicubic" else 0
    assert 0 <= profile.receptive_field.to_dict()["size"] - (np.ptp(rows) + 1) <= slack


def test_a_wider_filter_costs_more() -> None:
    def flops(kernel: str) -> int:
        inputs = keras.Input((96, 96, 1))
        layer = L.Resizing(32, 32, interpolation=kernel, antialias=True)
        model = keras.Model(inputs, layer(inputs))
        return profile_model(model, [(96, 96, 1)], title="", target="").flops

    # Two passes of 2 * radius * 3 taps, each a product and a sum.
    for kernel, radius in (("bilinear", 1), ("bicubic", 2), ("lanczos3", 3), ("lanczos5", 5)):
        # The scales of the two axes are divisions of their own.
        assert flops(kernel) - 2 * 6 * radius * (32 * 96 + 32 * 32) in (0, 2)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: tf.math.top_k(x, 2).values, "TopKV2"),
        (lambda x: tf.sort(x), "TopKV2"),
        (lambda x: tf.math.real(tf.complex(x, x) * tf.complex(x, x)), "Mul of complex numbers"),
    ],
)
def test_what_is_not_counted_is_listed(function: Any, name: str) -> None:
    spec = tf.TensorSpec((4,), tf.float32)
    graph = tf.function(function, autograph=False).get_concrete_function(spec).graph
    uncounted = [kind for n in graph.get_operations() for kind in count_node(n).uncounted]
    assert name in uncounted
