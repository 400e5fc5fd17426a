"""Random erasing of a rectangle.

Owns: where the rectangle lies. Does not own: pasting another image there (``mix``).

Reference:
    Zhong et al. 2017, arXiv:1708.04896.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfclassify.pipeline.randomness import Draws, Slot
from tfclassify.pipeline.stages import Pixels, Stage
from tfclassify.recipe.schema import ErasingRecipe

#: What an erased pixel becomes, the middle of the range.
ERASED = 128

#: Largest ratio of the rectangle's sides, as shares of the image's, and its inverse.
ASPECT = 3.0


def draw_stage(erasing: ErasingRecipe, draws: Draws, image_size: tuple[int, int]) -> Stage:
    """Draw a rectangle an image, wholly inside; empty where the image is spared.

    Args:
        erasing: Chance and range of the area.
        draws: The batch's random numbers.
        image_size: ``(height, width)`` in pixels.

    Returns:
        A stage with ``(b, 4)`` int32 boxes (top, bottom, left, right).
    """
    height, width = image_size
    area = tf.maximum(draws.uniform(Slot.ERASE_AREA, *erasing.area), 1e-12)
    # A side longer than the image would lose area, so the aspect stays within 1 / area.
    reach = tf.minimum(tf.constant(math.log(ASPECT), tf.float64), -tf.math.log(area))
    aspect = tf.exp(reach * draws.uniform(Slot.ERASE_ASPECT, -1.0, 1.0))
    top, bottom = _place_band(draws.uniform(Slot.ERASE_Y), tf.sqrt(area / aspect), height)
    left, right = _place_band(draws.uniform(Slot.ERASE_X), tf.sqrt(area * aspect), width)
    happens = draws.happens(Slot.ERASE, erasing.chance)
    box = tf.stack([top, bottom, left, right], axis=1)
    return Stage((tf.cast(tf.where(happens[:, None], box, 0.0), tf.int32),), erase)


def erase(image: Pixels, box: npt.NDArray[np.int32]) -> Pixels:
    """Blank a box ``(top, bottom, left, right)`` of an image ``(height, width, 3)``."""
    top, bottom, left, right = box.tolist()
    if bottom == top or right == left:
        return image
    erased = image.copy()
    erased[top:bottom, left:right] = ERASED
    return erased


def _place_band(place: tf.Tensor, part: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return first pixel in and first pixel behind a band of ``part * length`` pixels."""
    size = tf.round(tf.minimum(part, 1.0) * length)
    start = tf.floor(place * (length - size + 1.0))
    return start, start + size
