"""Makes the small things that tests need: photos, folders, archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (200, 40, 40), "green": (40, 190, 60), "blue": (50, 60, 210)}


def make_photo(seed: int, size: tuple[int, int] = (24, 32), colour: tuple[int, ...] = ()) -> Image:
    """Make a noisy RGB image of ``(height, width)`` around a colour; all seeds differ."""
    generator = np.random.default_rng(seed)
    base = np.array(colour or (128, 128, 128), dtype=np.float64)
    noise = generator.normal(0, 30, (*size, 3))
    return Image.fromarray(np.clip(base + noise, 0, 255).astype(np.uint8), "RGB")


def make_photo_folder(
    root: Path, images_per_class: int = 6, size: tuple[int, int] = (24, 32), seed: int = 0
) -> Path:
    """Write ``root/<class>/<n>.png`` for the classes of ``COLOURS``; easy to learn."""
    for offset, (name, colour) in enumerate(COLOURS.items()):
        folder = root / name
        folder.mkdir(parents=True)
        for number in range(images_per_class):
            image = make_photo(seed + 1000 * offset + number, size, colour)
            image.save(folder / f"{number:03}.png")
    return root


def make_outcome(
    seed: int, images: int, classes: int, skill: float = 1.5
) -> tuple[np.ndarray, np.ndarray]:
    """Make class ids ``(images,)`` and probabilities that lean towards them."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(classes, size=images)
    logits = generator.normal(size=(images, classes))
    logits[np.arange(images), targets] += skill
    powers = np.exp(logits)
    return targets, powers / powers.sum(axis=1, keepdims=True)


def make_label_outcome(
    seed: int, images: int, classes: int, skill: float = 2.0, share: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Make multi-hot labels ``(images, classes)`` and probabilities that lean towards them."""
    generator = np.random.default_rng(seed)
    targets = (generator.random((images, classes)) < share).astype(np.float32)
    logits = generator.normal(size=targets.shape) + skill * (targets - 0.5)
    return targets, 1.0 / (1.0 + np.exp(-logits))
