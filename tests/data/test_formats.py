from __future__ import annotations

import pytest
from PIL import Image, ImageFile

from tests.builders import make_photo
from tests.data.builders import encode, make_scene
from tests.hostile.image_bombs import make_chunk, make_run_length_bmp, make_scans
from tfclassify.data.formats import (
    MAX_COMMENTS,
    MAX_PARTS,
    MAX_SCANS,
    find_excess,
    is_cut_short,
    recognise,
)
from tfclassify.data.images import FORMATS, decode_image, open_image
from tfclassify.errors import ImageError


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_formats_are_known_by_their_first_bytes_and_last(form: str) -> None:
    data = encode(make_photo(1), form)
    name = recognise(data)
    assert name in FORMATS
    assert name.upper() == form
    assert not is_cut_short(data, name)
    assert is_cut_short(data[:-100], name)
    assert recognise(data[:1]) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0" * 1000, "1,000 zero bytes"),
        (b"<!DOCTYPE html><p>404", "a web page"),
        (b"II*\0" + b"x" * 20, "a TIFF image"),
        (b"\0\0\0\x20ftypheic" + b"x" * 20, "a HEIC image"),
        (b"\0\0\0\x20ftypisom" + b"x" * 20, "a film"),
        (b"<?xml version='1.0'?><svg/>", "in XML"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"hello there", "it begins with b'hello th'"),
    ],
)
def test_what_is_no_image_is_named(data: bytes, words: str) -> None:
    with pytest.raises(
        ImageError, match=f"image: .*{words}.*JPEG, PNG, BMP, GIF and WebP"
    ) as caught:
        open_image(data)
    assert caught.value.kind == "not_an_image"


GIF = encode(Image.new("P", (8, 8)), "GIF")
GIF_START = 13 + (3 << (GIF[10] & 7) + 1)
JPEG = encode(Image.new("RGB", (8, 8)), "JPEG")
PNG = encode(Image.new("RGB", (8, 8)))


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "quality": 100}),
        ("JPEG", {"icc_profile": bytes(900_000), "comment": b"hello"}),
        ("PNG", {}),
        ("GIF", {"comment": b"x" * 1000, "save_all": True, "append_images": [make_photo(2)]}),
        ("BMP", {}),
        ("WEBP", {}),
    ],
)
def test_ordinary_files_ask_for_nothing(form: str, options: dict[str, object]) -> None:
    name = {"WEBP": "WebP"}.get(form, form)
    assert find_excess(encode(make_scene(1, (200, 300)), form, **options), name) == ""


def test_a_scan_may_come_a_hundred_times() -> None:
    # The first scan is of the means, so one more than asked for.
    assert find_excess(make_scans(16, 16, MAX_SCANS - 1), "JPEG") == ""
    assert find_excess(make_scans(16, 16, MAX_SCANS), "JPEG") == "it has more than 100 scans"


def test_scans_behind_a_bare_marker_are_counted() -> None:
    hidden = make_scans(16, 16, 500, before=b"\xff\x01\xff\xff")
    assert find_excess(hidden, "JPEG") == "it has more than 100 scans"


def test_what_lies_behind_the_picture_is_not_counted() -> None:
    assert find_excess(JPEG + b"\xff\xda\0\2" * 5_000, "JPEG") == ""


def test_segments_and_chunks_are_counted() -> None:
    many = JPEG[:2] + b"\xff\xe5\0\2" * (MAX_PARTS + 1) + JPEG[2:]
    assert find_excess(many, "JPEG") == "it has more than 50,000 segments"
    many = PNG[:33] + make_chunk(b"tEXt", b"a\0b") * MAX_PARTS + PNG[33:]
    assert find_excess(many, "PNG") == "it has more than 50,000 chunks"


@pytest.mark.parametrize(
    "comments",
    [b"\x21\xfe\x01a\0" * (MAX_COMMENTS + 1), b"\x21\xfe" + b"\xff" * 256 * 5000 + b"\0"],
)
def test_comments_of_a_gif_are_bounded(comments: bytes) -> None:
    expected = "it has over 1,000 comments or 1,048,576 bytes of them"
    assert find_excess(GIF[:GIF_START] + comments + GIF[GIF_START:], "GIF") == expected
    # Pillow reads on to the second frame, to say whether there is one.
    assert find_excess(GIF[:-1] + comments + GIF[GIF_START:], "GIF") == expected


@pytest.mark.parametrize("size", [(20_000, 10), (10_000, 10_000), (10_000, -10_000)])
def test_run_lengths_of_a_bmp_are_bounded(size: tuple[int, int]) -> None:
    bomb = make_run_length_bmp(*size, code=b"")
    assert find_excess(bomb, "BMP").startswith(f"its run lengths make {size[0]}x{abs(size[1])} pix")
    assert find_excess(make_run_length_bmp(4_000, 4_000, code=b""), "BMP") == ""


def test_such_a_file_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make_scans(9_900, 9_900, 3_000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match=r"asks for too much work: it has more than 100 scans; "):
        decode_image(bomb, (8, 8))


def test_a_run_length_bmp_within_bounds_is_read() -> None:
    assert open_image(make_run_length_bmp(30, 20))[1].size == (30, 20)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "WebP"])
@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"BM", b"GIF89a", bytes(40), b"\x2c" * 99])
def test_half_a_header_asks_for_nothing(name: str, data: bytes) -> None:
    assert find_excess(data, name) == ""
