"""Optimizers, and rates that fall towards the input."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications.convnext import LayerScale

from tests.training.builders import make_recipe
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.recipe.schema import ModelRecipe, PhaseRecipe
from tfclassify.training.optimizers import build_optimizer, list_factors


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    recipe = make_recipe([{"name": "p", "epochs": 1}])
    return build_classifier(recipe.model, 3, (16, 16), seed=0)


def test_factors_fall_from_the_head_to_the_input(classifier: Classifier) -> None:
    factors = list_factors(classifier, 0.5)
    assert {factors[id(variable)] for variable in classifier.head.weights} == {1.0}
    weighty = [layer for layer in classifier.extractor.layers if layer.weights]
    found = [factors[id(layer.weights[0])] for layer in weighty]
    # Two blocks: convolution and BatchNorm of the first, convolution of the second.
    assert found == [0.25, 0.25, 0.5]
    assert set(factors) >= {id(variable) for variable in classifier.network.weights}


@pytest.mark.slow
def test_each_backbone_of_a_stack_counts_its_own_blocks() -> None:
    model = ModelRecipe.model_validate(
        {
            "stack": [
                {"backbone": "efficientnet_lite0", "weights": "none"},
                {"backbone": "mobilenet", "weights": "none"},
            ]
        }
    )
    stack = build_classifier(model, 3, (32, 32), seed=0)
    factors = list_factors(stack, 0.5)
    for member in stack.members:
        found = [
            factors[id(layer.weights[0])] for layer in member.extractor.layers if layer.weights
        ]
        assert found[-1] == 0.5
        assert found == sorted(found)
        assert len(set(found)) > 5


def take_step(optimizer: str, factor: float | None, **phase: object) -> tuple[float, float]:
    """Return what one step made of two weights of 1 whose gradients are 2."""
    recipe = PhaseRecipe.model_validate(
        {"name": "p", "epochs": 1, "optimizer": optimizer, "learning_rate": 0.1, **phase}
    )
    near, far = (keras.Variable(np.float32(1.0)) for _ in range(2))
    factors = None if factor is None else {id(near): 1.0, id(far): factor}
    built = build_optimizer(recipe, factors)
    built.build([near, far])
    built.apply_gradients([(np.float32(2.0), near), (np.float32(2.0), far)])
    return float(near.numpy()), float(far.numpy())


@pytest.mark.parametrize("kind", ["adam", "adamw"])
@pytest.mark.parametrize("is_compiled", [True, False])
def test_adam_in_one_pass_is_keras_own(kind: str, is_compiled: bool) -> None:
    generator = np.random.default_rng(0)
    start = [generator.normal(size=shape).astype(np.float32) for shape in ((3, 4), (5,))]
    given = {"weight_decay": 0.1, "clip_norm": 2.0}
    phase = PhaseRecipe.model_validate({"name": "p", "epochs": 1, "optimizer": kind, **given})
    own = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[kind]
    ends = []
    for optimizer in (build_optimizer(phase), own(weight_decay=0.1, global_clipnorm=2.0)):
        variables = [keras.Variable(value) for value in start]
        optimizer.build(variables)
        take = optimizer.apply_gradients if not is_compiled else tf.function(optimizer.apply)
        draw = np.random.default_rng(1)
        for rate in (0.1, 0.02, 0.3):
            optimizer.learning_rate = rate
            gradients = [tf.constant(draw.normal(size=v.shape), tf.float32) for v in variables]
            take(gradients if is_compiled else zip(gradients, variables, strict=True))
        ends.append([v.numpy() for v in variables])
    for ours, theirs, first in zip(*ends, start, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert np.abs(ours - first).min() > 1e-3


def test_a_step_is_as_long_as_its_factor() -> None:
    assert take_step("sgd", 0.25) == pytest.approx((1 - 0.2, 1 - 0.05), abs=1e-6)


def test_weight_decay_follows_the_factor() -> None:
    # First 1 - rate * decay, then the step: 1 * (1 - 0.1 * 0.5) - 0.2; a quarter of both.
    near, far = take_step("sgd", 0.25, weight_decay=0.5)
    assert near == pytest.approx(0.75, abs=1e-6)
    assert far == pytest.approx(1 - 0.0125 - 0.05, abs=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
def test_every_optimizer_keeps_to_the_factors(optimizer: str) -> None:
    plain, _ = take_step(optimizer, None)
    near, far = take_step(optimizer, 0.25)
    assert near == pytest.approx(plain, abs=1e-7)
    assert 1 - far == pytest.approx(0.25 * (1 - plain), rel=1e-3)


def test_a_factor_of_one_changes_nothing() -> None:
    assert take_step("adamw", 1.0) == take_step("adamw", None)


def test_layer_scale_is_spared_from_weight_decay() -> None:
    """Its vector has no telling name in Keras, and was decayed."""
    images = keras.Input((4, 4, 6))
    scale = LayerScale(1e-6, 6)
    network = keras.Model(images, keras.layers.Conv2D(6, 1)(scale(images)))
    phase = PhaseRecipe(name="all", epochs=1, weight_decay=0.1)
    optimizer = build_optimizer(phase, variables=network.variables)
    optimizer.build(network.trainable_variables)
    decayed = [v.shape for v in network.trainable_variables if optimizer._use_weight_decay(v)]
    assert decayed == [(1, 1, 6, 6)]
