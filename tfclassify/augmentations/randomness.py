"""Randomness with an address instead of a state.

Owns: the hash that turns (seed, epoch, image key, name) into numbers. Does not own: what
the numbers are used for.

A stream of random numbers hands out its next number to whoever asks first, so parallel
reading, resuming and re-running disagree. Here every number is looked up by its address:
nothing is consumed, and no draw depends on another. The last part of an address is a
name, such as ``zoom``, so switching one augmentation on or off leaves the draws of the
others as they were, and a new one has draws of its own.

The hash folds the parts of the address one by one into a 64-bit state with the finaliser
of SplitMix64, a bijection in which every input bit flips every output bit with chance
close to one half.

Reference:
    Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"; the
    constants are Stafford's variant 13.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.floating]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))
#: Bits of a hash that a float64 has no room for.
SPARE = np.uint64(11)


class Draws:
    """The random numbers of one batch, looked up by name.

    Args:
        seed: The recipe's seed.
        epoch: From 0.
        keys: ``(b,)`` int64, the images' keys.
    """

    def __init__(self, seed: int, epoch: int, keys: npt.NDArray[np.int64]) -> None:
        start = _fold(_fold(np.array([GOLDEN]), np.uint64(seed)), np.uint64(epoch))
        self._state = _fold(start, np.asarray(keys, np.int64).view(np.uint64))

    def __len__(self) -> int:
        return len(self._state)

    def bits(self, name: str) -> Bits:
        """Return ``(b,)`` uint64, the same on every machine."""
        return _fold(self._state, address_of(name))

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> Numbers:
        """Return ``(b,)`` float64 numbers uniform in [low, high)."""
        return low + (high - low) * ((self.bits(name) >> SPARE) * 2.0**-53)

    def happens(self, name: str, chance: float) -> npt.NDArray[np.bool_]:
        """Return ``(b,)`` bool, true with the chance given."""
        return self.uniform(name) < chance

    def order(self, name: str) -> npt.NDArray[np.int64]:
        """Return a permutation ``(b,)`` that depends on the keys, not on their rows."""
        return np.argsort(self.bits(name), kind="stable")


@lru_cache(maxsize=1024)
def address_of(name: str) -> np.uint64:
    """Return the part of an address that stands for a name."""
    return np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()))


def _fold(state: Bits, value: Bits | np.uint64) -> Bits:
    mixed = (state ^ value) + GOLDEN
    for shift, factor in zip(SHIFTS[:2], FACTORS, strict=True):
        mixed = (mixed ^ (mixed >> shift)) * factor
    return mixed ^ (mixed >> SHIFTS[2])
