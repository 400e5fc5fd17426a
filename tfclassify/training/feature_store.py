"""Features of a frozen backbone on disk, for trainings that differ only behind it.

Owns: what makes two trainings' features the same, and keeping them whole. Does not own:
making them (``sources``), which trainings may share a store: those on the same images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfclassify.files import build_folder, lock_file


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
    ) -> list[np.ndarray]:
        """Return the arrays that ``compute`` makes, from the disk where they are there.

        Of several processes that need the same arrays, one makes them and the others wait.

        Args:
            extractor: The network from images to features; its weights are part of the key.
            facts: All else that the arrays depend on, plain JSON.
            compute: Makes the arrays.
        """
        place = self.folder / find_key(extractor, facts)
        with lock_file(self.folder / f"{place.name}.lock", is_waiting=True):
            if not place.exists():
                with build_folder(place) as unfinished:
                    for number, array in enumerate(compute()):
                        np.save(unfinished / f"{number:04d}.npy", array, allow_pickle=False)
            files = sorted(place.glob("*.npy"))
            return [np.load(file, allow_pickle=False) for file in files]


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
