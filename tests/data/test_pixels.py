from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from tests.builders import make_photo
from tests.data.builders import encode, make_png, make_scene
from tfclassify.data import pixels
from tfclassify.data.images import decode_image, decode_with_facts, open_image
from tfclassify.data.pixels import count_bytes, to_rgb

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


def make_exif(kind: int, value: bytes, order: str = "big") -> bytes:
    """An EXIF block of one entry, the orientation, of a type of one's choice."""

    def number(value: int, size: int) -> bytes:
        return value.to_bytes(size, order)

    head = {"big": b"MM\0*", "little": b"II*\0"}[order] + number(8, 4) + number(1, 2)
    entry = number(0x0112, 2) + number(kind, 2) + number(1, 4) + value
    return b"Exif\0\0" + head + entry + number(0, 4)


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize(("kind", "size"), [(3, 2), (4, 4), (8, 2), (9, 4)])
def test_orientation_of_any_whole_number_type_counts(kind: int, size: int, order: str) -> None:
    exif = make_exif(kind, (6).to_bytes(size, order).ljust(4, b"\0"), order)
    data = encode(make_scene(2, (20, 32)), "JPEG", exif=exif)
    with Image.open(BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened)
    assert expected.size == (20, 32)
    assert np.array_equal(np.asarray(open_image(data)[1]), np.asarray(expected))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("text", ['tiff:Orientation="8"', "<tiff:Orientation>8</tiff:Orientation>"])
@pytest.mark.parametrize("has_exif", [False, True])
def test_orientation_in_xmp_alone_counts(form: str, text: str, has_exif: bool) -> None:
    xmp = f"<x:xmpmeta {text} />"
    options: dict[str, object] = {"xmp": xmp.encode()}
    if form == "PNG":
        chunks = PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", xmp)
        options = {"pnginfo": chunks}
    if has_exif:  # what EXIF says comes first
        options["exif"] = make_exif(3, bytes([0, 3, 0, 0]))
    data = encode(make_scene(2, (20, 32)), form, **options)
    with Image.open(BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert expected.size == ((32, 20) if has_exif else (20, 32))
    assert np.array_equal(np.asarray(open_image(data)[1]), np.asarray(expected))


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


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I", "I;16", "RGBA", "CMYK", "RGB"])
def test_bands_fit_together(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(np.arange(17 * 23, dtype=np.uint16).reshape(17, 23) * 150)
    if not mode.startswith("I"):
        image = make_scene(2, (17, 23)).convert("RGBA" if mode in ("LA", "RGBA") else "RGB")
        if mode in ("LA", "RGBA"):
            image.putalpha(Image.fromarray(np.arange(17 * 23, dtype=np.uint8).reshape(17, 23)))
    image = image.convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    whole = np.asarray(to_rgb(image))
    monkeypatch.setattr(pixels, "_BAND", 23 * 4)
    assert np.array_equal(np.asarray(to_rgb(image)), whole)


def test_bytes_of_decoding_are_counted() -> None:
    # 600 pixels of RGB in 4 bytes each; of 16-bit grey in 2, and 4 as RGB; turned, 4 more.
    assert count_bytes(PHOTO, is_turned=False) == 2400
    assert count_bytes(PHOTO, is_turned=True) == 4800
    assert count_bytes(PHOTO.convert("I;16"), is_turned=False) == 3600
    assert count_bytes(PHOTO.convert("L"), is_turned=False) == 3000
    assert count_bytes(PHOTO.convert("RGBA"), is_turned=False) == 4800
    with Image.open(BytesIO(encode(PHOTO, "JPEG", progressive=True))) as opened:
        assert count_bytes(opened, is_turned=False) == 7200
