"""Pixels as they are stored, made into upright 8-bit RGB.

Owns: colour modes (grey, palette, CMYK, alpha, 16 bits) and the EXIF orientation.
Does not own: files and their faults, resizing (``images``).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
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
#: EXIF's types that hold a whole number -> how it is stored: SHORT and LONG, with and
#: without a sign.
_WHOLE_NUMBERS = {3: "H", 4: "L", 8: "h", 9: "l"}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
#: Rows converted at a time: what is needed beside the image and its copy stays small.
_BAND = 1 << 22
_GREY_MODES = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
_ALPHA_MODES = {"RGBA", "RGBa", "LA", "La", "PA"}


def read_orientation(info: Mapping[str | tuple[int, int], Any]) -> int:
    """Read the orientation out of what Pillow read beside an image: EXIF, else XMP.

    Cameras write much that is not valid EXIF, and a broken block says nothing about
    the pixels: whatever cannot be read counts as upright.

    Args:
        info: ``Image.info``.

    Returns:
        1 to 8, as EXIF numbers them; 1 is upright, 5 to 8 swap width and height.
    """
    value = _read_exif_orientation(info.get("exif"))
    if value is None:
        xmp = info.get("XML:com.adobe.xmp") or info.get("xmp") or b""
        text = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
        match = _XMP_ORIENTATION.search(text) if isinstance(text, bytes) else None
        value = int(match[1]) if match else 1
    return value if value in TRANSPOSITIONS else 1


def _read_exif_orientation(exif: Any) -> int | None:
    """Return what an EXIF block says, None if it says nothing that can be read."""
    if not isinstance(exif, bytes):
        return None
    block = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        return None
    try:
        (offset,) = struct.unpack_from(order + "L", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, offset)
        for entry in range(entries):
            start = offset + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", block, start)
            if tag == _ORIENTATION_TAG and kind in _WHOLE_NUMBERS:
                (value,) = struct.unpack_from(order + _WHOLE_NUMBERS[kind], block, start + 8)
                return int(value)
    except struct.error:
        pass
    return None


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
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    width, height = image.size
    rows = max(1, _BAND // width)
    if height <= rows:
        return _band_to_rgb(image)
    whole = Image.new("RGB", image.size, None)
    for top in range(0, height, rows):
        band = image.crop((0, top, width, min(top + rows, height)))
        whole.paste(_band_to_rgb(band), (0, top))
    return whole


def _band_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow's own conversion would clip at 255 instead of scaling.
        grey = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        layer = image.convert("RGBA")
        paper = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(paper, layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def count_bytes(image: Image.Image, is_turned: bool) -> int:
    """Return about how many bytes it takes to decode an opened image and make it RGB."""
    stored = 1 if image.mode in ("1", "L", "P") else 2 if image.mode.startswith("I;") else 4
    # Pillow keeps a pixel of RGB in 4 bytes. A progressive JPEG is kept as coefficients of
    # 2 bytes for each of up to 4 components until its last scan.
    waiting = 8 if image.info.get("progressive") else 0
    copies = 4 * (image.mode != "RGB" or "transparency" in image.info) + 4 * is_turned
    return image.width * image.height * (stored + waiting + copies)
