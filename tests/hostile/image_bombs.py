"""Small image files that would keep a decoder busy, or fill the memory."""

from __future__ import annotations

import io
import struct
import zlib

from PIL import Image

from tests.data.builders import encode, make_png
from tests.hostile.cases import Case


def make_cases() -> list[Case]:
    """Make every bomb; each file is a few megabytes at most."""
    gif = encode(Image.new("P", (8, 8)), "GIF")
    start = 13 + (3 << (gif[10] & 7) + 1)
    block = b"\xff" + b"a" * 255
    png = encode(Image.new("RGB", (8, 8)))
    jpeg = encode(Image.new("RGB", (8, 8)), "JPEG")
    text = zlib.compress(bytes(8 << 20))
    contents = {
        "jpeg of 100 scans": make_scans(9_900, 9_900, 98),
        "jpeg of 5,000 scans": make_scans(9_900, 9_900, 5_000),
        "jpeg of hidden scans": make_scans(9_900, 9_900, 5_000, b"\xff\x01\xff\xff"),
        "jpeg of many segments": jpeg[:2] + b"\xff\xe5\0\2" * 200_000 + jpeg[2:],
        "png of many chunks": png[:33] + make_chunk(b"tEXt", b"a\0b") * 100_000 + png[33:],
        "png of long texts": png[:33] + make_chunk(b"zTXt", b"a\0\0" + text) * 9 + png[33:],
        "png of a long profile": png[:33] + make_chunk(b"iCCP", b"a\0\0" + text) + png[33:],
        "png of zeros": make_png(9_999, 9_999, 8, 0, bytes(9_999 * 9_999)),
        "gif of a long comment": gif[:start] + b"\x21\xfe" + block * 40_000 + b"\0" + gif[start:],
        "gif of many comments": gif[:start] + b"\x21\xfe\x01a\0" * 500_000 + gif[start:],
        "gif of a long extension": gif[:start]
        + b"\x21\xff\x0bXMP DataXMP"
        + block * 20_000
        + b"\0"
        + gif[start:],
        "gif without an end": gif[:-1] + b"\x21\xf9\x04\0\0\0\0\0" * 200_000,
        "bmp of long lines": make_run_length_bmp(9_999, 9_999),
        "bmp of one line": make_run_length_bmp(99_999_999, 1, b"\0\2\xff\xff" * 50),
        "bmp of jumps": make_run_length_bmp(4_000, 4_000, b"\0\2\xff\xff" * 50),
        "webp of many frames": encode_animation(200),
    }
    return [Case("asks for too much", name, content) for name, content in contents.items()]


def make_chunk(kind: bytes, body: bytes) -> bytes:
    """Make a PNG chunk with its checksum."""
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def encode_animation(frames: int) -> bytes:
    """Make an animated WebP of tiny frames."""
    images = [Image.new("RGB", (8, 8), (number, 0, 0)) for number in range(frames)]
    stream = io.BytesIO()
    images[0].save(stream, "WEBP", save_all=True, append_images=images[1:], lossless=True)
    return stream.getvalue()


def make_run_length_bmp(width: int, height: int, code: bytes | None = None) -> bytes:
    """Make a grey BMP of run lengths; by default one pixel a line, and end of line."""
    code = (b"\x01\x05\x00\x00" * height if code is None else code) + b"\x00\x01"
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(code), 0, 0, 256, 0)
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(code), 0, 0, offset) + header + palette + code


def make_scans(width: int, height: int, count: int, before: bytes = b"") -> bytes:
    """Make a progressive grey JPEG of zeros, whose scans say nothing at a byte a block or less.

    Each scan is one run of empty blocks after the other (EOBRUN with 14 bits), so that a
    few bytes have the decoder visit every block. ``before`` goes before each scan.
    """
    plain = encode(Image.new("L", (8, 8)), "JPEG")
    start = plain.index(b"\xff\xdb")
    tables = plain[start : start + 2 + int.from_bytes(plain[start + 2 : start + 4], "big")]
    frame = struct.pack(">HBHHB", 11, 8, height, width, 1) + bytes([1, 0x11, 0])
    codes = b"".join(
        b"\xff\xc4" + struct.pack(">H", 20) + kind + bytes([1, *[0] * 15]) + symbol
        for kind, symbol in ((b"\x10", b"\xe0"), (b"\x00", b"\x00"))
    )
    blocks = -(-width // 8) * -(-height // 8)
    bits = ("0" + "1" * 14) * (blocks // 32_767 + 1)
    bits += "1" * (-len(bits) % 8)
    body = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    scan = before + b"\xff\xda" + struct.pack(">HB", 8, 1)
    first = scan + bytes([1, 0, 0, 0, 1]) + bytes(blocks // 8 + 1)
    return b"".join(
        [b"\xff\xd8", tables, b"\xff\xc2", frame, codes, first]
        + [scan + bytes([1, 0, 1, 63, 0]) + body] * count
        + [b"\xff\xd9"]
    )
