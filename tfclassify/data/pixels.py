"""Pixels as they are stored, made into upright 8-bit RGB.

Owns: colour modes (grey, palette, CMYK, alpha, 16 bits) and the EXIF orientation.
Does not own: files and their faults, resizing (``images``).
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from PIL import Image

#: EXIF orientation -> the transposition that undoes it.
TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_SHORT = 3
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
_ALPHA_MODES = {"RGBA", "RGBa", "LA", "La", "PA"}


def read_orientation(exif: Any) -> int:
    """Read the orientation tag out of an EXIF block.

    Cameras write much that is not valid EXIF, and a broken block says nothing about
    the pixels: whatever cannot be read counts as upright.

    Args:
        exif: The block's bytes, with or without its ``Exif`` prefix; or None.

    Returns:
        1 to 8, as EXIF numbers them; 1 is upright, 5 to 8 swap width and height.
    """
    if not isinstance(exif, bytes):
        return 1
    block = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(order + "L", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, offset)
        for entry in range(entries):
            tag, kind, _, value = struct.unpack_from(order + "HHLH", block, offset + 2 + 12 * entry)
            if tag == _ORIENTATION_TAG and kind == _SHORT:
                return value if value in TRANSPOSITIONS else 1
    except struct.error:
        pass
    return 1


def make_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Undo an EXIF orientation, 1 to 8."""
    if orientation == 1:
        return image
    return image.transpose(TRANSPOSITIONS[orientation])


def find_colour_remarks(image: Image.Image) -> tuple[str, ...]:
    """Name what is unusual about the colours of an opened, not yet loaded image.

    Returns:
        Some of ``cmyk``, ``greyscale``, ``palette``, ``alpha``, ``sixteen_bit``.
    """
    # Pillow drops the low byte of 16-bit colour while it decodes; only the tile tells.
    raw_modes = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    remarks = {
        "cmyk": image.mode == "CMYK",
        "greyscale": image.mode in _GREY_MODES,
        "palette": image.mode in {"P", "PA"},
        "alpha": image.mode in _ALPHA_MODES or "transparency" in image.info,
        "sixteen_bit": image.mode.startswith("I") or ";16" in raw_modes,
    }
    return tuple(name for name, holds in remarks.items() if holds)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded image of any mode to 8-bit RGB.

    Transparent pixels show white, as on paper. 16-bit grey keeps its high byte.
    """
    if image.mode.startswith("I"):
        # Pillow's own conversion would clip at 255 instead of scaling.
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, layer)
    return image if image.mode == "RGB" else image.convert("RGB")
