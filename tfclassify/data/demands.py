"""What a small file would ask of its decoder, looked up before it is decoded.

Owns: the limits on parts of a file that take a decoder far longer, or far more memory,
than their size. Does not own: pixels (``images`` caps them), formats (``signatures``).

A picture from a camera or an editor stays below each limit by an order of magnitude.
"""

from __future__ import annotations

import re
import struct

#: Each scan of a progressive JPEG visits every block of it, however little it says.
MAX_SCANS = 100
#: Segments of a JPEG and chunks of a PNG, each of which is a step in Python.
MAX_PARTS = 50_000
#: Pillow joins comments of a GIF in time that grows with their square.
MAX_COMMENT_BYTES = 1 << 20
MAX_COMMENTS = 1_000
#: Pillow unpacks run lengths of a BMP in Python, a line at a time.
MAX_RUN_LENGTH_PIXELS = 1 << 24
MAX_RUN_LENGTH_WIDTH = 1 << 14

_JPEG_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_BARE = (0x01, 0xD8)  # markers that no length follows
_RUN_LENGTHS = (1, 2)  # values of a BMP's compression field


def find_excess(data: bytes, name: str) -> str:
    """Say what of a file asks for too much; empty if nothing does.

    Args:
        data: The whole file.
        name: Its format, a key of ``images.FORMATS``.

    Returns:
        Such as ``it has 5,000 scans, allowed are 100``.
    """
    search = {
        "JPEG": _find_in_jpeg,
        "PNG": _find_in_png,
        "GIF": _find_in_gif,
        "BMP": _find_in_bmp,
    }.get(name)
    return search(data) if search else ""


def _find_in_jpeg(data: bytes) -> str:
    """Count the segments and scans of the first picture in a JPEG."""
    scans = parts = 0
    at = 2
    while (match := _JPEG_MARKER.search(data, at)) and scans <= MAX_SCANS and parts <= MAX_PARTS:
        kind, at = data[match.end() - 1], match.end()
        if kind == _END_OF_IMAGE:
            break
        parts += 1
        scans += kind == _START_OF_SCAN
        if kind not in _BARE:
            at += int.from_bytes(data[at : at + 2], "big")
    if scans > MAX_SCANS:
        return f"it has more than {MAX_SCANS:,} scans"
    return f"it has more than {MAX_PARTS:,} segments" if parts > MAX_PARTS else ""


def _find_in_png(data: bytes) -> str:
    """Count the chunks of a PNG."""
    at, parts = 8, 0
    while at < len(data) and parts <= MAX_PARTS:
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        parts += 1
    return f"it has more than {MAX_PARTS:,} chunks" if parts > MAX_PARTS else ""


def _find_in_gif(data: bytes) -> str:
    """Measure the comments before the third frame of a GIF, as far as Pillow reads."""
    at, frames, comments, size = 13 + _palette_size(data[10:11]), 0, 0, 0
    while at < len(data) and frames < 2:
        kind = data[at]
        if kind == 0x21:
            end = _skip_blocks(data, at + 2)
            if data[at + 1 : at + 2] == b"\xfe":
                comments, size = comments + 1, size + end - at
            at = end
        elif kind == 0x2C:
            frames += 1
            at = _skip_blocks(data, at + 11 + _palette_size(data[at + 9 : at + 10]))
        elif kind == 0x3B:
            break
        else:  # what is no block is passed over byte by byte
            at += 1
        if comments > MAX_COMMENTS or size > MAX_COMMENT_BYTES:
            return f"it has over {MAX_COMMENTS:,} comments or {MAX_COMMENT_BYTES:,} bytes of them"
    return ""


def _palette_size(flags: bytes) -> int:
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    """Return where a GIF's run of sub-blocks ends."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _find_in_bmp(data: bytes) -> str:
    """Bound the size of a BMP that is stored as run lengths."""
    if len(data) < 34 or int.from_bytes(data[14:18], "little") < 40:
        return ""
    width, height = struct.unpack_from("<ii", data, 18)
    if int.from_bytes(data[30:34], "little") not in _RUN_LENGTHS:
        return ""
    if abs(width) <= MAX_RUN_LENGTH_WIDTH and abs(width * height) <= MAX_RUN_LENGTH_PIXELS:
        return ""
    return (
        f"its run lengths make {abs(width)}x{abs(height)} pixels, allowed are "
        f"{MAX_RUN_LENGTH_PIXELS:,} and a width of {MAX_RUN_LENGTH_WIDTH:,}"
    )
