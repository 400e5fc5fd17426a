"""File formats by their bytes: which one, whole or cut short, and asking for how much.

Owns: recognising an image by content, wording what a file is instead, and the limits on
parts of a file that take a decoder far longer, or far more memory, than their size.
Does not own: decoding, pixels (``images`` caps them).

A picture from a camera or an editor stays below each limit by an order of magnitude.
"""

from __future__ import annotations

import re
import struct

#: First bytes -> name, for the formats that are read.
_READ = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
}
#: First bytes -> what the file is instead.
_STRANGERS = {
    b"II*\x00": "a TIFF image",
    b"MM\x00*": "a TIFF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\xff\x0a": "a JPEG XL image",
    b"\x00\x00\x01\x00": "an icon",
    b"8BPS": "a Photoshop document",
}
_BRANDS = {b"avif": "an AVIF image", b"heic": "a HEIC image", b"heix": "a HEIC image"}


def recognise(data: bytes) -> str | None:
    """Return the format that the first bytes announce, or None if it is not read."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for magic, name in _READ.items() if data.startswith(magic)), None)


def describe_stranger(data: bytes) -> str:
    """Say what a file that is no readable image seems to be."""
    for magic, name in _STRANGERS.items():
        if data.startswith(magic):
            return f"the file is {name}"
    if data[4:8] == b"ftyp":
        return f"the file is {_BRANDS.get(data[8:12], 'a film or an image in a film container')}"
    head = data[:256].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "the file is a web page, as a failed download leaves behind"
    if head.startswith((b"<?xml", b"<svg")):
        return "the file is a drawing or document in XML"
    if not data.strip(b"\x00"):
        return f"the file holds {len(data):,} zero bytes and nothing else"
    return f"the file is not an image, it begins with {data[:8]!r}"


def is_cut_short(data: bytes, name: str) -> bool:
    """Say whether a file of format ``name`` lacks its end.

    Meant for files that failed to decode, to tell a broken transfer from other damage.
    """
    if name == "WebP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if name == "BMP":
        return int.from_bytes(data[2:6], "little") > len(data)
    ends = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b"\x3b"}
    return ends[name] not in data[-64:]


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
