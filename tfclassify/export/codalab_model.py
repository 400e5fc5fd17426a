"""The model of a submission: images in, classes out, every test-time view inside.

This file is ``model.py`` of a submission and is run where only TensorFlow and
NumPy are installed, be it in an older Python. It reads the SavedModel beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

FOLDER = "SubmissionModel"
#: Bits behind the point of Pillow's resampling weights for 8-bit images.
_BITS = 22


class model:
    """What the competition's server imports and calls."""

    def __init__(self, path: str) -> None:
        """Load the network.

        Args:
            path: Folder that the submission was unpacked into.
        """
        folder = Path(path) / FOLDER
        settings = (folder / "assets.extra" / "settings.json").read_text(encoding="utf-8")
        self.settings = json.loads(settings)
        self._saved = tf.saved_model.load(str(folder))
        self._network = self._saved.signatures["serving_default"]

    def predict(self, X: Any) -> tf.Tensor:
        """Return the class id of each image, ``(n,)`` int64.

        Where an image may have several labels, return 1 for each of them and else 0,
        ``(n, classes)`` int64.

        Args:
            X: Images 0..255, RGB, of one size: a tensor or array ``(n, H, W, 3)``, or
                a ``tf.data.Dataset`` of batches of them, with or without labels.
        """
        scores = self.predict_scores(X)
        thresholds = self.settings.get("thresholds")
        if thresholds is None:
            return tf.argmax(scores, axis=-1)
        probabilities = scores / np.float32(self.settings["score_scale"])
        return tf.cast(probabilities >= np.array(thresholds, np.float32), tf.int64)

    def predict_scores(self, X: Any) -> np.ndarray:
        """Return the score of each class: the mean of the views' probabilities, or their sum.

        Args:
            X: As for ``predict``.

        Returns:
            ``(n, classes)`` float32.
        """
        scores = [np.zeros((0, len(self.settings["classes"])), np.float32)]
        for images in self._cut_batches(X):
            batch = fit_images(images, self.settings["image_size"], self.settings["resize"])
            (answer,) = self._network(images=tf.constant(batch, tf.float32)).values()
            scores.append(answer.numpy())
        return np.concatenate(scores)

    def _cut_batches(self, images: Any) -> Iterator[np.ndarray]:
        """Yield arrays of few enough images, ``(b, H, W, 3)``, to fit into memory."""
        size = self.settings["images_per_batch"]
        if isinstance(images, tf.data.Dataset):
            for element in images:
                first = element[0] if isinstance(element, (tuple, list)) else element
                # A dataset that was not batched gives one image at a time.
                yield from self._cut_batches(first[None] if len(first.shape) == 3 else first)
            return
        if not hasattr(images, "shape"):
            images = np.asarray(images)
        if len(images.shape) != 4 or images.shape[-1] != 3:
            raise ValueError(f"X must be of shape (n, height, width, 3), got {images.shape}")
        for start in range(0, images.shape[0], size):
            yield np.asarray(images[start : start + size])


def fit_images(images: np.ndarray, image_size: tuple[int, int], resize: str) -> np.ndarray:
    """Bring images to the network's size exactly as those it was trained on.

    Args:
        images: ``(b, H, W, 3)`` of any number type, 0..255.
        image_size: ``(height, width)`` wanted.
        resize: ``stretch``, ``crop`` (the middle, of the wanted shape) or
            ``letterbox`` (all of it, with black bars).

    Returns:
        ``(b, height, width, 3)``; the images themselves if they have that size,
        else float64 with whole numbers.
    """
    height, width = images.shape[1:3]
    wanted = (int(image_size[0]), int(image_size[1]))
    if (height, width) == wanted:
        return images
    whole = np.clip(np.rint(images.astype(np.float64)), 0, 255)
    ratios = (wanted[0] / height, wanted[1] / width)
    if resize == "crop":
        kept = (wanted[0] / max(ratios), wanted[1] / max(ratios))
        top, left = max((height - kept[0]) / 2, 0.0), max((width - kept[1]) / 2, 0.0)
        bottom = min((height - kept[0]) / 2 + kept[0], height)
        right = min((width - kept[1]) / 2 + kept[1], width)
        return resample(whole, wanted, (left, top, right, bottom))
    box = (0.0, 0.0, width, height)
    if resize == "letterbox":
        rows, columns = (max(1, round(side * min(ratios))) for side in (height, width))
        top, left = (wanted[0] - rows) // 2, (wanted[1] - columns) // 2
        canvas = np.zeros((len(images), wanted[0], wanted[1], 3))
        inner = resample(whole, (rows, columns), box)
        canvas[:, top : top + rows, left : left + columns] = inner
        return canvas
    return resample(whole, wanted, box)


def resample(
    images: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """Resize whole-numbered images bilinearly with antialiasing, bit for bit as Pillow.

    Pillow resamples the width first, rounds to 8 bits, then the height.

    Args:
        images: ``(b, H, W, 3)`` float64 of whole numbers 0..255.
        size: ``(height, width)`` wanted.
        box: Left, top, right and bottom of the part that is shown, in pixels.
    """
    left, top, right, bottom = box
    # With weights of 22 bits, sums in double precision are exact, as Pillow's integers.
    across = weigh_pixels(images.shape[2], size[1], left, right)
    down = weigh_pixels(images.shape[1], size[0], top, bottom)
    narrow = _round(np.matmul(across, images))
    batch, height, width, channels = narrow.shape
    rows = np.matmul(down, narrow.reshape(batch, height, width * channels))
    return _round(rows).reshape(batch, size[0], width, channels)


def weigh_pixels(pixels: int, wanted: int, start: float, stop: float) -> np.ndarray:
    """Return how much each output position reads of each pixel of a row.

    Returns:
        ``(wanted, pixels)``, whole numbers that add up to about 2^22 in each row.
    """
    # Pillow keeps the edges of the part that is shown in single precision.
    first_edge, last_edge = np.float32(start), np.float32(stop)
    scale = float(last_edge - first_edge) / wanted
    reach = max(scale, 1.0)  # a smaller picture reads a wider triangle of pixels
    centres = float(first_edge) + (np.arange(wanted) + 0.5) * scale
    first = np.maximum(np.trunc(centres - reach + 0.5), 0)
    last = np.minimum(np.trunc(centres + reach + 0.5), pixels)
    position = np.arange(pixels)
    weights = np.maximum(1 - np.abs((position + 0.5 - centres[:, None]) / reach), 0)
    weights *= (position >= first[:, None]) & (position < last[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    return np.floor(weights * 2**_BITS + 0.5)


def _round(sums: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(sums / 2**_BITS + 0.5), 0, 255)
