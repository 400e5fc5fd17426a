"""The head is what ``model.assembly`` says."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tfclassify.errors import ModelError
from tfclassify.model.assembly import build_head
from tfclassify.recipe.names import ACTIVATION_NAMES, INITIALIZER_NAMES
from tfclassify.recipe.schema import HeadRecipe

FEATURES = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)


def build(recipe: HeadRecipe, seed: int = 0, classes: int = 3) -> keras.Model:
    return build_head(recipe, (3, 4, 5), classes, seed=seed)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ("average", FEATURES.sum((1, 2)) / 12),
        ("max", FEATURES.reshape(2, 12, 5).max(1)),
        ("flatten", FEATURES.reshape(2, 60)),
    ],
)
def test_pooling_is_the_one_asked_for(pool: str, expected: np.ndarray) -> None:
    head = build(HeadRecipe(pool=pool))
    pooled = keras.Model(head.input, head.get_layer("pool").output)
    np.testing.assert_allclose(pooled(FEATURES), expected, rtol=1e-5, atol=1e-6)


def test_the_layers_stand_in_their_order() -> None:
    recipe = HeadRecipe(dropout=0.2, dense=(7, 6), batch_norm=True, final_dropout=0.3)
    assert [layer.name for layer in build(recipe).layers] == [
        "features",
        "pool",
        "dropout",
        "dense1",
        "dense1_bn",
        "dense1_activation",
        "dense2",
        "dense2_bn",
        "dense2_activation",
        "final_dropout",
        "logits",
    ]


def test_nothing_stands_there_that_was_not_asked_for() -> None:
    names = [layer.name for layer in build(HeadRecipe()).layers]
    assert names == ["features", "pool", "logits"]


def test_the_logits_are_a_hand_computed_sum() -> None:
    head = build(HeadRecipe(dense=(2,), activation="relu"), classes=2)
    kernel = np.array([[1, -1], [0, 1], [0, 0], [2, 0], [0, 0]], np.float32)
    head.get_layer("dense1").set_weights([kernel, np.array([0.5, -0.5], np.float32)])
    head.get_layer("logits").set_weights(
        [np.array([[1, 0], [1, 2]], np.float32), np.array([0, 1], np.float32)]
    )
    features = np.zeros((1, 3, 4, 5), np.float32)
    features[..., 0], features[..., 1], features[..., 3] = 3.0, 1.0, -1.0
    # dense1: 3 - 2 + 0.5 = 1.5 and -3 + 1 - 0.5 = -2.5, which ReLU makes 0
    assert np.asarray(head(features)).tolist() == [[1.5, 1.0]]


def test_the_seed_decides_kernels_and_dropouts() -> None:
    recipe = HeadRecipe(dense=(8,), dropout=0.5, final_dropout=0.5)
    first, again, other = build(recipe, 1), build(recipe, 1), build(recipe, 2)
    for mine, theirs in zip(first.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    outputs = [np.asarray(head(FEATURES, training=True)) for head in (first, again)]
    assert np.array_equal(*outputs)


def test_penalties_add_up() -> None:
    head = build(HeadRecipe(dense=(2,), l1=0.1, l2=0.01), classes=2)
    for layer in (head.get_layer("dense1"), head.get_layer("logits")):
        kernel, bias = layer.get_weights()
        layer.set_weights([np.full_like(kernel, -2.0), np.full_like(bias, 9.0)])
    # 5x2 and 2x2 kernels of -2, biases left out: 14 x (0.1 x 2 + 0.01 x 4)
    assert float(sum(head.losses)) == pytest.approx(14 * 0.24)


def test_there_is_no_penalty_by_default() -> None:
    assert build(HeadRecipe(dense=(2,))).losses == []


def test_logits_are_float32_under_mixed_precision() -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        head = build(HeadRecipe(dense=(4,)))
    finally:
        keras.config.set_dtype_policy(before)
    assert str(head.get_layer("dense1").output.dtype) == "float16"
    assert str(head.output.dtype) == "float32"


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_every_activation_that_a_recipe_may_name_is_known(name: str) -> None:
    assert build(HeadRecipe(dense=(2,), activation=name)).get_layer("dense1_activation")


@pytest.mark.parametrize("name", INITIALIZER_NAMES)
def test_every_initialiser_that_a_recipe_may_name_is_known(name: str) -> None:
    assert build(HeadRecipe(dense=(2,), initializer=name)).count_params() == 5 * 2 + 2 + 2 * 3 + 3


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.head\.activation: unknown activation 'rleu'"):
        build(HeadRecipe(dense=(2,), activation="rleu"))


def test_an_unknown_initialiser_is_refused() -> None:
    with pytest.raises(ModelError, match=r"model\.head\.initializer: unknown initialiser 'hee'"):
        build(HeadRecipe(initializer="hee"))
