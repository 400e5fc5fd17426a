"""A narrower network is the whole one without the channels that were taken from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers as kl

from tfclassify.backbones.catalog import BACKBONES
from tfclassify.backbones.rebuilding import rebuild
from tfclassify.compress.channels import ChannelMap, follow_channels
from tfclassify.compress.narrowing import (
    choose_channels,
    fit_statistics,
    measure_importance,
    name_channels,
    slice_weights,
)
from tfclassify.errors import ModelError
from tfclassify.model.assembly import build_classifier
from tfclassify.profiler.keras_profile import profile_model
from tfclassify.recipe.schema import ModelRecipe

SIZE = 16


def normed(x: Any, filters: int, kernel: int = 3, **options: Any) -> Any:
    x = kl.Conv2D(filters, kernel, padding="same", use_bias=False, **options)(x)
    return kl.ReLU(6.0)(kl.BatchNormalization()(x))


def residual(x: Any) -> Any:
    x = normed(x, 16)
    y = normed(normed(x, 24), 16)
    z = kl.Add()([x, y])
    return kl.Add()([z, normed(z, 16, 1)])


def inverted(x: Any) -> Any:
    x = normed(x, 16)
    y = kl.DepthwiseConv2D(3, padding="same")(normed(x, 48, 1))
    y = kl.ReLU()(kl.BatchNormalization()(y))
    gate = kl.Reshape((1, 1, 48))(kl.GlobalAveragePooling2D()(y))
    gate = kl.Conv2D(48, 1, activation="sigmoid")(kl.Conv2D(16, 1, activation="swish")(gate))
    y = kl.Conv2D(16, 1)(kl.Multiply()([y, gate]))
    return x + kl.Dropout(0.2)(y)  # an operation of keras.ops, not a layer


def joined(x: Any) -> Any:
    x = normed(x, 16)
    y = kl.Concatenate()([x, normed(x, 16), kl.MaxPooling2D(3, 1, "same")(x)])
    y = kl.BatchNormalization()(y)
    return kl.Concatenate()([y, normed(y, 24, 1)])


def separated(x: Any) -> Any:
    x = kl.SeparableConv2D(16, 3, padding="same")(normed(x, 24))
    x = kl.Conv2D(16, 3, padding="same", groups=16)(kl.ReLU()(x))
    return kl.Dense(32, activation="gelu")(kl.ZeroPadding2D(1)(x))


def flattened(x: Any) -> Any:
    x = kl.MaxPooling2D(4)(normed(x, 16))
    return kl.Reshape((1, 1, 20))(kl.Dense(20, activation="relu")(kl.Flatten()(x)))


def make(body: Callable[[Any], Any]) -> keras.Model:
    """Build a classifier whose body lies within it as a model, with numbers all its own."""
    keras.utils.set_random_seed(1)
    images = keras.Input((SIZE, SIZE, 3))
    inner = keras.Model(images, body(kl.Rescaling(1 / 127.5, -1)(images)))
    logits = kl.Dense(4)(kl.GlobalAveragePooling2D()(inner(images)))
    network = keras.Model(images, logits)
    stir(network)
    return network


def stir(network: keras.Model) -> None:
    draw = np.random.default_rng(0)
    for weight in network.weights:
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(draw.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "moving_mean", "bias"):
            weight.assign(draw.normal(0, 0.1, weight.shape))
        elif len(weight.shape) == 1:  # such as ConvNeXt's scales, which begin at a millionth
            weight.assign(draw.uniform(0.5, 1.5, weight.shape))


def count(network: keras.Model) -> int:
    return profile_model(network, [network.input_shape[1:]], title="", target="").macs


def draw_importance(found: ChannelMap) -> dict[int, float]:
    draw = np.random.default_rng(2)
    roots = {int(root) for each in found.layers for root in found.find(each.gives)}
    return {root: float(draw.uniform()) for root in sorted(roots)}


def kill(found: ChannelMap, gone: set[int]) -> None:
    """Set to zero whatever makes, scales or shifts the channels that go."""
    for each in found.layers:
        left = np.array([int(root) not in gone for root in found.find(each.gives)], float)
        for weight in each.layer.weights:
            axes = [axis for axis, way in each.axes.get(weight.name, {}).items() if way == "out"]
            if axes and weight.name != "moving_variance":
                shape = [1] * len(weight.shape)
                shape[axes[0]] = -1
                weight.assign(weight.numpy() * left.reshape(shape))


@pytest.mark.parametrize("body", [residual, inverted, joined, separated, flattened])
def test_without_dead_channels_it_answers_the_same(body) -> None:
    network = make(body)
    found = follow_channels(network)
    assert found.unknown == []
    total = count(network)
    gone = choose_channels(found, draw_importance(found), 0.5, total, "net")
    narrow = rebuild(network, name_channels(found, gone))
    assert 0.45 * total <= count(narrow) <= 0.5 * total
    kill(found, gone)
    slice_weights(found, gone, network, narrow)
    images = np.random.default_rng(0).uniform(0, 255, (4, SIZE, SIZE, 3)).astype(np.float32)
    expected = network(images, training=False).numpy()
    assert np.ptp(expected) > 1e-2
    np.testing.assert_allclose(narrow(images, training=False), expected, atol=2e-5)


#: One of each family, at the smallest size that all of them take.
FAMILIES = (
    "efficientnet_lite0",
    "mobilenet_v2",
    "resnet50",
    "resnet18",
    "vgg16",
    "mobilenet",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "densenet121",
    "inception_v3",
    "inception_resnet_v2",
    "xception",
    "nasnet_mobile",
    "resnet50_v2",
    "convnext_tiny",
)


def narrow_half(name: str, side: int) -> tuple[keras.Model, keras.Model, int]:
    model = ModelRecipe(backbone=name, weights="none")
    network = build_classifier(model, 5, (side, side), seed=0).network
    stir(network)
    found = follow_channels(network)
    total = count(network)
    gone = choose_channels(found, draw_importance(found), 0.5, total, name)
    model = model.model_copy(update={"channels": name_channels(found, gone)})
    narrow = build_classifier(model, 5, (side, side), seed=0).network
    kill(found, gone)
    slice_weights(found, gone, network, narrow)
    return network, narrow, total


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_becomes_half_as_expensive(name: str) -> None:
    side = 96
    network, narrow, total = narrow_half(name, side)
    assert 0.48 * total <= count(narrow) <= 0.5 * total
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    expected = network(images, training=False).numpy()
    gap = np.abs(narrow(images, training=False).numpy() - expected).max()
    assert gap <= 1e-4 * max(1.0, np.abs(expected).max())


def test_the_families_are_all_of_the_catalog() -> None:
    constructors = {getattr(spec.origin, "constructor", name) for name, spec in BACKBONES.items()}
    modules = {
        getattr(keras.applications, name).__module__ for name in constructors if name[0].isupper()
    }
    known = {BACKBONES[name].origin for name in FAMILIES}
    shown = {
        getattr(keras.applications, origin.constructor).__module__
        for origin in known
        if hasattr(origin, "constructor")
    }
    assert modules - shown == {"keras.src.applications.vgg19"}  # as vgg16, but for three layers


def test_importance_is_what_the_loss_changes_by() -> None:
    network = make(residual)
    found = follow_channels(network)
    draw = np.random.default_rng(3)
    images = draw.uniform(0, 255, (6, SIZE, SIZE, 3)).astype(np.float32)
    targets = np.eye(4)[draw.integers(0, 4, 6)]
    importance = measure_importance(network, found, [(images, targets)])

    def lose() -> float:
        logits = network(images, training=False).numpy().astype(float)
        rest = logits - logits.max(axis=1, keepdims=True)
        chances = np.exp(rest) / np.exp(rest).sum(axis=1, keepdims=True)
        return float(-np.log((chances * targets).sum(axis=1)).mean())

    # By brute force: shrink one channel's weights in one layer by a little and look.
    eps = 1e-2
    each = found.layers[0]
    root = int(found.find(each.gives)[0])
    expected = 0.0
    for layer in found.layers:
        for place in np.flatnonzero(found.find(layer.gives) == root):
            before = [weight.numpy() for weight in layer.layer.weights]
            losses = []
            for sign in (-1, 1):
                for weight, value in zip(layer.layer.weights, before, strict=True):
                    if not weight.name.startswith("moving"):
                        shrunk = value.copy()
                        shrunk[..., place] *= 1 + sign * eps
                        weight.assign(shrunk)
                losses.append(lose())
            for weight, value in zip(layer.layer.weights, before, strict=True):
                weight.assign(value)
            expected += ((losses[1] - losses[0]) / (2 * eps)) ** 2
    assert importance[root] == pytest.approx(expected, rel=0.05)


def test_statistics_are_averages_over_batches() -> None:
    network = make(lambda x: normed(x, 4))
    norm = next(
        layer for layer in network._flatten_layers() if isinstance(layer, kl.BatchNormalization)
    )
    convolution = next(layer for layer in network._flatten_layers() if isinstance(layer, kl.Conv2D))
    norm.trainable, norm.momentum = False, 0.7
    draw = np.random.default_rng(0)
    batches = [draw.uniform(0, 255, (3, SIZE, SIZE, 3)).astype(np.float32) for _ in range(3)]
    seen = [convolution(each / 127.5 - 1).numpy() for each in batches]
    fit_statistics(network, batches)
    means = np.mean([each.mean(axis=(0, 1, 2)) for each in seen], axis=0)
    variances = np.mean([each.var(axis=(0, 1, 2)) for each in seen], axis=0)
    np.testing.assert_allclose(norm.moving_mean, means, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, variances, rtol=1e-3)
    assert norm.momentum == 0.7
    assert not norm.trainable


@keras.saving.register_keras_serializable("test")
class Whitening(kl.Layer):
    """A layer that no walk knows."""

    def call(self, x: Any) -> Any:
        return x - keras.ops.mean(x, axis=-1, keepdims=True)


def test_what_cannot_be_followed_is_kept_and_named() -> None:
    def body(x: Any) -> Any:
        return Whitening(name="whiten")(normed(x, 16))

    network = make(body)
    found = follow_channels(network)
    assert found.unknown == ["whiten (Whitening)"]
    message = (
        r"--macs 0.5: net can be narrowed to 1.00 of its multiply-accumulates only, since 1 layers "
        r"cannot be followed: whiten \(Whitening\); ask for more"
    )
    with pytest.raises(ModelError, match=message):
        choose_channels(found, {}, 0.5, count(network), "net")


def test_an_eighth_of_each_layer_stays() -> None:
    network = make(residual)
    found = follow_channels(network)
    with pytest.raises(ModelError, match=r"--macs 0.001: net can be narrowed to 0.0\d of its"):
        choose_channels(found, {}, 0.001, count(network), "net")
