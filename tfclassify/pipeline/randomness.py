"""Randomness with an address instead of a state.

Owns: the hash that turns (seed, epoch, image key, slot) into numbers, and the list of
slots. Does not own: what the numbers are used for (``geometry``, ``colour``, ``mix``).

A stream of random numbers hands out its next number to whoever asks first, so parallel
reading, resuming and re-running disagree. Here every number is looked up by its address:
nothing is consumed, and no draw depends on another.

The hash folds the parts of the address one by one into a 64-bit state with the finaliser
of SplitMix64, a bijection in which every input bit flips every output bit with chance
close to one half.

Reference:
    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; the
    constants are Stafford's variant 13.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import tensorflow as tf

GOLDEN = 0x9E3779B97F4A7C15
FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
SHIFTS = (30, 27, 31)

#: Bits of a uniform number: as many as a float32 holds exactly.
UNIFORM_BITS = 24


class Slot(IntEnum):
    """What a random number is for.

    The values are part of what a run can be repeated from: new ones go at the end, and
    switching one augmentation on or off leaves the draws of the others as they were.
    """

    ORDER = 0
    PARTNER = 1
    FLIP_HORIZONTAL = 2
    FLIP_VERTICAL = 3
    ROTATE = 4
    ZOOM = 5
    SHIFT_Y = 6
    SHIFT_X = 7
    SHEAR_Y = 8
    SHEAR_X = 9
    CROP_AREA = 10
    CROP_ASPECT = 11
    CROP_Y = 12
    CROP_X = 13
    BRIGHTNESS = 14
    CONTRAST = 15
    SATURATION = 16
    HUE = 17
    GREYSCALE = 18
    INVERT = 19
    EQUALISE = 20
    BLUR = 21
    BLUR_SIGMA = 22
    NOISE = 23
    ERASE = 24
    ERASE_AREA = 25
    ERASE_ASPECT = 26
    ERASE_Y = 27
    ERASE_X = 28
    MIX_KIND = 29
    MIX_SHARE = 30
    MIX_Y = 31
    MIX_X = 32


def hash_address(seed: Any, epoch: Any, keys: Any, slots: Any) -> tf.Tensor:
    """Hash addresses to 64 bits each.

    Args:
        seed: Scalar integer, the recipe's seed.
        epoch: Scalar integer, from 0.
        keys: ``(b,)`` int64, the images' keys.
        slots: ``(s,)`` integers of ``Slot``.

    Returns:
        ``(b, s)`` uint64.
    """
    state = _fold(tf.constant(GOLDEN, tf.uint64), _to_bits(seed))
    state = _fold(state, _to_bits(epoch))
    state = _fold(state, _to_bits(keys))
    return _fold(state[:, None], _to_bits(slots)[None, :])


def draw_uniforms(seed: Any, epoch: Any, keys: Any, slots: Any) -> tf.Tensor:
    """Draw numbers uniform in [0, 1), multiples of 2**-24.

    Args:
        seed: Scalar integer, the recipe's seed.
        epoch: Scalar integer, from 0.
        keys: ``(b,)`` int64, the images' keys.
        slots: ``(s,)`` integers of ``Slot``.

    Returns:
        ``(b, s)`` float32, the same bits on every machine.
    """
    bits = hash_address(seed, epoch, keys, slots)
    top = tf.bitwise.right_shift(bits, tf.constant(64 - UNIFORM_BITS, tf.uint64))
    return tf.cast(tf.cast(top, tf.int32), tf.float32) * np.float32(2.0**-UNIFORM_BITS)


def draw_order(seed: Any, epoch: Any, keys: Any, slot: Slot) -> tf.Tensor:
    """Draw a permutation of images that depends on their keys, not on their rows.

    Args:
        seed: Scalar integer, the recipe's seed.
        epoch: Scalar integer, from 0.
        keys: ``(n,)`` int64, the images' keys.
        slot: Which permutation, such as ``Slot.ORDER``.

    Returns:
        ``(n,)`` int32 positions into ``keys``.
    """
    bits = hash_address(seed, epoch, keys, [slot])[:, 0]
    # A sort wants signed numbers; dropping one bit keeps their order.
    ranks = tf.cast(tf.bitwise.right_shift(bits, tf.constant(1, tf.uint64)), tf.int64)
    return tf.argsort(ranks, stable=True)


def _to_bits(value: Any) -> tf.Tensor:
    return tf.cast(tf.cast(value, tf.int64), tf.uint64)


def _fold(state: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    mixed = tf.bitwise.bitwise_xor(state, value) + tf.constant(GOLDEN, tf.uint64)
    for shift, factor in zip(SHIFTS[:2], FACTORS, strict=True):
        mixed = _fold_shift(mixed, shift) * tf.constant(factor, tf.uint64)
    return _fold_shift(mixed, SHIFTS[2])


def _fold_shift(value: tf.Tensor, shift: int) -> tf.Tensor:
    shifted = tf.bitwise.right_shift(value, tf.constant(shift, tf.uint64))
    return tf.bitwise.bitwise_xor(value, shifted)


class Draws:
    """The uniform numbers of one batch, looked up by slot.

    Args:
        seed: Scalar integer, the recipe's seed.
        epoch: Scalar integer, from 0.
        keys: ``(b,)`` int64, the images' keys.
    """

    def __init__(self, seed: Any, epoch: Any, keys: Any) -> None:
        self.seed, self.epoch, self.keys = seed, epoch, keys
        # Hashing every slot at once costs less than one graph operation more a slot.
        self._values = draw_uniforms(seed, epoch, keys, list(Slot))

    def uniform(self, slot: Slot, low: float = 0.0, high: float = 1.0) -> tf.Tensor:
        """Return ``(b,)`` float64 numbers uniform in [low, high)."""
        # float64, so that what follows rounds to the same float32 in any batch.
        return low + (high - low) * tf.cast(self._values[:, slot], tf.float64)

    def happens(self, slot: Slot, chance: float) -> tf.Tensor:
        """Return ``(b,)`` bool, true with the chance given."""
        return self._values[:, slot] < np.float32(chance)
