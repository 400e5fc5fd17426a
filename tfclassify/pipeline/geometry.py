"""Flips, rotation, zoom, shift, shear and crop as one resampling.

Owns: the matrix of each geometric augmentation, their product, how matrices are drawn.
Does not own: reading pixels between the grid (``resampling``).

A matrix maps where a pixel of the output is to where it is read in the input. Positions
are ``(x, y)`` in pixels with the centre of the first pixel at 0, so the middle of an image
is ``((width - 1) / 2, (height - 1) / 2)``. An image is first cropped, then flipped, rotated,
sheared, zoomed and shifted: the product of the matrices in that order.

Matrices are float64 until the end and then rounded, so that an image's own matrix does not
depend on the batch that it sits in.
"""

from __future__ import annotations

import math
from functools import partial

import tensorflow as tf

from tfclassify.pipeline.randomness import Draws, Slot
from tfclassify.pipeline.resampling import warp
from tfclassify.pipeline.stages import Stage
from tfclassify.recipe.schema import AugmentRecipe

#: Largest ratio of a crop's sides to those of the image, and its inverse.
CROP_ASPECT = 4.0 / 3.0


def draw_stages(augment: AugmentRecipe, draws: Draws, image_size: tuple[int, int]) -> list[Stage]:
    """Draw the one resampling of a batch; no stage if the recipe moves nothing."""
    matrices = draw_matrices(augment, draws, image_size)
    if matrices is None:
        return []
    read = partial(warp, fill=augment.fill, interpolation=augment.interpolation)
    # Rounding takes away the last bits of sines, which vectorised code gets differently at
    # different places of a batch.
    return [Stage((tf.cast(matrices, tf.float32),), read)]


def draw_matrices(
    augment: AugmentRecipe, draws: Draws, image_size: tuple[int, int]
) -> tf.Tensor | None:
    """Draw one affine matrix an image.

    Args:
        augment: The recipe's augmentation.
        draws: The batch's random numbers.
        image_size: ``(height, width)`` in pixels.

    Returns:
        ``(b, 3, 3)`` float64 from output to input positions; None if the recipe moves
        nothing.
    """
    height, width = image_size
    about_middle = [
        matrix
        for matrix in (
            _draw_flip(augment, draws),
            _draw_rotation(augment, draws),
            _draw_shear(augment, draws),
            _draw_zoom(augment, draws),
        )
        if matrix is not None
    ]
    parts = [_draw_crop(augment, draws, image_size)] if augment.crop else []
    if about_middle:
        parts.append(centre(compose(about_middle), height, width))
    if any(augment.shift):
        parts.append(_draw_shift(augment, draws, image_size))
    return compose(parts) if parts else None


def compose(matrices: list[tf.Tensor]) -> tf.Tensor:
    """Multiply matrices; the first is what an image undergoes first."""
    product = matrices[0]
    for matrix in matrices[1:]:
        product = product @ matrix
    return product


def centre(matrices: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Let matrices act about the middle of the image instead of its first pixel."""
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    return shift_by(middle_x, middle_y) @ matrices @ shift_by(-middle_x, -middle_y)


def shift_by(x: float | tf.Tensor, y: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix that reads ``x`` pixels to the right and ``y`` below."""
    return _stack(1.0, 0.0, x, 0.0, 1.0, y)


def scale_by(x: float | tf.Tensor, y: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix that reads ``x`` and ``y`` times as far from the first pixel."""
    return _stack(x, 0.0, 0.0, 0.0, y, 0.0)


def rotate_by(turns: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix of a rotation; positive turns go counter-clockwise."""
    angle = tf.cast(turns, tf.float64) * (2.0 * math.pi)
    cosine, sine = tf.cos(angle), tf.sin(angle)
    return _stack(cosine, -sine, 0.0, sine, cosine, 0.0)


def shear_by(x: float | tf.Tensor, y: float | tf.Tensor) -> tf.Tensor:
    """Return the matrix of a shear: columns slide by ``y``, rows by ``x``, a pixel."""
    return _stack(1.0, x, 0.0, y, 1.0, 0.0)


def _stack(*rows: float | tf.Tensor) -> tf.Tensor:
    """Join the first two rows of affine matrices, given entry by entry."""
    entries = [tf.cast(value, tf.float64) for value in (*rows, 0.0, 0.0, 1.0)]
    batch = max((entry for entry in entries), key=lambda entry: entry.shape.rank)
    spread = [entry + tf.zeros_like(batch) for entry in entries]
    matrix = tf.stack(spread, axis=-1)
    return tf.reshape(matrix, tf.concat([tf.shape(matrix)[:-1], [3, 3]], axis=0))


def _draw_flip(augment: AugmentRecipe, draws: Draws) -> tf.Tensor | None:
    if not augment.flip:
        return None
    slots = {"horizontal": Slot.FLIP_HORIZONTAL, "vertical": Slot.FLIP_VERTICAL}
    x, y = (
        1.0 - 2.0 * tf.cast(draws.happens(slot, 0.5 * (name in augment.flip)), tf.float64)
        for name, slot in slots.items()
    )
    return scale_by(x, y)


def _draw_rotation(augment: AugmentRecipe, draws: Draws) -> tf.Tensor | None:
    if not any(augment.rotate):
        return None
    return rotate_by(draws.uniform(Slot.ROTATE, *augment.rotate))


def _draw_shear(augment: AugmentRecipe, draws: Draws) -> tf.Tensor | None:
    if not any(augment.shear):
        return None
    return shear_by(
        draws.uniform(Slot.SHEAR_X, *augment.shear), draws.uniform(Slot.SHEAR_Y, *augment.shear)
    )


def _draw_zoom(augment: AugmentRecipe, draws: Draws) -> tf.Tensor | None:
    if not any(augment.zoom):
        return None
    # Reading further from the middle shows more of the image, each thing smaller.
    reach = 1.0 + draws.uniform(Slot.ZOOM, *augment.zoom)
    return scale_by(reach, reach)


def _draw_shift(augment: AugmentRecipe, draws: Draws, image_size: tuple[int, int]) -> tf.Tensor:
    height, width = image_size
    down = height * draws.uniform(Slot.SHIFT_Y, *augment.shift)
    right = width * draws.uniform(Slot.SHIFT_X, *augment.shift)
    return shift_by(-right, -down)


def _draw_crop(augment: AugmentRecipe, draws: Draws, image_size: tuple[int, int]) -> tf.Tensor:
    height, width = image_size
    assert augment.crop is not None  # the caller asked
    area = tf.maximum(draws.uniform(Slot.CROP_AREA, *augment.crop), 1.0 / (height * width))
    # A side longer than the image would lose area, so the aspect stays within 1 / area.
    reach = tf.minimum(tf.math.log(tf.constant(CROP_ASPECT, tf.float64)), -tf.math.log(area))
    aspect = tf.exp(reach * draws.uniform(Slot.CROP_ASPECT, -1.0, 1.0))
    part_x, part_y = tf.sqrt(area * aspect), tf.sqrt(area / aspect)
    left = (1.0 - part_x) * width * draws.uniform(Slot.CROP_X)
    top = (1.0 - part_y) * height * draws.uniform(Slot.CROP_Y)
    # Pixels are squares: the edge of the output, at -0.5, falls on the window's edge.
    return shift_by(left - 0.5, top - 0.5) @ scale_by(part_x, part_y) @ shift_by(0.5, 0.5)
