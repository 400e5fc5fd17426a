"""Photos that show little: too dark, blurred, or empty.

Owns: three numbers of a photo, and the limits from which they are remarked on. Does not own:
images that cannot be read (``data.scan``), other reasons to doubt one (``issues``).

A photo is measured at a longest side of 256 pixels, in grey from 0 to 255:

- brightness: what a twentieth of its pixels exceeds; a dark photo has no bright part at all,
  while a photo of something black has;
- contrast: the standard deviation of its pixels;
- sharpness: the standard deviation of the Laplacian (each pixel against its four neighbours),
  by the contrast. Blurring takes away fine differences and leaves coarse ones.

Dark and empty have fixed limits. What is sharp depends on what is photographed, so a photo is
blurred where it is far below the others: by three interquartile ranges of the logarithm below
the lower quartile (Tukey's outer fence, 1977).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tfclassify.data.images import open_image
from tfclassify.errors import ImageError
from tfclassify.events import SILENT, Observer

Floats = NDArray[np.float64]
#: Longest side at which photos are measured; smaller ones are not enlarged.
SIDE = 256
#: Limits of brightness and contrast, of grey from 0 to 255.
DARK, EMPTY = 40.0, 4.0
#: Sides below this are too small to tell blur from few pixels.
_LEAST_SIDE = 48
#: Photos from which quartiles say something.
_LEAST_PHOTOS = 20
_TASK = "looking at photos"


def measure_photos(paths: Sequence[str], observer: Observer = SILENT) -> Floats:
    """Measure photos in threads.

    Returns:
        Brightness, contrast and sharpness, ``(n, 3)``; NaN for a photo that cannot be read,
        and for the sharpness of one that is too small or empty.
    """
    measured = np.full((len(paths), 3), np.nan)
    observer.on_task_start(_TASK, len(paths))
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1), "photos") as pool:
        for row, found in enumerate(pool.map(_measure_file, paths)):
            measured[row] = found
            observer.on_task_step(_TASK, row + 1)
    observer.on_task_end(_TASK)
    return measured


def _measure_file(path: str) -> tuple[float, float, float]:
    from PIL import Image

    try:
        image = open_image(Path(path))[1]
    except (ImageError, OSError):
        return np.nan, np.nan, np.nan
    image.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    return measure_photo(np.asarray(image.convert("L"), dtype=np.float64))


def measure_photo(grey: Floats) -> tuple[float, float, float]:
    """Measure one photo.

    Args:
        grey: ``(height, width)``, 0 to 255.

    Returns:
        Its brightness, contrast and sharpness; the last one NaN where it is not told.
    """
    brightness, contrast = float(np.quantile(grey, 0.95)), float(grey.std())
    if min(grey.shape) < _LEAST_SIDE or contrast < EMPTY:
        return brightness, contrast, np.nan
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return brightness, contrast, float((around - 4 * inner).std() / contrast)


def find_blur_limit(sharpness: Floats) -> float:
    """Return the sharpness below which a photo is blurred; 0 where there are too few photos."""
    known = sharpness[np.isfinite(sharpness) & (sharpness > 0)]
    if len(known) < _LEAST_PHOTOS:
        return 0.0
    low, high = np.quantile(np.log(known), [0.25, 0.75])
    return float(np.exp(low - 3 * (high - low)))
