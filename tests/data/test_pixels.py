from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.builders import make_photo
from tests.data.builders import encode, make_png, make_scene
from tfclassify.data.images import decode_image, decode_with_facts, open_image

PHOTO = make_photo(1, (20, 30))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_orientation_agrees_with_pillow(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(make_scene(2, (20, 32)), form, exif=exif)
    with Image.open(BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    facts, upright = open_image(data)
    assert np.array_equal(np.asarray(upright), np.asarray(expected))
    assert (facts.width, facts.height) == expected.size
    small = decode_image(data, (10, 12))
    stretched = expected.resize((12, 10), Image.Resampling.BILINEAR)
    assert np.abs(small.astype(int) - np.asarray(stretched)).max() <= 1


def test_orientation_at_the_end_of_a_png_counts() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(make_scene(2, (20, 32)), "PNG", exif=exif)
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    end = data.index(b"IEND") - 4
    moved = data[:start] + data[start + length : end] + data[start : start + length] + data[end:]
    assert np.array_equal(decode_image(moved, (16, 10)), decode_image(data, (16, 10)))
    assert decode_with_facts(moved, (16, 10), "letterbox")[0].width == 20


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0rubbish", b"MM\0*"])
def test_broken_exif_counts_as_upright(exif: bytes) -> None:
    assert open_image(encode(PHOTO, "JPEG", exif=exif))[1].size == PHOTO.size


def test_cmyk_becomes_rgb() -> None:
    # No cyan, full magenta and yellow, no black: red.
    data = encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)
    facts, image = open_image(data)
    assert np.abs(np.asarray(image).astype(int) - [255, 0, 0]).max() <= 4
    assert facts.remarks == ("cmyk",)


def test_greyscale_fills_three_channels() -> None:
    facts, image = open_image(encode(Image.new("L", (3, 2), 77)))
    assert np.array_equal(np.asarray(image), np.full((2, 3, 3), 77))
    assert facts.remarks == ("greyscale",)


def test_one_bit_is_black_and_white() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert np.asarray(open_image(encode(image))[1])[0].tolist() == [[0] * 3, [255] * 3]


def test_transparent_pixels_show_white() -> None:
    # Half-transparent red on white: 255 stays, 0 rises to 255 * 127 / 255 = 127.
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 128))
    image.putpixel((1, 0), (0, 0, 0, 0))
    facts, opened = open_image(encode(image))
    assert np.asarray(opened)[0].tolist() == [[255, 127, 127], [255, 255, 255]]
    assert facts.remarks == ("alpha",)


@pytest.mark.parametrize("transparency", [0, b"\x00"])
def test_transparent_palette_shows_white(transparency: int | bytes) -> None:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    facts, opened = open_image(encode(image, "PNG", transparency=transparency))
    assert opened.getpixel((0, 0)) == (255, 255, 255)
    assert opened.getpixel((1, 1)) == (200, 100, 50)
    assert set(facts.remarks) == {"palette", "alpha"}


def test_transparent_colour_of_rgb_shows_white() -> None:
    image = Image.new("RGB", (2, 1), (1, 2, 3))
    image.putpixel((1, 0), (9, 9, 9))
    opened = open_image(encode(image, "PNG", transparency=(1, 2, 3)))[1]
    assert np.asarray(opened)[0].tolist() == [[255] * 3, [9] * 3]


def test_sixteen_bit_grey_keeps_its_high_byte() -> None:
    values = np.array([[0x0000, 0x00FF, 0x80FF, 0xFFFF]], dtype=">u2")
    facts, image = open_image(make_png(4, 1, 16, 0, values.tobytes()))
    assert np.asarray(image)[0, :, 0].tolist() == [0, 0, 128, 255]
    assert set(facts.remarks) == {"greyscale", "sixteen_bit"}


def test_sixteen_bit_colour_keeps_its_high_byte() -> None:
    values = np.array([[[0x12FF, 0x3400, 0xFFFF]]], dtype=">u2")
    facts, image = open_image(make_png(1, 1, 16, 2, values.tobytes()))
    assert np.asarray(image)[0, 0].tolist() == [0x12, 0x34, 0xFF]
    assert facts.remarks == ("sixteen_bit",)
