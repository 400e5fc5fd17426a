"""A network with its BatchNorms folded is the network without: answers, gradients, weights."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfclassify.backbones.building import build_network
from tfclassify.backbones.catalog import find_spec
from tfclassify.model.folding import find_frozen_pairs, find_pairs, folded, replaced


def stir(model: keras.Model, seed: int = 0) -> None:
    """Give every weight a value that would show if it were left out."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        low, high = (0.5, 1.5) if "gamma" in weight.path or "variance" in weight.path else (-1, 1)
        scale = 1.0 if len(weight.shape) == 1 else 1.0 / np.sqrt(np.prod(weight.shape[:-1]))
        weight.assign(generator.uniform(low, high, weight.shape) * scale)


def measure(model: keras.Model, images: Any, training: bool) -> tuple[np.ndarray, list[Any]]:
    """Return the answers and the gradient of a loss that is not linear in them."""
    with tf.GradientTape() as tape:
        answers = model(images, training=training)
        loss = tf.reduce_mean(tf.sin(answers) * tf.range(1.0, 1.0 + answers.shape[-1]))
    return answers.numpy(), tape.gradient(loss, model.trainable_variables)


def measure_folded(pairs: Any, model: keras.Model, images: Any, training: bool) -> Any:
    with tf.GradientTape() as tape, folded(pairs):
        answers = model(images, training=training)
        loss = tf.reduce_mean(tf.sin(answers) * tf.range(1.0, 1.0 + answers.shape[-1]))
    return answers.numpy(), tape.gradient(loss, model.trainable_variables)


def freeze_norms(model: keras.Model) -> None:
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def test_one_channel_by_hand() -> None:
    images = keras.Input((1, 1, 1))
    convolution = layers.Conv2D(1, 1)
    model = keras.Model(images, layers.BatchNormalization(epsilon=0.0)(convolution(images)))
    convolution.set_weights([np.full((1, 1, 1, 1), 3.0), np.array([5.0])])
    model.layers[-1].set_weights([np.array([x]) for x in (4.0, 7.0, 2.0, 16.0)])
    (pair,) = find_pairs(model)
    kernel, bias = pair.compute_kernel_and_bias()
    # gamma 4, beta 7, mean 2, variance 16: one times (3 x + 5 - 2) + 7.
    assert (float(kernel[0, 0, 0, 0]), float(bias[0])) == pytest.approx((3.0, 10.0))


KINDS: dict[str, Callable[[], list[keras.Layer]]] = {
    "plain": lambda: [layers.Conv2D(5, 3, padding="same", use_bias=False)],
    "bias, stride, dilation": lambda: [
        layers.Conv2D(5, 2, strides=2),
        layers.BatchNormalization(),
        layers.Conv2D(4, 2, dilation_rate=2),
    ],
    "groups": lambda: [layers.Conv2D(6, 3, groups=3, padding="same")],
    "depthwise": lambda: [layers.DepthwiseConv2D(3, padding="same", use_bias=False)],
    "depthwise, several": lambda: [layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2)],
    "separable": lambda: [layers.SeparableConv2D(4, 3, padding="same")],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"scale": False, "center": False, "epsilon": 0.1}])
def test_answers_and_gradients_are_those_of_the_layers(kind: str, options: dict[str, Any]) -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            *KINDS[kind](),
            layers.BatchNormalization(**options),
            layers.ReLU(6.0),
            layers.Conv2D(4, 1),
            layers.BatchNormalization(),
        ]
    )
    stir(model)
    freeze_norms(model)
    images = tf.constant(np.random.default_rng(1).normal(size=(2, 8, 8, 3)).astype(np.float32))
    pairs = find_frozen_pairs(model)
    norms = sum(isinstance(layer, layers.BatchNormalization) for layer in model.layers)
    assert len(pairs) == norms
    before = model.get_weights()
    expected, gradients = measure(model, images, True)
    answers, found = measure_folded(pairs, model, images, True)
    np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    for first, second in zip(found, gradients, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-5)
    for first, second in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(first, second)
    again, _ = measure(model, images, True)  # the layers are their own again
    np.testing.assert_array_equal(again, expected)


def test_what_does_more_than_a_convolution_and_a_norm_stays() -> None:
    images = keras.Input((8, 8, 3))
    activated = layers.BatchNormalization()(layers.Conv2D(3, 1, activation="relu")(images))
    read_twice = layers.Conv2D(3, 1)(activated)
    joined = layers.Add()([layers.BatchNormalization()(read_twice), read_twice])
    shared = layers.Conv2D(3, 1)
    twice = layers.BatchNormalization()(shared(shared(joined)))
    rows = layers.BatchNormalization(axis=1)(layers.Conv2D(3, 1)(twice))
    shown = layers.Conv2D(3, 1)(rows)
    model = keras.Model(images, [layers.BatchNormalization()(shown), shown])
    assert find_pairs(model) == []


def test_nested_models_are_searched_and_trained_norms_are_left() -> None:
    inner = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Conv2D(3, 1), layers.BatchNormalization()]
    )
    images = keras.Input((4, 4, 3))
    outer = keras.Model(images, layers.BatchNormalization()(layers.Conv2D(2, 1)(inner(images))))
    assert len(find_pairs(outer)) == 2
    assert find_frozen_pairs(outer) == []
    freeze_norms(inner)
    (pair,) = find_frozen_pairs(outer)
    assert pair.convolution is inner.layers[0]
    batch = tf.random.stateless_normal((5, 4, 4, 3), (1, 2))
    moving = [outer.layers[-1].moving_mean, inner.layers[1].moving_mean]
    with folded([pair]):
        outer(batch, training=True)
    assert np.abs(moving[0].numpy()).max() > 0.0  # the trained one took the batch in
    assert np.abs(moving[1].numpy()).max() == 0.0


def test_a_network_that_fails_leaves_its_layers_as_they_were() -> None:
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), layers.Conv2D(3, 1), layers.BatchNormalization()]
    )
    with pytest.raises(RuntimeError, match="stop"), folded(find_pairs(model)):
        raise RuntimeError("stop")
    assert all("call" not in vars(layer) for layer in model.layers)


SLOW = pytest.mark.slow
#: Backbones and how many of their BatchNorms fold.
BACKBONES = [
    ("efficientnet_lite0", 49),
    pytest.param("mobilenet_v2", 52, marks=SLOW),
    pytest.param("resnet18", 20, marks=SLOW),
    pytest.param("resnet50", 53, marks=SLOW),
    pytest.param("densenet121", 59, marks=SLOW),
    pytest.param("efficientnet_b0", 49, marks=SLOW),
    pytest.param("xception", 40, marks=SLOW),
    pytest.param("mobilenet_v3_small", 34, marks=SLOW),
]


@pytest.mark.parametrize(("name", "count"), BACKBONES)
def test_a_backbone_answers_as_before(name: str, count: int) -> None:
    size = (72, 72) if name == "xception" else (32, 32)
    network = build_network(
        find_spec(name, None), size, weights="none", weights_sha256=None, layers=(), seed=0
    )
    pairs = find_pairs(network)
    assert len(pairs) == count
    generator = np.random.default_rng(2)
    for pair in pairs:  # statistics as a trained network has them
        variance = pair.norm.moving_variance
        variance.assign(generator.uniform(0.5, 2.0, variance.shape))
        pair.norm.moving_mean.assign(generator.normal(0, 0.1, variance.shape))
    images = tf.constant(generator.uniform(-1, 1, (2, *size, 3)).astype(np.float32))
    expected = network(images, training=False).numpy()
    with folded(pairs):
        answers = network(images, training=False).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-4 * np.abs(expected).max())


def test_two_threads_replace_the_same_layer_by_their_own_work() -> None:
    """Devices are traced in turns: one waits within its block while another enters its own."""
    layer = keras.layers.Dense(2, kernel_initializer="ones", bias_initializer="zeros")
    inputs = np.ones((1, 3), np.float32)
    plain = np.asarray(layer(inputs))
    entered, left = threading.Event(), threading.Event()
    found: list[object] = []

    def replace_meanwhile() -> None:
        with replaced({layer: lambda batch: "theirs"}):
            found.append(layer.call(inputs))
            entered.set()
            left.wait()
            found.append(layer.call(inputs))
        found.append(layer.call(inputs))

    with replaced({layer: lambda batch: "mine"}):
        thread = threading.Thread(target=replace_meanwhile)
        thread.start()
        entered.wait()
        assert layer.call(inputs) == "mine"
    np.testing.assert_array_equal(layer.call(inputs), plain)  # theirs is not this thread's
    left.set()
    thread.join()
    assert found[:2] == ["theirs", "theirs"]
    np.testing.assert_array_equal(found[2], plain)
    assert "call" not in vars(layer)


def test_work_that_replaces_another_may_use_it() -> None:
    layer = keras.layers.Dense(2)
    with replaced({layer: lambda batch: batch + 1}):
        inner = layer.call
        with replaced({layer: lambda batch: 10 * inner(batch)}):
            assert layer.call(2) == 30
        assert layer.call(2) == 3
