"""What an explanation is: evidence for one class in one photo, in the photo's own frame.

Owns: the way from the frame of a network's input back to the photo's, and what is written.
Does not own: finding the evidence (``explanation``), the colours (``overlays``). Needs no
TensorFlow.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tfclassify.data.images import Box, ImageFacts, Resize, open_image, place_image
from tfclassify.files import write_bytes

if TYPE_CHECKING:
    from tfclassify.inference.prediction import ImageInput


@dataclass(frozen=True)
class Explanation:
    """Where the evidence for one class lies in one photo.

    Attributes:
        file: The photo, as ``Prediction.file``.
        label: The class that is explained.
        probability: What the network gives it.
        evidence: ``(h, w)`` float32 in units of the logit, negative where something speaks
            against the class; it covers ``box`` of the photo.
        box: ``(left, top, right, bottom)`` of what the network was shown, in pixels.
        size: ``(height, width)`` of the photo in pixels.
        method: ``cam``, ``grad-cam`` or ``occlusion``.
        views: Names of the views whose maps were averaged.
        source: The photo itself, or its file's bytes.
    """

    file: str
    label: str
    probability: float
    evidence: np.ndarray
    box: Box
    size: tuple[int, int]
    method: str
    views: tuple[str, ...]
    source: ImageInput | bytes = field(repr=False)

    @property
    def peak(self) -> tuple[int, int]:
        """``(x, y)`` of the strongest evidence, in pixels of the photo."""
        row, column = np.unravel_index(self.evidence.argmax(), self.evidence.shape)
        left, top, right, bottom = self.box
        height, width = self.evidence.shape
        x = left + (column + 0.5) * (right - left) / width
        y = top + (row + 0.5) * (bottom - top) / height
        return min(int(x), self.size[1] - 1), min(int(y), self.size[0] - 1)

    def heat(self, size: tuple[int, int] | None = None) -> np.ndarray:
        """Return what speaks for the class, from 0 to 1, in the photo's frame.

        Args:
            size: ``(height, width)``; None for the photo's own.

        Returns:
            ``size`` float32; 0 where the network was not shown the photo, and everywhere
            where nothing speaks for the class.
        """
        height, width = size or self.size
        down, across = height / self.size[0], width / self.size[1]
        left, right = (round(edge * across) for edge in self.box[::2])
        top, bottom = (round(edge * down) for edge in self.box[1::2])
        room = (max(1, right - left), max(1, bottom - top))
        shown = Image.fromarray(self.evidence).resize(room, Image.Resampling.BICUBIC)
        heat = np.zeros((height, width), np.float32)
        part = heat[top : top + room[1], left : left + room[0]]
        part[...] = np.asarray(shown)[: part.shape[0], : part.shape[1]].clip(min=0)
        strongest = heat.max()
        return heat / strongest if strongest > 0 else heat

    def photo(self) -> Image.Image:
        """Return the photo, upright RGB."""
        if isinstance(self.source, bytes):
            return open_image(self.source)[1]
        from tfclassify.inference.prediction import read_input

        return open_image(read_input(self.source))[1]

    def overlay(self, opacity: float = 0.6) -> Image.Image:
        """Return the photo at its own size with what speaks for the class laid over it."""
        from tfclassify.inference.overlays import lay_over

        return lay_over(self.photo(), self.heat(), opacity)

    def to_dict(self) -> dict[str, Any]:
        """Return the facts for JSON; the map itself is in ``save_maps``."""
        return {
            "file": self.file,
            "label": self.label,
            "probability": self.probability,
            "method": self.method,
            "views": list(self.views),
            "size": list(self.size),
            "box": list(self.box),
            "peak": list(self.peak),
        }


@dataclass(frozen=True)
class Explanations(Sequence[Explanation]):
    """What was explained: a sequence of ``Explanation``, an image's classes in a row.

    Attributes:
        rows: The explanations, images in input order.
        failed: Files that could not be used, each with the reason.
    """

    rows: tuple[Explanation, ...]
    failed: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: Any) -> Any:
        return self.rows[position]

    def save_maps(self, path: Path) -> None:
        """Write the evidence as ``.npz``, atomically: ``map_0``, … in order, and their facts.

        The array ``facts`` is a text, the JSON of a list of ``Explanation.to_dict``.
        """
        facts = json.dumps([row.to_dict() for row in self.rows], ensure_ascii=False)
        maps: dict[str, Any] = {f"map_{n}": row.evidence for n, row in enumerate(self.rows)}
        stream = io.BytesIO()
        np.savez_compressed(stream, **maps, facts=np.array(facts))
        write_bytes(path, stream.getvalue())


def cut_to_photo(evidence: np.ndarray, facts: ImageFacts, resize: Resize) -> tuple[np.ndarray, Box]:
    """Cut what is no part of the photo off a map.

    Args:
        evidence: ``(H, W)``, in the frame of what the network was shown.
        facts: Of the photo.
        resize: How the photo was brought to that frame.

    Returns:
        The rest, and the box of the photo that it covers.
    """
    height, width = evidence.shape
    place = place_image((facts.width, facts.height), (width, height), resize)
    across, down = place.inner
    left, top = (width - across) // 2, (height - down) // 2
    return evidence[top : top + down, left : left + across], place.box
