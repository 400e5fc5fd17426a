"""The augmentation engines that run the layers of keras and of keras-cv.

Owns: building the layers that the catalogue names for a recipe, mixing with them. Does
not own: which layer stands for which augmentation (``augmentations``), the layers.
keras-cv is an optional dependency and is imported when its engine is built.

Two things to know before choosing one over the native engine:

- The layers draw from generators of their own. Randomness has no address: a resumed run
  sees other images than one that was never stopped, and so does a second run.
- The labels that they give to CutMix images are not used. keras-cv clips the pasted box at
  the border and labels by the box before clipping, up to 0.75 off; keras labels by a box
  with fractions of pixels. Here pixels are counted: a fourth channel, the number of each
  image in its batch, goes through the layer with the others.

What a library has no layer for is an error that names the key, never left out in silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from tfclassify.augmentations.entry import Augmentation, LayerContext
from tfclassify.errors import MissingExtraError, RequestError
from tfclassify.recipe.schema import AugmentRecipe

Layer = Callable[..., Any]


def load_layers(engine: str) -> Any:
    """Import the module that holds an engine's layers.

    Raises:
        MissingExtraError: If keras-cv is wanted and not installed.
    """
    if engine == "keras":
        import keras

        return keras.layers
    try:
        with warnings.catch_warnings():
            # Its own imports use names that keras and setuptools are about to drop.
            warnings.simplefilter("ignore")
            import keras_cv
    except ImportError as error:
        raise MissingExtraError(
            "augment.engine: keras_cv needs keras-cv, which is not installed; run "
            '`pip install "tfclassify[augment]"` or use augment.engine: native'
        ) from error
    return keras_cv.layers


def build_layers(
    augment: AugmentRecipe,
    chosen: Sequence[tuple[Augmentation, Any]],
    image_size: tuple[int, int],
    *,
    seed: int,
    mixed: bool,
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Build the function that augments a batch with the layers of the recipe's engine.

    Args:
        augment: What the recipe asks for.
        chosen: Of the catalogue, with values, in the order of the work.
        image_size: ``(height, width)`` in pixels.
        seed: Seeds the layers' generators.
        mixed: Whether images are mixed with one another.

    Returns:
        A function of images ``(b, height, width, 3)`` float32 in 0..255 and targets
        ``(b, classes)``, for a TensorFlow graph; it has state.

    Raises:
        MissingExtraError: If keras-cv is wanted and not installed.
        RequestError: If the recipe asks for what the library cannot do.
    """
    layers = load_layers(augment.engine)
    singles = list_layers(layers, augment, chosen, image_size, seed)
    mixers = list_mixers(layers, augment, seed) if mixed else []

    def augment_batch(images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for layer in singles:
            images = layer(images, training=True)
        images = tf.clip_by_value(tf.cast(images, tf.float32), 0.0, 255.0)
        if mixers:
            images, targets = _mix(images, targets, mixers)
        return tf.ensure_shape(images, [None, *image_size, 3]), targets

    if augment.engine == "keras":
        return augment_batch
    # Some layers of keras-cv branch on tensors, which a graph must be converted for.
    converted: Callable[..., tuple[tf.Tensor, tf.Tensor]] = tf.function(augment_batch)
    return converted


def list_layers(
    layers: Any,
    augment: AugmentRecipe,
    chosen: Sequence[tuple[Augmentation, Any]],
    image_size: tuple[int, int],
    seed: int,
) -> list[Layer]:
    """List the layers that change images one by one; each resamples by itself.

    Args:
        layers: The engine's module of layers.
        augment: What the recipe asks for.
        chosen: Of the catalogue, with values, in the order of the work.
        image_size: ``(height, width)`` in pixels.
        seed: Seeds the layers' generators.

    Raises:
        RequestError: If the recipe asks for what the library cannot do.
    """
    context = LayerContext(
        layers=layers,
        image_size=image_size,
        read={"fill_mode": augment.fill, "interpolation": augment.interpolation},
        seed={"seed": seed},
        by_chance=_ByChance,
    )
    found = []
    for entry, value in chosen:
        make = entry.layers.get(augment.engine)
        if make is None:
            raise RequestError(
                f"augment.{entry.name}: {augment.engine} has no layer for it, got {value!r}; "
                "use engine: native or leave it out"
            )
        options = {name: getattr(augment, name) for name in entry.options}
        try:
            found.append(make(context, value, **options))
        except ValueError as error:
            raise RequestError(
                f"augment.{entry.name}: {augment.engine} refuses {value!r} ({error}); use "
                "engine: native or another value"
            ) from error
    return found


class _ByChance:
    """Runs a layer on the whole batch and keeps its result for some images."""

    def __init__(self, layer: Layer, chance: float) -> None:
        self.layer, self.chance = layer, chance

    def __call__(self, images: tf.Tensor, training: bool = True) -> tf.Tensor:
        images = tf.cast(images, tf.float32)
        changed = tf.cast(self.layer(images, training=training), tf.float32)
        is_on = tf.random.uniform([tf.shape(images)[0], 1, 1, 1]) < self.chance
        return tf.where(is_on, changed, images)


def list_mixers(layers: Any, augment: AugmentRecipe, seed: int) -> list[tuple[float, Layer]]:
    """List (chance, layer) of the mixing that is on."""
    mix = augment.mix
    mixers: list[tuple[float, Layer]] = []
    if mix.cutmix:
        # Keras draws its beta parameter from a range; keras-cv takes it as it is.
        alpha = mix.cutmix_alpha
        try:
            cutmix = (
                layers.CutMix((alpha, alpha), seed=seed)
                if augment.engine == "keras"
                else layers.CutMix(alpha=alpha, seed=seed)
            )
        except ValueError as error:
            raise RequestError(
                f"augment.mix.cutmix_alpha: {augment.engine} refuses {alpha!r} ({error}); use "
                "engine: native or a number up to 1"
            ) from error
        mixers.append((mix.cutmix, _CountedCutMix(cutmix)))
    if mix.mixup:
        mixup = layers.MixUp(alpha=mix.mixup_alpha, seed=seed)
        mixers.append((mix.mixup, lambda batch: mixup(batch, training=True)))
    return mixers


class _CountedCutMix:
    """A CutMix layer whose labels follow the pixels that were pasted."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def __call__(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        images, targets = batch["images"], batch["labels"]
        numbers = tf.range(tf.shape(images)[0], dtype=tf.float32)
        own = tf.zeros_like(images[..., :1]) + numbers[:, None, None, None]
        mixed = self.layer(
            {"images": tf.concat([images, own], axis=-1), "labels": targets}, training=True
        )["images"]
        seen, own = tf.cast(mixed[..., 3], tf.float32), own[..., 0]
        share = tf.reduce_mean(tf.cast(seen != own, tf.float32), axis=[1, 2])[:, None]
        # Where nothing of another image is seen, its number does not matter.
        far = tf.reduce_max(tf.where(seen != own, seen, -1.0), axis=[1, 2])
        partners = tf.where(far < 0.0, numbers, far)
        others = tf.gather(targets, tf.cast(partners, tf.int32))
        return {
            "images": tf.cast(mixed[..., :3], tf.float32),
            "labels": targets * (1.0 - share) + others * share,
        }


def _mix(
    images: tf.Tensor, targets: tf.Tensor, mixers: list[tuple[float, Layer]]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix the whole batch with each layer and pick at most one result for each image."""
    kind = tf.random.uniform([tf.shape(images)[0]])
    picked_images, picked_targets, low = images, targets, 0.0
    for chance, layer in mixers:
        mixed = layer({"images": images, "labels": targets})
        chosen = (kind >= low) & (kind < low + chance)
        picked_images = tf.where(chosen[:, None, None, None], mixed["images"], picked_images)
        picked_targets = tf.where(chosen[:, None], mixed["labels"], picked_targets)
        low += chance
    return picked_images, picked_targets
