"""File formats by their first bytes, and by how a whole file ends.

Owns: recognising an image by content, and wording what a file is instead.
Does not own: decoding (``images``).
"""

from __future__ import annotations

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
