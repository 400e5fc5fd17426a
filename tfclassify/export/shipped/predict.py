"""Say what is on photos.

    python predict.py PHOTO [PHOTO ...]

Needs NumPy, Pillow and the runtime that network.py imports. A photo is read exactly as
in training: upright, RGB, transparent parts white, resized by Pillow's bilinear filter.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin

# EXIF orientation -> how Pillow undoes it; from 5 on, width and height change places.
TURNS = (None, None, 0, 3, 1, 5, 4, 6, 2)
ALPHA = {"RGBA", "RGBa", "LA", "La", "PA"}


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an image of any colours into 8-bit RGB."""
    image.load()
    if image.mode.startswith("I"):  # 16-bit grey keeps its high byte
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    if image.mode in ALPHA or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")


def place(
    size: tuple[int, int], wanted: Sequence[int], resize: str
) -> tuple[tuple[float, float, float, float], tuple[int, int]]:
    """Return the box of an image that is shown and its (width, height) in the answer."""
    width, height = size
    ratios = wanted[0] / width, wanted[1] / height
    if resize == "crop":
        kept = wanted[0] / max(ratios), wanted[1] / max(ratios)
        left, top = (width - kept[0]) / 2, (height - kept[1]) / 2
        right, bottom = min(left + kept[0], width), min(top + kept[1], height)
        return (max(left, 0.0), max(top, 0.0), right, bottom), (wanted[0], wanted[1])
    inner = wanted[0], wanted[1]
    if resize == "letterbox":
        inner = (max(1, round(width * min(ratios))), max(1, round(height * min(ratios))))
    return (0.0, 0.0, width, height), inner


def read_photo(path: str | Path, size: Sequence[int], resize: str) -> np.ndarray:
    """Read a photo as ``size``, (height, width): float32 (height, width, 3), 0..255."""
    with Image.open(path) as image:
        orientation = image.getexif().get(0x0112, 1)
        turn = TURNS[orientation] if orientation in range(1, 9) else None
        wide, high = size if turn is not None and orientation >= 5 else (size[1], size[0])
        box, inner = place(image.size, (wide, high), resize)
        shrink = 1.0
        if isinstance(image, JpegImagePlugin.JpegImageFile):  # decodes smaller for less
            least = (
                max(1, round(2 * inner[0] * image.width / (box[2] - box[0]))),
                max(1, round(2 * inner[1] * image.height / (box[3] - box[1]))),
            )
            width = image.width
            drafted = image.draft(None, least)
            shrink = width / drafted[1][2] if drafted else 1.0
        left, top, right, bottom = (edge / shrink for edge in box)
        edges = (left, top, right, bottom)
        small = to_rgb(image).resize(inner, Image.Resampling.BILINEAR, edges)
    pixels = np.asarray(small if turn is None else small.transpose(Image.Transpose(turn)))
    photo = np.zeros((size[0], size[1], 3), np.float32)
    down, across = (size[0] - pixels.shape[0]) // 2, (size[1] - pixels.shape[1]) // 2
    photo[down : down + pixels.shape[0], across : across + pixels.shape[1]] = pixels
    return photo


def ask(network: Callable[[np.ndarray], np.ndarray], batch: int, images: np.ndarray) -> np.ndarray:
    """Give images (n, H, W, 3) to a network that takes ``batch`` at once; 0: any number."""
    parts, step = [], batch or max(1, len(images))
    for start in range(0, len(images), step):
        part = images[start : start + step]
        filled = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
        parts.append(network(filled if batch else part)[: len(part)])
    return np.concatenate(parts)


def choose(facts: dict[str, Any], probabilities: np.ndarray) -> list[list[str]]:
    """Name the labels of each image: the likeliest class, or all that reach their threshold."""
    classes, limits = facts["classes"], facts["thresholds"]
    if limits is None:
        return [[classes[best]] for best in probabilities.argmax(axis=1)]
    reached = probabilities >= np.array([limits[name] for name in classes])
    return [[classes[place] for place in np.flatnonzero(row)] for row in reached]


def main(files: Sequence[str]) -> tuple[list[list[str]], np.ndarray]:
    """Return the labels of each photo and its probabilities, (photos, classes)."""
    from network import Network  # type: ignore[import-not-found]

    here = Path(__file__).resolve().parent
    facts = json.loads((here / "artefact.json").read_text(encoding="utf-8"))
    network, answers = Network(here / facts["file"]), []
    for file in files:
        photo = read_photo(file, facts["image_size"], facts["resize"])
        answers.append(ask(network, facts["batch"], photo[None]))
    probabilities = np.concatenate(answers)
    return choose(facts, probabilities), probabilities


if __name__ == "__main__":
    all_labels, all_rows = main(sys.argv[1:])
    for path, labels, row in zip(sys.argv[1:], all_labels, all_rows, strict=True):
        print(path, "|".join(labels), f"{row.max():.4f}", sep="\t")
