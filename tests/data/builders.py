"""Makes image files of every odd kind, and small sources of data."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.builders import make_photo
from tfclassify.data.index import Index, make_frame
from tfclassify.events import Observer
from tfclassify.recipe.schema import DataRecipe, Recipe


class Listener(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.steps: list[tuple[str, int]] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)

    def on_task_step(self, task: str, done: int) -> None:
        self.steps.append((task, done))


def encode(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Return an image file's bytes."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def make_png(width: int, height: int, depth: int, colour: int, pixels: bytes) -> bytes:
    """Write a PNG by hand, for the kinds that Pillow does not write.

    ``colour`` is 0 for grey, 2 for RGB; ``pixels`` are the rows without filter bytes.
    """
    row = len(pixels) // height
    raw = b"".join(b"\0" + pixels[start : start + row] for start in range(0, len(pixels), row))

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def make_scene(seed: int, size: tuple[int, int] = (48, 64)) -> Image.Image:
    """Make an RGB image of large soft blobs, ``(height, width)``, as photos have."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)


def write_images(root: Path, counts: Mapping[str, int], seed: int = 0) -> Path:
    """Write ``root/<folder>/<n>.png`` for each folder and count; all images differ."""
    for offset, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = make_photo(seed + 1000 * offset + number, (12, 16))
            image.save(root / folder / f"{number}.png")
    return root


def zip_folder(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Pack a folder's files, under ``prefix``."""
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                opened.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def make_index(
    labels: list[str],
    *,
    groups: list[str] | None = None,
    digests: list[str] | None = None,
    splits: list[str] | None = None,
    names: list[str] | None = None,
) -> Index:
    """Make an index without files; every image differs unless ``digests`` says so."""
    names = names or [f"{number:05}.png" for number in range(len(labels))]
    frame = make_frame(
        names,
        [f"/nowhere/{name}" for name in names],
        label=labels,
        group=groups or "",
        split=splits or "",
        sha256=digests or [f"digest of {name}" for name in names],
    )
    return Index(frame, tuple(sorted(set(labels) - {""})), "made up")


def make_set_index(sets: list[str], **columns: Any) -> Index:
    """Make a multi-label index without files; each letter of a text is a label."""
    index = make_index(["|".join(sorted(letters)) for letters in sets], **columns)
    classes = tuple(sorted(set("".join(sets))))
    return Index(index.frame, classes, index.source, is_multi_label=True)


def make_recipe(data: DataRecipe, **keys: Any) -> Recipe:
    """Make a recipe around a data section."""
    rest: dict[str, Any] = {
        "name": "test",
        "model": {"backbone": "resnet50"},
        "phases": [{"name": "head", "epochs": 1}],
    }
    return Recipe.model_validate({**rest, **keys, "data": data})


COCO_CATEGORIES = [
    {"id": 18, "name": "dog", "supercategory": "animal"},
    {"id": 1, "name": "person"},
    {"id": 90, "name": "toothbrush"},
]


def make_box(
    image: int, category: int, sides: tuple[float, float] = (10, 10), **keys: Any
) -> dict[str, Any]:
    """Make an annotation as COCO writes it."""
    return {
        "id": 7,
        "image_id": image,
        "category_id": category,
        "bbox": [1.5, 2.5, *sides],
        "segmentation": [[1.0, 2.0, 3.0]],
        **keys,
    }


def write_coco(path: Path, named: dict[int, str], boxes: list[dict[str, Any]], **keys: Any) -> None:
    """Write annotations of the images ``named`` by their ids."""
    path.parent.mkdir(parents=True, exist_ok=True)
    entries = [{"id": number, "file_name": name} for number, name in named.items()]
    content = {"images": entries, "annotations": boxes, "categories": COCO_CATEGORIES, **keys}
    path.write_text(json.dumps(content), "utf-8")
