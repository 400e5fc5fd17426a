"""A model without a network, for the tests of serving; photos for those of the demo."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tfclassify.inference.occlusion import OcclusionMaps
from tfclassify.web.served_model import ServedModel

CLASSES = ("red", "green", "blue")
SIZE = (8, 12)


def share_colours(images: np.ndarray) -> np.ndarray:
    """Say how likely each class is: the colour's share of the image's light, plus one part."""
    light = images.mean(axis=(1, 2)) + 1.0
    return (light / light.sum(axis=1, keepdims=True)).astype(np.float32)


def make_model(**changes: Any) -> ServedModel:
    """Make a model that tells colours."""
    facts: dict[str, Any] = {
        "name": "colours",
        "version": "1",
        "folder": Path("colours"),
        "platform": "keras",
        "classes": CLASSES,
        "image_size": SIZE,
        "resize": "stretch",
        "max_pixels": 10**6,
        "thresholds": None,
        "temperature": 2.0,
        "views": ("identity",),
        "method": "occlusion",
        "ask": share_colours,
        "draw": OcclusionMaps(share_colours, SIZE),
        **changes,
    }
    return ServedModel(**facts)


def encode(colour: tuple[int, int, int], size: tuple[int, int] = (16, 24)) -> bytes:
    """Make a PNG of one colour; ``size`` is (height, width)."""
    stream = io.BytesIO()
    Image.new("RGB", (size[1], size[0]), colour).save(stream, "png")
    return stream.getvalue()


def to_text(content: bytes) -> str:
    """Write bytes as base64."""
    return base64.b64encode(content).decode("ascii")


def give(page: Any, *photos: Path) -> None:
    """Give photos to the demo's page, and wait for the answers."""
    before = page.locator("#history-rows tr").count()
    page.set_input_files("#files", [str(photo) for photo in photos])
    page.locator("#history-rows tr").nth(before + len(photos) - 1).wait_for()
