"""The data set that needs no download: scikit-learn's handwritten digits.

Owns: writing it once as a folder per class. Does not own: reading that folder.

1797 digits of 8x8 pixels, 0 to 9, from the UCI repository (E. Alpaydin, C. Kaynak,
"Optical Recognition of Handwritten Digits", CC BY 4.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tfclassify.events import SILENT, Observer
from tfclassify.files import build_folder, cache_folder

COUNT = 1797
_FULL_SCALE = 16  # the set's grey levels are 0 to 16


def write_digits(observer: Observer = SILENT) -> Path:
    """Write the digits as PNG files into the cache, unless they are there.

    Returns:
        A folder with ten folders, ``0`` to ``9``, of RGB images of 8x8 pixels.
    """
    target = cache_folder() / "builtin" / "digits"
    if sum(1 for _ in target.glob("*/*.png")) == COUNT:
        return target
    from sklearn.datasets import load_digits  # takes a second, and only the first time

    observer.on_note(f"writing scikit-learn's {COUNT:,} digits to {target}")
    digits = load_digits()
    grey = np.rint(digits.images * (255 / _FULL_SCALE)).astype(np.uint8)
    with build_folder(target) as folder:
        for number, (pixels, label) in enumerate(zip(grey, digits.target, strict=True)):
            place = folder / str(label) / f"{number:04}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(np.repeat(pixels[..., None], 3, axis=2)).save(place)
    return target
