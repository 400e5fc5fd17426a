"""Depthwise convolutions done otherwise give what TensorFlow's own give."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.model import depthwise
from tfclassify.model.depthwise import find_calls, find_kernel_gradient, is_depthwise
from tfclassify.model.folding import fold_all, folded

L = keras.layers


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(
    ("side", "kernel"),
    [((8, 8), (5, 5)), ((7, 10), (5, 4)), ((9, 9), (7, 7)), ((3, 3), (5, 5)), ((12, 8), (3, 8))],
)
def test_a_gradient_in_strips_is_the_gradient(
    side: tuple[int, int], kernel: tuple[int, int], stride: int, padding: str
) -> None:
    if padding == "VALID" and min(side) < max(kernel):
        side = (12, 12)
    draw = np.random.default_rng(0)
    images = tf.constant(draw.normal(size=(2, *side, 3)))
    held = tf.constant(draw.normal(size=(*kernel, 3, 2)))
    strides = (1, stride, stride, 1)
    with tf.GradientTape() as tape:
        tape.watch(held)
        outputs = tf.nn.depthwise_conv2d(images, held, strides, padding)
        upstream = tf.constant(draw.normal(size=outputs.shape))
        total = tf.reduce_sum(outputs * upstream)
    found = find_kernel_gradient(images, upstream, held.shape, stride, padding)
    np.testing.assert_allclose(found, tape.gradient(total, held), rtol=1e-9, atol=1e-9)


def make_network() -> keras.Model:
    """A ConvNeXt-like block, and a wide depthwise layer with a BatchNorm behind it."""
    image = keras.Input((9, 9, 6))
    x = L.Conv2D(6, 7, padding="same", groups=6, activation="tanh", name="grouped")(image)
    x = L.DepthwiseConv2D(5, strides=2, padding="same", use_bias=False, name="wide")(x)
    x = L.BatchNormalization(trainable=False, name="norm")(x)
    x = L.DepthwiseConv2D(3, padding="same", name="narrow")(x)
    x = L.DepthwiseConv2D((1, 4), padding="same", depth_multiplier=2, name="flat")(x)
    network = keras.Model(image, L.GlobalAveragePooling2D()(L.Conv2D(4, 3, groups=2)(x)))
    draw = np.random.default_rng(1)
    network.set_weights([draw.uniform(0.3, 1.0, w.shape) for w in network.get_weights()])
    return network


def differentiate(network: keras.Model, context: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    images = tf.constant(np.random.default_rng(2).normal(size=(3, 9, 9, 6)), tf.float32)

    @tf.function
    def run() -> Any:
        with tf.GradientTape() as tape:
            with context():
                outputs = network(images, training=True)
            total = tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(total, network.trainable_variables)

    outputs, gradients = run()
    return np.asarray(outputs), [np.asarray(each) for each in gradients]


def test_a_network_and_its_gradients_are_what_they_were() -> None:
    network = make_network()
    assert [layer.name for layer in find_calls(network)] == ["grouped", "wide", "flat"]
    forwards = find_calls(network, is_differentiated=False)
    assert [layer.name for layer in forwards] == ["grouped"]
    plain, gradients = differentiate(network, lambda: folded([]))
    contexts = (lambda: folded([], [network]), fold_all(network))
    for context in contexts:
        outputs, found = differentiate(network, context)
        np.testing.assert_allclose(outputs, plain, rtol=2e-5)
        for ours, own in zip(found, gradients, strict=True):
            np.testing.assert_allclose(ours, own, rtol=1e-3, atol=1e-4 * np.abs(own).max())
    assert all("call" not in vars(layer) for layer in network.layers)


def test_no_grouped_kernel_and_no_slow_gradient_is_left() -> None:
    network = make_network()
    images = tf.TensorSpec((2, 9, 9, 6))

    def run(images: Any) -> Any:
        with folded([], [network]), tf.GradientTape() as tape:
            total = tf.reduce_sum(network(images))
        return tape.gradient(total, network.trainable_variables)

    graph = tf.function(run).get_concrete_function(images).graph
    filters = [
        tf.get_static_value(node.inputs[1])
        for node in graph.get_operations()
        if node.type == "DepthwiseConv2dNativeBackpropFilter"
    ]
    assert len(filters) >= 6
    assert all(shape[1] <= 3 for shape in filters)
    calls = [n for n in graph.get_operations() if n.type.endswith("PartitionedCall")]
    assert len(calls) == 2  # forwards and back of the convolution of two groups, which stays


@pytest.mark.parametrize(
    "layer",
    [
        L.Conv2D(6, 3),
        L.Conv2D(6, 3, groups=3),
        L.Conv2D(12, 3, groups=6),
        L.DepthwiseConv2D(5, dilation_rate=2),
        L.DepthwiseConv2D(5, strides=(1, 2)),
        L.SeparableConv2D(6, 5),
        L.Dense(6),
    ],
)
def test_what_is_done_as_it_is(layer: keras.Layer) -> None:
    layer.build((None, 9, 9, 6))
    assert not is_depthwise(layer)


def test_a_gpu_has_quick_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    network = make_network()
    monkeypatch.setattr(depthwise.tf.config, "list_logical_devices", lambda kind: [kind])
    assert find_calls(network) == {}


def test_a_side_that_is_not_known_is_left_to_tensorflow() -> None:
    image = keras.Input((None, None, 3))
    network = keras.Model(image, L.DepthwiseConv2D(5, padding="same")(image))
    images = np.random.default_rng(3).normal(size=(1, 6, 7, 3)).astype(np.float32)
    own = network(images)
    run = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 3))])
    with folded([], [network]):
        np.testing.assert_allclose(run(images), own, rtol=1e-5, atol=1e-6)
