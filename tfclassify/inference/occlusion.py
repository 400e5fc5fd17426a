"""Where in an image the evidence for a class lies, by covering it up.

Owns: the map that needs nothing but a network's answers. Does not own: maps from inside a
network, which are sharper and cost one pass (``activation_maps``).

Windows of the image are covered with its mean colour, one at a time; how far the class's
log-odds fall is the evidence in the window (Zeiler and Fergus 2013, arXiv:1311.2901).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np
from PIL import Image

#: Cells of the grid along each side; a window covers a cell and half of its neighbours.
CELLS = 8
#: Least distance of a probability from 0 and 1, so that its log-odds are finite.
_EDGE = 1e-6


class OcclusionMaps:
    """The evidence for classes in images, by covering parts of them.

    Attributes:
        method: ``occlusion``.
        image_size: ``(height, width)`` of the images.

    Args:
        ask: Images ``(n, H, W, 3)`` to probabilities ``(n, classes)``.
        image_size: ``(height, width)``.
        batch_size: Images that are asked about together.
    """

    method = "occlusion"

    def __init__(
        self,
        ask: Callable[[np.ndarray], Any],
        image_size: tuple[int, int],
        batch_size: int = 64,
    ) -> None:
        self._ask, self.image_size, self._batch = ask, image_size, batch_size

    def __call__(self, images: Any, classes: Any) -> np.ndarray:
        """Return the evidence ``(b, H, W)`` float32; as ``ActivationMaps``.

        Each image costs 64 passes, or as many as it has pixels if these are fewer.
        """
        pairs = zip(np.asarray(images, np.float32), np.asarray(classes), strict=True)
        return np.stack([self._draw(image, int(number)) for image, number in pairs])

    def _draw(self, image: np.ndarray, number: int) -> np.ndarray:
        rows, columns = (_windows(side) for side in self.image_size)
        windows = [None, *product(rows, columns)]
        chances = np.concatenate(
            [
                np.asarray(self._ask(_cover(image, windows[start : start + self._batch])))
                for start in range(0, len(windows), self._batch)
            ]
        )[:, number]
        chances = chances.astype(np.float64).clip(_EDGE, 1 - _EDGE)
        odds = np.log(chances / (1 - chances))
        grid = (odds[0] - odds[1:]).reshape(len(rows), len(columns)).astype(np.float32)
        height, width = self.image_size
        shown = Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(shown)


def _cover(image: np.ndarray, windows: Sequence[tuple[slice, slice] | None]) -> np.ndarray:
    """Return the image once for each window, covered there with its mean colour."""
    covered = np.repeat(image[None], len(windows), axis=0)
    for place, window in enumerate(windows):
        if window is not None:
            covered[place][window] = image.mean(axis=(0, 1))
    return covered


def _windows(side: int) -> list[slice]:
    """Return the pixels of each window along a side: a cell, and half of those beside it."""
    cells = min(CELLS, side)
    edges = np.linspace(0, side, cells + 1)
    half = side / cells / 2
    return [
        slice(max(0, round(low - half)), min(side, round(high + half)))
        for low, high in pairwise(edges)
    ]
