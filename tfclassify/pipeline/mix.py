"""CutMix and MixUp, one or the other drawn for each image.

Owns: who is mixed with whom, how much, where, and the soft labels. Does not own: the
loss and its class weights (``stream`` weighs a sample by its soft label).

Both are one formula, ``(1 - m) * image + m * partner``: for MixUp ``m`` is a number, for
CutMix it is 1 inside a box and 0 outside. The label takes the mean of ``m`` over the pixels,
which for CutMix is the true area of the box after it was clipped at the border.

Reference:
    Zhang et al. 2018, arXiv:1710.09412 (MixUp); Yun et al. 2019, arXiv:1905.04899 (CutMix).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfclassify.pipeline.beta import draw_beta
from tfclassify.pipeline.randomness import Draws, Slot, draw_order
from tfclassify.pipeline.stages import Pixels, empty_aligned
from tfclassify.recipe.schema import MixRecipe


@dataclass(frozen=True)
class Mixing:
    """What is mixed into each image of a batch.

    Attributes:
        partners: ``(b,)`` int32, position of the other image; never the image's own,
            unless it is alone.
        boxes: ``(b, 4)`` int32, where the partner is pasted: (top, bottom, left, right) in
            pixels, the second of each pair outside. All 0 without CutMix.
        blends: ``(b,)`` float32, the partner's part in MixUp; 0 without MixUp.
        shares: ``(b,)`` float32, the partner's share of the label: the mean of ``m``.
    """

    partners: tf.Tensor
    boxes: tf.Tensor
    blends: tf.Tensor
    shares: tf.Tensor


def is_mixing(mix: MixRecipe) -> bool:
    """Tell whether the recipe mixes images at all."""
    return mix.cutmix > 0.0 or mix.mixup > 0.0


def draw_mixing(mix: MixRecipe, draws: Draws, image_size: tuple[int, int]) -> Mixing:
    """Draw what is mixed into each image.

    Args:
        mix: Chances and beta parameters.
        draws: The batch's random numbers.
        image_size: ``(height, width)`` in pixels.

    Returns:
        The mixing of the batch.
    """
    kind = draws.uniform(Slot.MIX_KIND)
    is_cut = kind < mix.cutmix
    is_blend = ~is_cut & (kind < mix.cutmix + mix.mixup)
    height, width = image_size
    position = draws.uniform(Slot.MIX_SHARE)
    side = tf.sqrt(draw_beta(position, mix.cutmix_alpha))
    top, bottom = _place_band(draws.uniform(Slot.MIX_Y), side, height)
    left, right = _place_band(draws.uniform(Slot.MIX_X), side, width)
    area = (bottom - top) * (right - left) / (height * width)
    blend = draw_beta(position, mix.mixup_alpha)
    nothing = tf.zeros_like(blend)
    box = tf.stack([top, bottom, left, right], axis=1)
    return Mixing(
        partners=draw_partners(draws),
        boxes=tf.cast(tf.where(is_cut[:, None], box, 0.0), tf.int32),
        blends=tf.cast(tf.where(is_blend, blend, nothing), tf.float32),
        shares=tf.cast(tf.where(is_cut, area, tf.where(is_blend, blend, nothing)), tf.float32),
    )


def draw_partners(draws: Draws) -> tf.Tensor:
    """Draw ``(b,)`` int32: the image after each one in a drawn order, taken as a circle."""
    order = draw_order(draws.seed, draws.epoch, draws.keys, Slot.PARTNER)
    return tf.scatter_nd(order[:, None], tf.roll(order, -1, axis=0), tf.shape(order))


def mix_images(images: tf.Tensor, mixing: Mixing) -> tf.Tensor:
    """Mix each image with its partner.

    Args:
        images: ``(b, height, width, 3)`` uint8.
        mixing: What is mixed into each.

    Returns:
        ``(b, height, width, 3)`` float32 in 0..255.
    """
    inputs = [images, mixing.partners, mixing.boxes, mixing.blends]
    mixed = tf.numpy_function(_mix_pixels, inputs, tf.float32, stateful=False)
    return tf.ensure_shape(mixed, images.shape)


def mix_targets(targets: tf.Tensor, mixing: Mixing) -> tf.Tensor:
    """Mix ``(b, classes)`` targets with those of the partners by their true shares."""
    share = mixing.shares[:, None]
    return targets * (1.0 - share) + tf.gather(targets, mixing.partners) * share


def _mix_pixels(
    images: Pixels,
    partners: npt.NDArray[np.int32],
    boxes: npt.NDArray[np.int32],
    blends: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    mixed = empty_aligned(images.shape, np.float32)
    other = np.empty(images.shape[1:], np.float32)
    for number, (partner, box, blend) in enumerate(zip(partners, boxes, blends, strict=True)):
        image = mixed[number]
        image[...] = images[number]
        if blend > 0.0:
            other[...] = images[partner]
            image *= np.float32(1.0) - blend
            other *= blend
            image += other
        top, bottom, left, right = box
        image[top:bottom, left:right] = images[partner, top:bottom, left:right]
    return mixed


def _place_band(middle: tf.Tensor, part: tf.Tensor, length: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Place bands of ``part * length`` pixels, clipped at the border.

    Args:
        middle: ``(b,)`` float64 in [0, 1), the middle of the band in the image.
        part: ``(b,)`` float64, length of the band before clipping.
        length: Pixels of this axis.

    Returns:
        ``(b,)`` float64 each, whole numbers: first pixel inside and first pixel behind.
    """
    start = tf.round(length * (middle - part / 2))
    end = tf.minimum(start + tf.round(length * part), length)
    return tf.maximum(start, 0.0), end
