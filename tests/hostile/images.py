"""Images that are cut, flipped, mislabelled, oversized or two things at once."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from tests.builders import make_photo
from tests.data.builders import encode, make_png
from tests.hostile import image_bombs
from tests.hostile.cases import Case, flip_bits, overwrite

SIZE = (24, 32)
_LARGE = 1 << 22
_HEADER = {"JPEG": 3, "PNG": 8, "GIF": 6, "BMP": 2, "WEBP": 12}


def make_bases() -> dict[str, bytes]:
    """Make one good image of every kind that is read."""
    photo = make_photo(1, SIZE)
    grey = photo.convert("L")
    frames = [make_photo(seed, SIZE) for seed in (2, 3)]
    more: dict[str, Any] = {"save_all": True, "append_images": frames}
    deep = np.arange(SIZE[0] * SIZE[1], dtype=">u2").reshape(SIZE) * 80
    return {
        "jpeg": encode(photo, "JPEG"),
        "progressive jpeg": encode(photo, "JPEG", progressive=True),
        "grey jpeg": encode(grey, "JPEG"),
        "cmyk jpeg": encode(photo.convert("CMYK"), "JPEG"),
        "multi-picture jpeg": encode(photo, "MPO", **more),
        "png": encode(photo),
        "png with alpha": encode(photo.convert("RGBA")),
        "palette png": encode(photo.convert("P")),
        "16-bit png": make_png(SIZE[1], SIZE[0], 16, 0, deep.tobytes()),
        "animated png": encode(photo, **more),
        "gif": encode(photo, "GIF"),
        "animated gif": encode(photo, "GIF", **more),
        "bmp": encode(photo, "BMP"),
        "run-length bmp": image_bombs.make_run_length_bmp(SIZE[1], SIZE[0]),
        "webp": encode(photo, "WEBP"),
        "lossless webp": encode(photo, "WEBP", lossless=True),
        "animated webp": encode(photo, "WEBP", **more),
    }


def make_cases() -> list[Case]:
    """Make every hostile image."""
    bases = make_bases()
    return [
        *(Case("as it is", name, data) for name, data in bases.items()),
        *_cut(bases),
        *_flip(bases),
        *_mislabel(bases),
        *_resize(bases),
        *_join(bases),
        *_turn(),
        *_profile(),
        *image_bombs.make_cases(),
        *_replace(bases["png"]),
    ]


def _cut(bases: dict[str, bytes]) -> list[Case]:
    return [
        Case("truncation", f"{name} {share:.0%}", data[: int(len(data) * share)])
        for name, data in bases.items()
        for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98, 0.999)
    ]


def _flip(bases: dict[str, bytes]) -> list[Case]:
    cases = []
    for name, data in bases.items():
        head, tail = data[:160], data[160:]
        for seed in range(5):
            cases.append(
                Case("bit flips", f"{name} {seed}", flip_bits(data, seed, 1 << 2 * seed % 7))
            )
            changed = flip_bits(head, seed, 3) + tail
            cases.append(Case("bit flips in the header", f"{name} {seed}", changed))
        for seed, share in enumerate((0.01, 0.1, 0.5)):
            cases.append(Case("noise", f"{name} {share:.0%}", overwrite(data, seed, share)))
    return cases


def _mislabel(bases: dict[str, bytes]) -> list[Case]:
    starts = {name: bases[name.lower()][:length] for name, length in _HEADER.items()}
    return [
        Case("wrong magic", f"{base} as {name}", start + data[len(start) :])
        for base, data in bases.items()
        for name, start in starts.items()
        if not data.startswith(start[:3])
    ]


def _resize(bases: dict[str, bytes]) -> list[Case]:
    """Declare other sizes than the pixels have."""
    cases = []
    sizes = {
        "huge": [(65_535, 65_535), (65_535, 1_500), (1, 65_535), (0x3FFF, 0x3FFF), (9_999, 9_999)],
        "zero": [(0, 0), (0, 24), (32, 0)],
    }
    for group, pairs in sizes.items():
        for width, height in pairs:
            for name, data in bases.items():
                changed = declare_size(data, width, height)
                if changed is not None and not name.startswith(("grey", "cmyk", "animated")):
                    label = f"{name} {width}x{height}"
                    cases.append(Case(f"{group} declared size", label, changed))
    for size in (2**31 - 1, 2**31, 2**32 - 1):
        for name in ("png", "bmp", "run-length bmp"):
            changed = declare_size(bases[name], size, size)
            cases.append(Case("huge declared size", f"{name} {size}", changed or b""))
    return cases


def declare_size(data: bytes, width: int, height: int) -> bytes | None:
    """Change the size that an image's header declares."""
    if data.startswith(b"\x89PNG"):
        header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<II", width, height) + data[26:]
    if data.startswith(b"GIF"):
        place = data.index(b"\x2c\0\0\0\0")
        sides = struct.pack("<HH", width, height)
        return data[:6] + sides + data[10 : place + 5] + sides + data[place + 9 :]
    if data.startswith(b"\xff\xd8"):
        place = next(data.index(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data)
        return data[: place + 5] + struct.pack(">HH", height, width) + data[place + 9 :]
    if data[12:16] == b"VP8 ":
        return data[:26] + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF) + data[30:]
    return None


def _join(bases: dict[str, bytes]) -> list[Case]:
    """Make files that are two things at once."""
    script = b"<script>alert(1)</script>"
    archive = b"PK\x05\x06" + bytes(18)
    jpeg = bases["jpeg"]
    comment = b"\xff\xfe" + struct.pack(">H", len(script) + 2) + script
    cases = [
        Case("polyglots", "script in a comment", jpeg[:2] + comment + jpeg[2:]),
        Case("polyglots", "web page before", b"<!doctype html>" + jpeg),
        Case("polyglots", "document before", b"%PDF-1.7\n" + jpeg),
        Case("polyglots", "program before", b"\x7fELF" + jpeg),
        Case("polyglots", "gif that is a script", b"GIF89a=1;" + script),
        Case("polyglots", "bmp that is a script", b"BM=1;" + script * 9),
    ]
    for name in ("jpeg", "png", "gif", "bmp", "webp"):
        cases.append(Case("polyglots", f"{name} with an archive behind", bases[name] + archive))
        cases.append(Case("polyglots", f"{name} with a page behind", bases[name] + script))
        cases.append(Case("polyglots", f"{name} twice", bases[name] * 2))
    return cases


def _turn() -> list[Case]:
    """Make images whose EXIF block says how they are turned, or says nonsense."""
    photo = make_photo(5, SIZE)
    cases = []
    for form in ("JPEG", "PNG", "WEBP"):
        for orientation in range(10):
            exif = Image.Exif()
            exif[0x0112] = orientation
            data = encode(photo, form, exif=exif)
            cases.append(Case("EXIF rotation", f"{form} {orientation}", data))
        block = b"Exif\0\0MM\0*" + struct.pack(">L", 8)
        odd = {
            "offset beyond the end": block[:-4] + b"\xff" * 4,
            "endless entries": block + b"\xff\xff",
            "points to itself": block[:-4] + struct.pack(">L", 0) + b"\0\1",
            "empty": b"Exif\0\0",
            "noise": b"Exif\0\0" + np.random.default_rng(0).bytes(300),
            "text as a number": block + b"\0\1\x01\x12\0\2\0\0\0\1abcd",
        }
        for name, exif in odd.items():
            cases.append(Case("broken EXIF", f"{form} {name}", encode(photo, form, exif=exif)))
    return cases


def _profile() -> list[Case]:
    """Embed colour profiles, good and bad."""
    good = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {
        "good": good,
        "cut": good[: len(good) // 2],
        "noise": np.random.default_rng(1).bytes(600),
        "long": good * 400,
    }
    return [
        Case("embedded profile", f"{form} {name}", encode(image, form, icc_profile=profile))
        for name, profile in profiles.items()
        for form, image in (
            ("JPEG", make_photo(6, SIZE)),
            ("JPEG", make_photo(6, SIZE).convert("CMYK")),
            ("PNG", make_photo(6, SIZE)),
            ("WEBP", make_photo(6, SIZE)),
        )
    ]


def _replace(png: bytes) -> list[Case]:
    """Put something else where an image is expected."""
    cases = [
        Case("no image", name, content)
        for name, content in {
            "empty": b"",
            "one byte": b"\xff",
            "zeros": bytes(5000),
            "noise": np.random.default_rng(2).bytes(5000),
            "text": "just some words, ünd äccents".encode(),
            "web page": b"<html>404</html>",
            "drawing": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "tiff": b"II*\0" + bytes(100),
            "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        }.items()
    ]
    special = ("folder", "pipe", "absent", "dangling link", "circular link", "endless device")
    return cases + [Case("no file", name, png, {"special": name}) for name in special]


def read(case: Case, folder: Path) -> str:
    """Read an image as training and ``predict`` do; say what came of it."""
    from tfclassify.data.images import decode_with_facts, open_image

    path = folder / "image.png"
    place_file(path, case)
    facts, pixels = decode_with_facts(path, (16, 20))
    assert pixels.shape == (16, 20, 3), pixels.shape
    if facts.width * facts.height <= _LARGE:  # what is decoded four times takes four times as long
        for resize in ("crop", "letterbox"):
            again, pixels = decode_with_facts(path, (16, 20), resize)  # type: ignore[arg-type]
            assert pixels.shape == (16, 20, 3), pixels.shape
            assert again == facts, (again, facts)
        again, image = open_image(path)
        assert (image.mode, image.size, again) == ("RGB", (facts.width, facts.height), facts)
    return "read, with a remark" if facts.remarks else "read"


def place_file(path: Path, case: Case) -> None:
    """Write a case's file, or what stands in its place."""
    import os

    special = case.options.get("special", "")
    if special == "folder":
        path.mkdir()
    elif special == "pipe":
        os.mkfifo(path)
    elif special == "dangling link":
        path.symlink_to(path.parent / "nothing")
    elif special == "circular link":
        path.symlink_to(path)
    elif special == "endless device":
        path.symlink_to("/dev/zero")
    elif special != "absent":
        path.write_bytes(case.content)
