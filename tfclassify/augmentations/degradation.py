"""Blur, noise and erasing: what a lens, a sensor and an obstacle do.

Owns: the entries that damage pixels. Does not own: pasting another image (``mixing``).

Reference:
    Erasing: Zhong et al. 2017, arXiv:1708.04896.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tfclassify.augmentations.entry import Augmentation, Key, LayerContext, say_chance
from tfclassify.augmentations.randomness import Bits, Draws, Numbers

Pixels = npt.NDArray[np.uint8]
Size = tuple[int, int]

FULL_SCALE = 255.0
#: What an erased pixel becomes, the middle of the range.
ERASED = 128
#: Largest ratio of an erased rectangle's sides, as shares of the image's, and its inverse.
ASPECT = 3.0


def draw_blur(
    chance: float, draws: Draws, image_size: Size, blur_sigma: tuple[float, float]
) -> tuple[Numbers]:
    """Draw the width of a blur in pixels; 0 for none."""
    return (draws.happens("blur", chance) * draws.uniform("blur.sigma", *blur_sigma),)


def blur(image: Pixels, sigma: float) -> Pixels:
    """Blur with a Gaussian of ``sigma`` pixels; 0 leaves the image as it is."""
    if sigma == 0.0:
        return image
    from PIL import Image, ImageFilter

    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(sigma))))


def draw_noise(level: float, draws: Draws, image_size: Size) -> tuple[Numbers, Bits]:
    """Draw the address of an image's noise; its level is the recipe's."""
    return np.full(len(draws), level), draws.bits("noise")


def add_noise(image: Pixels, level: float, key: np.uint64) -> Pixels:
    """Add Gaussian noise.

    Args:
        image: ``(height, width, 3)`` uint8.
        level: Standard deviation as a share of full scale.
        key: Address of the noise; every pixel and channel gets a number of its own.

    Returns:
        ``(height, width, 3)`` uint8, rounded and cut to 0..255.
    """
    generator = np.random.Generator(np.random.Philox(key=int(key)))
    noisy = generator.standard_normal(image.shape, np.float32)
    noisy *= np.float32(FULL_SCALE * level)
    noisy += image
    return np.clip(np.rint(noisy, out=noisy), 0.0, FULL_SCALE, out=noisy).astype(np.uint8)


def draw_erasing(erasing: Any, draws: Draws, image_size: Size) -> tuple[npt.NDArray[np.int64]]:
    """Draw a rectangle an image, wholly inside; empty where the image is spared.

    Args:
        erasing: ``chance`` and ``area``, a range of shares.
        draws: The batch's random numbers.
        image_size: ``(height, width)`` in pixels.

    Returns:
        ``(b, 4)`` int64 boxes (top, bottom, left, right).
    """
    height, width = image_size
    area = np.maximum(draws.uniform("erasing.area", *erasing.area), 1e-12)
    # A side longer than the image would lose area, so the aspect stays within 1 / area.
    reach = np.minimum(math.log(ASPECT), -np.log(area))
    aspect = np.exp(reach * draws.uniform("erasing.aspect", -1.0, 1.0))
    top, bottom = _place_band(draws.uniform("erasing.y"), np.sqrt(area / aspect), height)
    left, right = _place_band(draws.uniform("erasing.x"), np.sqrt(area * aspect), width)
    happens = draws.happens("erasing", erasing.chance)
    boxes = np.stack([top, bottom, left, right], axis=1) * happens[:, None]
    return (boxes.astype(np.int64),)


def erase(image: Pixels, box: npt.NDArray[np.int64]) -> Pixels:
    """Blank a box ``(top, bottom, left, right)`` of an image ``(height, width, 3)``."""
    top, bottom, left, right = box.tolist()
    if bottom == top or right == left:
        return image
    erased = image.copy()
    erased[top:bottom, left:right] = ERASED
    return erased


def _place_band(place: Numbers, part: Numbers, length: int) -> tuple[Numbers, Numbers]:
    """Return first pixel in and first pixel behind a band of ``part * length`` pixels."""
    size = np.rint(np.minimum(part, 1.0) * length)
    start = np.floor(place * (length - size + 1.0))
    return start, start + size


def _blur_in_keras(context: LayerContext, chance: float, blur_sigma: tuple[float, float]) -> Any:
    taps = 2 * math.ceil(3.0 * blur_sigma[1]) + 1
    layer = context.layers.RandomGaussianBlur(
        kernel_size=taps, sigma=blur_sigma, value_range=(0, 255), **context.seed
    )
    return context.by_chance(layer, chance)


def _blur_in_keras_cv(context: LayerContext, chance: float, blur_sigma: tuple[float, float]) -> Any:
    taps = 2 * math.ceil(3.0 * blur_sigma[1]) + 1
    return context.by_chance(context.layers.RandomGaussianBlur(taps, blur_sigma), chance)


def _add_noise_in_keras(context: LayerContext, level: float) -> Any:
    layer = context.layers.GaussianNoise(level, **context.seed)  # for images in 0..1
    return lambda images, training: layer(images / FULL_SCALE, training=training) * FULL_SCALE


def _erase_in_keras(context: LayerContext, erasing: Any) -> Any:
    chance = (erasing.chance, erasing.chance)
    return context.layers.RandomErasing(
        chance, scale=erasing.area, fill_value=float(ERASED), value_range=(0, 255), **context.seed
    )


def _erase_in_keras_cv(context: LayerContext, erasing: Any) -> Any:
    sides = tuple(math.sqrt(area) for area in erasing.area)
    layer = context.layers.RandomCutout(sides, sides, fill_value=float(ERASED), **context.seed)
    return context.by_chance(layer, erasing.chance)


ENTRIES = (
    Augmentation(
        name="blur",
        acts_on="pixels",
        key=Key("fraction", "Chance of a Gaussian blur.", 0.0),
        draw=draw_blur,
        apply=blur,
        words=say_chance("blur"),
        options={"blur_sigma": Key("amounts", "Blur in pixels.", (0.3, 1.5))},
        layers={"keras": _blur_in_keras, "keras_cv": _blur_in_keras_cv},
    ),
    Augmentation(
        name="noise",
        acts_on="pixels",
        key=Key("fraction", "Standard deviation of Gaussian noise, as a share of full scale.", 0.0),
        draw=draw_noise,
        apply=add_noise,
        words=lambda level: f"noise {100 * level:g} %",
        layers={"keras": _add_noise_in_keras},
    ),
    Augmentation(
        name="erasing",
        acts_on="pixels",
        key=Key(
            "section",
            "Random erasing of a rectangle.",
            None,
            parts={
                "chance": Key("fraction", "Chance for an image.", 0.5),
                "area": Key("fractions", "Share of the image's area.", (0.02, 0.2)),
            },
        ),
        draw=draw_erasing,
        apply=erase,
        words=lambda erasing: f"erasing for {100 * erasing.chance:g} %",
        layers={"keras": _erase_in_keras, "keras_cv": _erase_in_keras_cv},
    ),
)
