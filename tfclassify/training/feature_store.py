"""Where the features of a frozen backbone are kept: in memory, mapped from disk, or shared.

Owns: how much memory they may take, and what is more on disk; for trainings that differ only
behind the backbone, what makes their features the same, and keeping them whole. Does not own:
making them (``sources``), which trainings may share a store: those on the same images.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import DTypeLike

from tfclassify.data.memory import available_memory
from tfclassify.errors import DataError
from tfclassify.files import build_folder, cache_folder, lock_file
from tfclassify.pipeline.cache import find_budget, free_disk
from tfclassify.recipe.data_schema import DataRecipe
from tfclassify.recipe.wording import format_bytes


class FeatureRoom:
    """Room for the arrays of one phase: memory up to a budget, then files that are mapped.

    A mapped file has no name: it is gone with the process, however that ends.
    """

    def __init__(self, data: DataRecipe) -> None:
        """Find the budget now: ``cache_gb``, or a share of what is free.

        Args:
            data: Its ``cache`` says ``memory`` or ``disk`` for all arrays; else they go to
                memory while they fit.
        """
        self._asked = data.cache_gb
        self._left = {"memory": sys.maxsize, "disk": 0}.get(data.cache, find_budget(data.cache_gb))
        self._in_memory = self._mapped = 0

    def make_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """Return an array to be filled.

        Raises:
            DataError: If neither the budget nor the disk has room for it.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if not self._take(size):
            return np.empty(shape, dtype)
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix="features-") as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk kills whoever writes a page
                os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, dtype, "w+", shape=shape))

    def open_array(self, file: Path) -> np.ndarray:
        """Return the array of a NumPy file, mapped where the budget has no room for it."""
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        return np.asarray(mapped) if self._take(mapped.nbytes, is_there=True) else np.array(mapped)

    def _take(self, size: int, *, is_there: bool = False) -> bool:
        """Account for an array; say whether it is to be on the disk."""
        if size <= self._left:
            self._left -= size
            self._in_memory += size
            return False
        free = sys.maxsize if is_there else free_disk(cache_folder())
        if size > free:
            if self._asked is None and size <= available_memory():
                self._in_memory += size
                return False
            raise DataError(
                f"features: {format_bytes(size)} more are needed; data.cache_gb leaves "
                f"{format_bytes(self._left)} of memory, and {cache_folder()} has "
                f"{format_bytes(free)} free: allow more by data.cache_gb, make room, set "
                "TFCLASSIFY_CACHE to a larger disk, or remove the phase's features"
            )
        self._mapped += size
        return True

    def describe(self) -> str:
        """Say where the features are; empty where all of them are in memory."""
        if not self._mapped:
            return ""
        whole = format_bytes(self._in_memory + self._mapped)
        return (
            f"features: {format_bytes(self._mapped)} of {whole} are kept in memory-mapped files, "
            "since data.cache and data.cache_gb allow no more memory"
        )


@dataclass(frozen=True)
class FeatureStore:
    """A folder of features, one folder a key, each whole or absent.

    Attributes:
        folder: Of this store; made when it is first needed.
    """

    folder: Path

    def fetch(
        self,
        extractor: keras.Model,
        facts: Mapping[str, Any],
        compute: Callable[[], list[np.ndarray]],
        room: FeatureRoom,
    ) -> list[np.ndarray]:
        """Return the arrays that ``compute`` makes, from the disk where they are there.

        Of several processes that need the same arrays, one makes them and the others wait.

        Args:
            extractor: The network from images to features; its weights are part of the key.
            facts: All else that the arrays depend on, plain JSON.
            compute: Makes the arrays.
            room: Says which of them are read into memory.
        """
        place = self.folder / find_key(extractor, facts)
        with lock_file(self.folder / f"{place.name}.lock", is_waiting=True):
            if not place.exists():
                with build_folder(place) as unfinished:
                    for number, array in enumerate(compute()):
                        np.save(unfinished / f"{number:04d}.npy", array, allow_pickle=False)
            files = sorted(place.glob("*.npy"))
            return [room.open_array(file) for file in files]


def find_key(extractor: keras.Model, facts: Mapping[str, Any]) -> str:
    """Return 64 hexadecimal digits that differ wherever the features could.

    Args:
        extractor: The network from images to features.
        facts: All else that they depend on, plain JSON.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    # Names count the networks that a process has built, so they are no part of the key.
    kinds = [type(layer).__name__ for layer in extractor.layers]
    digest.update(json.dumps([kinds, keras.__version__, keras.config.dtype_policy().name]).encode())
    for weight in extractor.weights:
        array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
