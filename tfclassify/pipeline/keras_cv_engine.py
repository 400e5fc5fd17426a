"""The augmentation engine that runs keras-cv's layers.

Owns: which keras-cv layer stands for which key of a recipe. Does not own: the layers.
keras-cv is an optional dependency and is imported when an engine is built.

Two things to know before choosing it over the native engine:

- Its CutMix clips the pasted box at the border of the image and labels by the box before
  clipping, always in favour of the pasted image. A full-sized box about a corner shows a
  quarter of itself, so a label can be off by 0.75.
- Its layers draw from generators of their own. Randomness has no address: a resumed run
  sees other images than one that was never stopped, and so does a second run.

What it cannot do is an error that names the key, never left out in silence.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import tensorflow as tf

from tfclassify.errors import MissingExtraError, RequestError
from tfclassify.recipe.schema import AugmentRecipe

#: Said to the user whenever the engine's CutMix is on.
LABEL_FAULT = (
    "augment.engine: keras_cv labels CutMix images by the box before it is clipped at the "
    "border, up to 0.75 off; augment.engine: native labels by the true area"
)

#: Said to the user whenever the engine is used.
NO_ADDRESS = (
    "augment.engine: keras_cv draws from generators with a state, so neither a resumed nor a "
    "repeated run sees the same images; augment.engine: native does"
)
#: Keys that keras-cv has no layer for.
LACKING = ("noise", "invert")
#: Keys whose layer goes to either side by the same range.
SYMMETRIC = ("hue", "shear")

Layer = Callable[..., Any]


def load_keras_cv() -> ModuleType:
    """Import keras-cv.

    Raises:
        MissingExtraError: If it is not installed.
    """
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
    module: ModuleType = keras_cv
    return module


def build_keras_cv_augmentation(
    augment: AugmentRecipe,
    image_size: tuple[int, int],
    *,
    seed: int,
    augmented: bool = True,
    mixed: bool = True,
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """Build the function that augments a batch with keras-cv's layers.

    Args:
        augment: What the recipe asks for.
        image_size: ``(height, width)`` in pixels.
        seed: Seeds the layers' generators.
        augmented: Whether images are changed one by one.
        mixed: Whether images are mixed with one another.

    Returns:
        A function as ``augmentation.build_augmentation`` returns, but with state.

    Raises:
        MissingExtraError: If keras-cv is not installed.
        RequestError: If the recipe asks for what keras-cv cannot do.
    """
    layers = load_keras_cv().layers
    singles = list_layers(layers, augment, image_size, seed) if augmented else []
    mixers = list_mixers(layers, augment, seed) if mixed else []

    def augment_batch(
        images: tf.Tensor, targets: tf.Tensor, _keys: tf.Tensor, _epoch: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        images, targets = tf.cast(images, tf.float32), tf.convert_to_tensor(targets)
        for layer in singles:
            images = layer(images, training=True)
        images = tf.clip_by_value(images, 0.0, 255.0)
        images, targets = _mix(images, targets, mixers)
        return tf.ensure_shape(images, [None, *image_size, 3]), targets

    return augment_batch


def list_layers(
    layers: Any, augment: AugmentRecipe, image_size: tuple[int, int], seed: int
) -> list[Layer]:
    """List the layers that change images one by one; each resamples by itself.

    Args:
        layers: The module ``keras_cv.layers``.
        augment: What the recipe asks for.
        image_size: ``(height, width)`` in pixels.
        seed: Seeds the layers' generators.

    Raises:
        RequestError: If the recipe asks for what keras-cv cannot do.
    """
    for key in LACKING:
        if getattr(augment, key):
            raise RequestError(
                f"augment.{key}: keras-cv has no layer for it, got {getattr(augment, key)!r}; "
                "use engine: native or leave it out"
            )
    for key in SYMMETRIC:
        low, high = getattr(augment, key)
        if low != -high:
            raise RequestError(
                f"augment.{key}: keras-cv's layer wants a range around 0, got {[low, high]!r}; "
                f"use engine: native or {key}: {max(abs(low), abs(high))}"
            )
    try:
        geometric = _list_geometry(layers, augment, image_size, seed)
        return geometric + _list_colour(layers, augment, seed)
    except ValueError as error:
        raise RequestError(
            f"augment: keras-cv refuses a range ({error}); use engine: native or a smaller one"
        ) from error


def list_mixers(layers: Any, augment: AugmentRecipe, seed: int) -> list[tuple[float, Layer]]:
    """List (chance, layer) of the mixing that is on."""
    mix = augment.mix
    mixers = []
    if mix.cutmix:
        mixers.append((mix.cutmix, layers.CutMix(alpha=mix.cutmix_alpha, seed=seed)))
    if mix.mixup:
        mixers.append((mix.mixup, layers.MixUp(alpha=mix.mixup_alpha, seed=seed)))
    return mixers


def _list_geometry(
    layers: Any, augment: AugmentRecipe, image_size: tuple[int, int], seed: int
) -> list[Layer]:
    read = {"fill_mode": augment.fill, "interpolation": augment.interpolation, "seed": seed}
    found: list[Layer] = []
    if augment.crop:
        crop = layers.RandomCropAndResize(
            image_size, augment.crop, (3 / 4, 4 / 3), augment.interpolation, seed=seed
        )
        found.append(crop)
    if augment.flip:
        found.append(layers.RandomFlip("_and_".join(sorted(set(augment.flip))), seed=seed))
    if any(augment.rotate):
        found.append(layers.RandomRotation(augment.rotate, **read))
    if any(augment.shear):
        reach = (0.0, augment.shear[1])
        found.append(layers.RandomShear(reach, reach, **read))
    if any(augment.zoom):
        found.append(layers.RandomZoom(augment.zoom, **read))
    if any(augment.shift):
        found.append(layers.RandomTranslation(augment.shift, augment.shift, **read))
    return found


def _list_colour(layers: Any, augment: AugmentRecipe, seed: int) -> list[Layer]:
    scale = (0, 255)
    found: list[Layer] = []

    def add_by_chance(layer: Layer, chance: float) -> None:
        if chance > 0.0:
            found.append(layers.RandomApply(layer, rate=chance, seed=seed))

    add_by_chance(layers.Equalization(value_range=scale), augment.equalise)
    if any(augment.brightness):
        found.append(layers.RandomBrightness(augment.brightness, value_range=scale, seed=seed))
    if any(augment.contrast):
        # The layer takes (a, b) for factors from 1 - a to 1 + b.
        reach = (-augment.contrast[0], augment.contrast[1])
        found.append(layers.RandomContrast(value_range=scale, factor=reach, seed=seed))
    if any(augment.saturation):
        # The layer turns its factor x into x / (1 - x), so 0.5 changes nothing.
        low, high = ((1.0 + bound) / (2.0 + bound) for bound in augment.saturation)
        found.append(layers.RandomSaturation((low, high), seed=seed))
    if any(augment.hue):
        # The layer's factor 1 is half a turn.
        reach = (0.0, 2.0 * augment.hue[1])
        found.append(layers.RandomHue(reach, value_range=scale, seed=seed))
    add_by_chance(layers.Grayscale(output_channels=3), augment.greyscale)
    taps = 2 * math.ceil(3.0 * augment.blur_sigma[1]) + 1
    add_by_chance(layers.RandomGaussianBlur(taps, augment.blur_sigma), augment.blur)
    if augment.erasing is not None:
        low, high = (math.sqrt(area) for area in augment.erasing.area)
        cutout = layers.RandomCutout((low, high), (low, high), fill_value=128.0, seed=seed)
        add_by_chance(cutout, augment.erasing.chance)
    return found


def _mix(
    images: tf.Tensor, targets: tf.Tensor, mixers: list[tuple[float, Layer]]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix the whole batch with each layer and pick at most one result for each image."""
    kind = tf.random.uniform([tf.shape(images)[0]])
    picked_images, picked_targets, low = images, targets, 0.0
    for chance, layer in mixers:
        mixed = layer({"images": images, "labels": targets}, training=True)
        chosen = (kind >= low) & (kind < low + chance)
        picked_images = tf.where(chosen[:, None, None, None], mixed["images"], picked_images)
        picked_targets = tf.where(chosen[:, None], mixed["labels"], picked_targets)
        low += chance
    return picked_images, picked_targets
