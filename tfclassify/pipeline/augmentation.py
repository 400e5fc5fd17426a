"""What happens to a batch on its way to the network.

Owns: the order of the augmentations and the choice of engine. Does not own: any single
augmentation.

The order is geometry, colour, erasing, mixing: a picture is first taken, then lit, then
damaged, then mixed. Values stay 0..255 throughout; scaling belongs to the model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfclassify.pipeline import colour, erasing, geometry, mix
from tfclassify.pipeline.randomness import Draws
from tfclassify.pipeline.stages import Stage, run_stages
from tfclassify.recipe.schema import AugmentRecipe

#: (images uint8 (b, h, w, 3), targets (b, c), keys (b,), epoch) -> (images float32, targets)
Augmentation = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, Any], tuple[tf.Tensor, tf.Tensor]]


def build_augmentation(
    augment: AugmentRecipe,
    image_size: tuple[int, int],
    *,
    seed: int,
    augmented: bool = True,
    mixed: bool = True,
) -> Augmentation:
    """Build the function that augments a batch.

    Args:
        augment: What the recipe asks for.
        image_size: ``(height, width)`` in pixels.
        seed: The recipe's seed.
        augmented: Whether images are changed one by one.
        mixed: Whether images are mixed with one another.

    Returns:
        A function of images ``(b, height, width, 3)`` uint8, targets ``(b, classes)``
        float32, keys ``(b,)`` int64 and the epoch, that returns images float32 within
        0..255 and targets. It has no state: equal arguments give equal bits.

    Raises:
        MissingExtraError: If the engine is keras_cv and keras-cv is not installed.
    """
    if augment.engine == "keras_cv" and (augmented or mixed):
        from tfclassify.pipeline.keras_cv_engine import build_keras_cv_augmentation

        return build_keras_cv_augmentation(
            augment, image_size, seed=seed, augmented=augmented, mixed=mixed
        )

    def augment_batch(
        images: tf.Tensor, targets: tf.Tensor, keys: tf.Tensor, epoch: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        draws = Draws(seed, epoch, keys)
        if augmented:
            images = run_stages(images, draw_stages(augment, draws, image_size))
        if not mixed or not mix.is_mixing(augment.mix):
            return tf.cast(images, tf.float32), targets
        mixing = mix.draw_mixing(augment.mix, draws, image_size)
        return mix.mix_images(images, mixing), mix.mix_targets(targets, mixing)

    return augment_batch


def find_warnings(augment: AugmentRecipe) -> list[str]:
    """Say what a user should know of the engine that the recipe chose."""
    found = []
    if augment.engine == "keras_cv":
        from tfclassify.pipeline.keras_cv_engine import LABEL_FAULT, NO_ADDRESS

        found.append(NO_ADDRESS)
        if augment.mix.cutmix > 0.0:
            found.append(LABEL_FAULT)
    return found


def draw_stages(augment: AugmentRecipe, draws: Draws, image_size: tuple[int, int]) -> list[Stage]:
    """Draw all that happens to each image by itself, in order.

    Args:
        augment: What the recipe asks for; what it leaves off makes no stage.
        draws: The batch's random numbers.
        image_size: ``(height, width)`` in pixels.

    Returns:
        The stages, none if the recipe changes nothing.
    """
    stages = [*geometry.draw_stages(augment, draws, image_size)]
    stages += colour.draw_stages(augment, draws)
    if augment.erasing is not None:
        stages.append(erasing.draw_stage(augment.erasing, draws, image_size))
    return stages
