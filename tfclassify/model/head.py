"""The head: what turns a feature map into logits.

Owns: the order of its layers and what ``model.head`` means.
"""

from __future__ import annotations

from typing import Any

import keras

from tfclassify.backbones.building import seeded_construction
from tfclassify.errors import ModelError
from tfclassify.recipe.schema import HeadRecipe


def build_head(
    recipe: HeadRecipe, feature_shape: tuple[int, int, int], classes: int, *, seed: int
) -> keras.Model:
    """Build pooling, dropout, the dense stack and the class layer.

    A dense layer is kernel, BatchNorm where asked, activation. L1 and L2 apply to
    every kernel of the head, the class layer's included. The class layer computes in
    float32 even under mixed precision.

    Args:
        recipe: The head's options.
        feature_shape: ``(h, w, c)`` of the feature map.
        classes: Number of classes.
        seed: Decides the kernels and the dropouts.

    Returns:
        Features ``(b, h, w, c)`` to logits ``(b, classes)`` float32. The pooling layer
        is named ``pool``, the class layer ``logits``.

    Raises:
        ModelError: If Keras knows no such activation or initialiser.
    """
    with seeded_construction(seed, "head"):
        features = keras.Input(feature_shape, name="features")
        x = make_pool(recipe.pool, "pool")(features)
        if recipe.dropout:
            x = keras.layers.Dropout(recipe.dropout, name="dropout")(x)
        for number, units in enumerate(recipe.dense, start=1):
            x = _apply_dense(x, recipe, units, number)
        if recipe.final_dropout:
            x = keras.layers.Dropout(recipe.final_dropout, name="final_dropout")(x)
        logits = keras.layers.Dense(
            classes,
            kernel_initializer=_make_initializer(recipe.initializer),
            kernel_regularizer=_make_regularizer(recipe),
            dtype="float32",
            name="logits",
        )(x)
        return keras.Model(features, logits, name="head")


def make_pool(pool: str, name: str) -> keras.Layer:
    """Make the layer that turns a feature map into a vector: average, max or flatten."""
    kinds = {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }
    return kinds[pool](name=name)


def _apply_dense(x: Any, recipe: HeadRecipe, units: int, number: int) -> Any:
    """Apply one dense layer of the stack."""
    x = keras.layers.Dense(
        units,
        kernel_initializer=_make_initializer(recipe.initializer),
        kernel_regularizer=_make_regularizer(recipe),
        name=f"dense{number}",
    )(x)
    if recipe.batch_norm:
        x = keras.layers.BatchNormalization(name=f"dense{number}_bn")(x)
    try:
        activation = keras.layers.Activation(recipe.activation, name=f"dense{number}_activation")
    except ValueError as error:
        raise ModelError(
            f"model.head.activation: unknown activation {recipe.activation!r}; "
            "use relu, gelu, silu, elu, tanh or another that Keras knows"
        ) from error
    return activation(x)


def _make_initializer(name: str) -> keras.Initializer:
    """Make a kernel initialiser; each call makes one that draws other numbers."""
    try:
        return keras.initializers.get(name)
    except ValueError as error:
        raise ModelError(
            f"model.head.initializer: unknown initialiser {name!r}; "
            "use glorot_uniform, he_normal, lecun_normal or another that Keras knows"
        ) from error


def _make_regularizer(recipe: HeadRecipe) -> keras.Regularizer | None:
    """Make the penalty on a kernel, or None where there is none."""
    if not recipe.l1 and not recipe.l2:
        return None
    return keras.regularizers.L1L2(l1=recipe.l1, l2=recipe.l2)
