"""The name of a file of decoded images.

Owns: what decoded pixels depend on. Does not own: the file (``cache``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import PIL

from tfclassify.errors import ImageError
from tfclassify.files import hash_file

if TYPE_CHECKING:
    from tfclassify.pipeline.cache import Decoding

#: Raised whenever the decoder gives other pixels for the same file.
DECODER_VERSION = 1


def hash_content(paths: Sequence[str], data: Decoding) -> str:
    """Hash all that decoded pixels depend on: the files' bytes, their order, the decoder.

    Neither where the files lie nor their names enter, so a copied data set finds the
    cache of the first.

    Args:
        paths: Image files in row order.
        data: Size, resizing and limits.

    Returns:
        64 hexadecimal digits.

    Raises:
        ImageError: If a file cannot be read; names its path.
    """
    settings = (DECODER_VERSION, PIL.__version__, data.image_size, data.resize, data.max_pixels)
    whole = hashlib.sha256(repr(settings).encode())
    with ThreadPoolExecutor() as pool:
        for digest in pool.map(_hash_image, paths):
            whole.update(bytes.fromhex(digest))
    return whole.hexdigest()


def _hash_image(path: str) -> str:
    try:
        return hash_file(Path(path))
    except OSError as error:
        raise ImageError(
            f"{path}: the image cannot be read ({error.strerror}); it was there when the data "
            "was scanned: put it back or start a new run"
        ) from error
