"""Light and colour: one matrix for what is linear, and equalising, blur and noise.

Owns: the colour augmentations. Does not own: scaling to what a network expects (the
model does that).

Brightness, contrast, saturation, hue, greyscale and inversion are all affine in RGB, so
they compose into one 3 x 4 matrix an image, and a value is cut to 0..255 once, at the end,
instead of after each. They act in the order of this list. Equalising comes before the
matrix; blur and noise come after, as lens and sensor do.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from PIL import Image, ImageFilter, ImageOps

from tfclassify.pipeline.randomness import Draws, Slot, hash_address
from tfclassify.pipeline.stages import Pixels, Stage
from tfclassify.recipe.schema import AugmentRecipe

Matrix = npt.NDArray[np.float64]

#: Luma of RGB: ITU-R BT.601, as Pillow's and TensorFlow's greyscale.
LUMA = np.array([0.299, 0.587, 0.114])
FULL_SCALE = 255.0
#: Every row of it is the luma of a pixel.
TO_GREY = np.tile(LUMA, (3, 1))


def draw_stages(augment: AugmentRecipe, draws: Draws) -> list[Stage]:
    """Draw the colour changes of a batch; what the recipe leaves off makes no stage.

    Args:
        augment: The recipe's augmentation.
        draws: The batch's random numbers.

    Returns:
        Stages in the order of their work.
    """
    stages = []
    if augment.equalise > 0.0:
        stages.append(Stage((draws.happens(Slot.EQUALISE, augment.equalise),), equalise))
    if changes_matrix(augment):
        stages.append(Stage(_draw_matrix_parameters(augment, draws), change_colours))
    if augment.blur > 0.0:
        sigma = draws.uniform(Slot.BLUR_SIGMA, *augment.blur_sigma)
        happens = draws.happens(Slot.BLUR, augment.blur)
        stages.append(Stage((tf.where(happens, sigma, tf.zeros_like(sigma)),), blur))
    if augment.noise > 0.0:
        level = tf.fill(tf.shape(draws.keys), tf.constant(augment.noise, tf.float64))
        key = hash_address(draws.seed, draws.epoch, draws.keys, [Slot.NOISE])[:, 0]
        stages.append(Stage((level, key), add_noise))
    return stages


def changes_matrix(augment: AugmentRecipe) -> bool:
    """Tell whether anything that the colour matrix does is on."""
    ranges = (augment.brightness, augment.contrast, augment.saturation, augment.hue)
    return any(map(any, ranges)) or augment.greyscale > 0.0 or augment.invert > 0.0


def change_colours(
    image: Pixels, parameters: npt.NDArray[np.float64], flags: npt.NDArray[np.bool_]
) -> Pixels:
    """Apply brightness, contrast, saturation, hue, greyscale and inversion in one go.

    Args:
        image: ``(height, width, 3)`` uint8.
        parameters: ``(4,)``: brightness added, as a share of full scale; contrast and
            saturation minus 1; hue in turns.
        flags: ``(2,)``: whether greyscale, whether inverted.

    Returns:
        ``(height, width, 3)`` uint8, rounded and cut to 0..255 once.
    """
    brightness, contrast, saturation, hue = parameters.tolist()
    matrix = np.eye(3)
    offset = np.full(3, FULL_SCALE * brightness)
    if contrast:
        # About the mean luma of the image as it now is, which is affine too. The sum is
        # of whole numbers, so it is the same in any order.
        mean = LUMA @ (image.sum(axis=(0, 1), dtype=np.int64) / (image.size // 3) + offset)
        matrix = (1.0 + contrast) * matrix
        offset = (1.0 + contrast) * (offset - mean) + mean
    for step in _list_linear(saturation, hue, bool(flags[0])):
        matrix, offset = step @ matrix, step @ offset
    if flags[1]:
        matrix, offset = -matrix, FULL_SCALE - offset
    rows = np.column_stack([matrix, offset]).ravel().tolist()
    return np.asarray(Image.fromarray(image).convert("RGB", tuple(rows)))


def turn_hue(turns: float) -> Matrix:
    """Return the rotation of RGB about the grey axis.

    A third of a turn takes red to green, green to blue and blue to red exactly; greys
    stay.

    Args:
        turns: Fraction of a full turn.

    Returns:
        ``(3, 3)``; rows and columns sum to 1.
    """
    cosine, sine = math.cos(2.0 * math.pi * turns), math.sin(2.0 * math.pi * turns)
    skew = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
    return cosine * np.eye(3) + (1.0 - cosine) / 3.0 + sine / math.sqrt(3.0) * skew


def equalise(image: Pixels, is_on: np.bool_) -> Pixels:
    """Spread each channel's histogram evenly over 0..255, if it is on."""
    return np.asarray(ImageOps.equalize(Image.fromarray(image))) if is_on else image


def blur(image: Pixels, sigma: float) -> Pixels:
    """Blur with a Gaussian of ``sigma`` pixels; 0 leaves the image as it is."""
    if sigma == 0.0:
        return image
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(float(sigma))))


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


def _draw_matrix_parameters(augment: AugmentRecipe, draws: Draws) -> tuple[tf.Tensor, ...]:
    ranges = {
        Slot.BRIGHTNESS: augment.brightness,
        Slot.CONTRAST: augment.contrast,
        Slot.SATURATION: augment.saturation,
        Slot.HUE: augment.hue,
    }
    numbers = [draws.uniform(slot, *bounds) for slot, bounds in ranges.items()]
    flags = [
        draws.happens(Slot.GREYSCALE, augment.greyscale),
        draws.happens(Slot.INVERT, augment.invert),
    ]
    return tf.stack(numbers, axis=1), tf.stack(flags, axis=1)


def _list_linear(saturation: float, hue: float, is_grey: bool) -> list[Matrix]:
    steps = []
    if saturation:
        steps.append((1.0 + saturation) * np.eye(3) - saturation * TO_GREY)
    if hue:
        steps.append(turn_hue(hue))
    if is_grey:
        steps.append(TO_GREY)
    return steps
