from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import ops

from tests.training.builders import make_recipe
from tfclassify.model.folding import fold_all
from tfclassify.training.optimizers import build_optimizer
from tfclassify.training.steps import ForwardPass, TrainingStep

PHASE = {"name": "p", "epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.0}


def make_step(is_accumulating: bool, **sections: object) -> tuple[keras.Model, TrainingStep]:
    """Make a step of one dense layer whose weights start at 0, with an L2 penalty."""
    recipe = make_recipe([PHASE], **sections)
    head = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(3, kernel_initializer="ones", kernel_regularizer="l2"),
        ]
    )
    step = TrainingStep(
        None,
        head,
        is_body_trained=False,
        optimizer=build_optimizer(recipe.phases[0]),
        recipe=recipe,
        is_accumulating=is_accumulating,
    )
    return head, step


INPUTS = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 1]]
WEIGHTS = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 3.0], np.float32)


@pytest.mark.parametrize("task", ["multi_class", "multi_label"])
def test_gathered_batches_are_one_large_batch(task: str) -> None:
    whole, one = make_step(False, task=task)
    parts, several = make_step(True, task=task)
    for _ in range(2):  # the second round shows that nothing of the first is left
        one(INPUTS, TARGETS, WEIGHTS)
        several(INPUTS[:4], TARGETS[:4], WEIGHTS[:4], 4 / 6, ends_group=False)
        before = parts.get_weights()[0]
        several(INPUTS[4:], TARGETS[4:], WEIGHTS[4:], 2 / 6, ends_group=True)
        assert not np.array_equal(before, parts.get_weights()[0])
    for first, second in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_step_by_hand() -> None:
    head, step = make_step(False)
    loss, logits = step(INPUTS[:1], TARGETS[:1], np.array([2.0], np.float32))
    # Three equal logits: each class has 1/3; the penalty is 0.01 * 6 ones.
    assert float(loss) == pytest.approx(2 * np.log(3) + 0.06, abs=1e-5)
    np.testing.assert_allclose(logits, np.full((1, 3), INPUTS[0].sum()), rtol=1e-6)
    slope = 2.0 * (np.full(3, 1 / 3) - TARGETS[0])
    expected = 1.0 - 0.1 * (np.outer(INPUTS[0], slope) + 0.02)
    np.testing.assert_allclose(head.get_weights()[0], expected, atol=1e-6)


@pytest.mark.slow
def test_gathering_goes_with_mixed_precision() -> None:
    runtime = {"precision": "float16"}
    head, step = make_step(True, runtime=runtime)
    before = head.get_weights()[0]
    step(INPUTS[:4], TARGETS[:4], WEIGHTS[:4], 4 / 6, ends_group=False)
    assert np.array_equal(before, head.get_weights()[0])
    step(INPUTS[4:], TARGETS[4:], WEIGHTS[4:], 2 / 6, ends_group=True)
    plain, one = make_step(False)
    one(INPUTS, TARGETS, WEIGHTS)
    np.testing.assert_allclose(head.get_weights()[0], plain.get_weights()[0], atol=1e-5)


def test_images_weigh_what_the_teacher_says_too() -> None:
    """Contract 3: the weight is of the whole image, label and teacher."""
    distil = {"teacher": "t", "temperature": 2.0, "alpha": 0.25}
    _, step = make_step(False, distil=distil)
    told = np.array([[0.0, 1.0, 0.0, 0.25, 0.25, 0.5]], np.float32)
    loss, _ = step(INPUTS[:1], told, np.array([3.0], np.float32))
    # Three equal logits; at temperature 2 the teacher says 1 : 1 : sqrt 2.
    soft = np.array([1.0, 1.0, 2**0.5]) / (2 + 2**0.5)
    cost = 0.25 * 4 * np.sum(soft * np.log(soft * 3)) + 0.75 * np.log(3)
    assert float(loss) == pytest.approx(3 * cost + 0.06, abs=1e-5)


def test_a_pass_rounds_as_the_model_does_unless_it_is_folded() -> None:
    """The saved model is compared with the trained one to the last digits."""
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((9, 9, 3)), layers.Conv2D(16, 3), layers.BatchNormalization()]
    )
    generator = np.random.default_rng(4)
    for weight in model.weights:
        weight.assign(generator.uniform(0.3, 1.7, weight.shape))
    images = generator.uniform(0, 255, (4, 9, 9, 3)).astype(np.float32)
    expected = tf.function(lambda batch: model(batch, training=False))(images).numpy()
    np.testing.assert_array_equal(ForwardPass(model)(images), expected)
    found = ForwardPass(model, fold_all(model))(images).numpy()
    assert not np.array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("is_accumulating", [False, True])
def test_a_step_that_is_gone_leaves_no_graph_with_tensorflow(is_accumulating: bool) -> None:
    before = set(ops.gradient_registry.list())
    _, step = make_step(is_accumulating)
    ones = np.ones((4, 2), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    step(*ones, np.ones(4, np.float32), 1.0, ends_group=True)
    assert set(ops.gradient_registry.list()) == before
