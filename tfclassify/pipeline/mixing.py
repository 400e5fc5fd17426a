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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from tfclassify.augmentations.randomness import Draws, Numbers
from tfclassify.recipe.schema import MixRecipe

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

#: Cells of the table of a beta distribution. Its distribution function is exact at the
#: nodes between them, so it is nowhere off by more than 1 / CELLS.
CELLS = 4096
#: TensorFlow takes over memory that starts at such a multiple without copying it.
ALIGNMENT = 64


@dataclass(frozen=True)
class Mixing:
    """What is mixed into each image of a batch.

    Attributes:
        partners: ``(b,)`` int64, position of the other image; never the image's own,
            unless it is alone.
        boxes: ``(b, 4)`` int64, where the partner is pasted: (top, bottom, left, right) in
            pixels, the second of each pair outside. All 0 without CutMix.
        blends: ``(b,)`` float32, the partner's part in MixUp; 0 without MixUp.
        shares: ``(b,)`` float32, the partner's share of the label: the mean of ``m``.
    """

    partners: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.int64]
    blends: Floats
    shares: Floats


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
    kind = draws.uniform("mix.kind")
    is_cut = kind < mix.cutmix
    is_blend = ~is_cut & (kind < mix.cutmix + mix.mixup)
    height, width = image_size
    position = draws.uniform("mix.share")
    side = np.sqrt(take_beta(position, mix.cutmix_alpha))
    top, bottom = _place_band(draws.uniform("mix.y"), side, height)
    left, right = _place_band(draws.uniform("mix.x"), side, width)
    area = (bottom - top) * (right - left) / (height * width)
    blend = take_beta(position, mix.mixup_alpha) * is_blend
    box = np.stack([top, bottom, left, right], axis=1) * is_cut[:, None]
    return Mixing(
        partners=draw_partners(draws),
        boxes=box.astype(np.int64),
        blends=blend.astype(np.float32),
        shares=np.where(is_cut, area, blend).astype(np.float32),
    )


def draw_partners(draws: Draws) -> npt.NDArray[np.int64]:
    """Draw ``(b,)`` int64: the image after each one in a drawn order, taken as a circle."""
    order = draws.order("mix.partner")
    partners = np.empty_like(order)
    partners[order] = np.roll(order, -1)
    return partners


def take_beta(uniform: Numbers, alpha: float) -> Numbers:
    """Turn uniform numbers into numbers of the distribution Beta(alpha, alpha).

    Rejection samplers use up an unknown count of random numbers; a quantile function
    needs one, which an address can give.

    Args:
        uniform: ``(b,)`` float64 in [0, 1).
        alpha: Both parameters, positive; 1 is the uniform distribution, less favours the
            ends, more the middle.

    Returns:
        ``(b,)`` float64 in [0, 1], rising with ``uniform``.
    """
    if alpha == 1.0:
        return uniform
    return np.interp(uniform, np.arange(CELLS + 1) / CELLS, _tabulate_quantiles(alpha))


@lru_cache(maxsize=16)
def _tabulate_quantiles(alpha: float) -> Numbers:
    from scipy.special import betaincinv

    return np.asarray(betaincinv(alpha, alpha, np.arange(CELLS + 1) / CELLS), dtype=np.float64)


def mix_images(images: Pixels, mixing: Mixing | None) -> Floats:
    """Mix each image with its partner.

    Args:
        images: ``(b, height, width, 3)`` uint8.
        mixing: What is mixed into each; None for nothing.

    Returns:
        ``(b, height, width, 3)`` float32 in 0..255.
    """
    mixed = empty_aligned(images.shape, np.float32)
    if mixing is None:
        mixed[...] = images
        return mixed
    other = np.empty(images.shape[1:], np.float32)
    rows = zip(mixing.partners, mixing.boxes.tolist(), mixing.blends, strict=True)
    for number, (partner, (top, bottom, left, right), blend) in enumerate(rows):
        image = mixed[number]
        image[...] = images[number]
        if blend > 0.0:
            other[...] = images[partner]
            image *= np.float32(1.0) - blend
            other *= blend
            image += other
        image[top:bottom, left:right] = images[partner, top:bottom, left:right]
    return mixed


def mix_targets(targets: Floats, mixing: Mixing) -> Floats:
    """Mix ``(b, classes)`` targets with those of the partners by their true shares."""
    share = mixing.shares[:, None]
    return targets * (np.float32(1.0) - share) + targets[mixing.partners] * share


def empty_aligned(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Make an array, not filled, that becomes a tensor without a copy."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _place_band(middle: Numbers, part: Numbers, length: int) -> tuple[Numbers, Numbers]:
    """Place bands of ``part * length`` pixels, clipped at the border.

    Args:
        middle: ``(b,)`` float64 in [0, 1), the middle of the band in the image.
        part: ``(b,)`` float64, length of the band before clipping.
        length: Pixels of this axis.

    Returns:
        ``(b,)`` float64 each, whole numbers: first pixel inside and first pixel behind.
    """
    start = np.rint(length * (middle - part / 2))
    end = np.minimum(start + np.rint(length * part), length)
    return np.maximum(start, 0.0), end
