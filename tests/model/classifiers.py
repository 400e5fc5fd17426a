"""Small classifiers that the tests of this folder share."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.recipe.schema import HeadRecipe, LayerRecipe, ModelRecipe, Recipe

TINY_LAYERS = (
    LayerRecipe(conv=4, batch_norm=True, pool=2),
    LayerRecipe(conv=6, batch_norm=True),
    LayerRecipe(conv=8, dropout=0.1),
)


def make_recipe(**model: Any) -> Recipe:
    """Make a recipe for images of 16x24 and the tiny custom network."""
    options: dict[str, Any] = {
        "backbone": "custom_cnn",
        "weights": "none",
        "layers": TINY_LAYERS,
        **model,
    }
    return Recipe(
        name="tiny",
        data={"source": "photos", "image_size": (16, 24), "resize": "crop", "max_pixels": 10**6},
        model=ModelRecipe(**options),
        phases=({"name": "all", "epochs": 1},),
    )


def make_tiny(classes: int = 3, seed: int = 0, **head: Any) -> Classifier:
    """Build a custom network of two BatchNorms, for images of 16x24."""
    recipe = make_recipe(head=HeadRecipe(**head))
    return build_classifier(recipe.model, classes, recipe.data.image_size, seed=seed)


def make_lite(classes: int = 3, size: tuple[int, int] = (32, 32), **head: Any) -> Classifier:
    """Build a classifier on the pretrained EfficientNet-Lite0."""
    model = ModelRecipe(backbone="efficientnet_lite0", head=HeadRecipe(**head))
    return build_classifier(model, classes, size, seed=0)


def make_images(count: int, size: tuple[int, int] = (16, 24), seed: int = 0) -> np.ndarray:
    """Make noise, ``(count, height, width, 3)`` float32 in 0..255."""
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 255, (count, *size, 3)).astype(np.float32)


def take_steps(classifier: Classifier, count: int = 2, size: tuple[int, int] = (16, 24)) -> None:
    """Train on noise, as one would: training=True, gradients of whatever is trainable."""
    images, labels = make_images(6, size), np.arange(6) % 3
    optimizer = keras.optimizers.SGD(0.1)
    for _ in range(count):
        with tf.GradientTape() as tape:
            logits = classifier.network(images, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
            )
        variables = classifier.network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
