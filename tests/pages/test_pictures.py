"""Thumbnails and sheets."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from tests.builders import make_photo
from tfclassify.pages.pictures import Thumbnail, draw_sheet, encode_picture, make_thumbnail


def decode(thumbnail: Thumbnail) -> Image.Image:
    head, _, data = thumbnail.data_uri.partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    assert head == f"data:image/{image.format.lower()};base64"
    assert image.size == (thumbnail.width, thumbnail.height)
    return image


def test_a_large_photo_is_shrunk_and_keeps_its_shape() -> None:
    photo = np.asarray(make_photo(0, size=(300, 600)))
    thumbnail = make_thumbnail(photo, longest=120)
    assert decode(thumbnail).size == (120, 60)
    assert thumbnail.data_uri.startswith("data:image/jpeg")
    assert not thumbnail.is_tiny


def test_a_tiny_photo_keeps_every_pixel() -> None:
    photo = np.asarray(make_photo(1, size=(8, 8)))
    thumbnail = make_thumbnail(photo)
    assert thumbnail.is_tiny
    assert np.array_equal(np.asarray(decode(thumbnail)), photo)


def test_the_photo_itself_is_not_changed() -> None:
    photo = make_photo(2, size=(300, 300))
    make_thumbnail(photo)
    assert photo.size == (300, 300)


def test_any_mode_becomes_rgb() -> None:
    assert decode(make_thumbnail(Image.new("L", (60, 60), 128))).mode == "RGB"
    picture = encode_picture(Image.new("RGB", (5, 4), (1, 2, 3)))
    assert np.asarray(decode(picture))[0, 0].tolist() == [1, 2, 3]


def test_a_sheet_has_a_row_a_title_and_the_photos_where_they_belong() -> None:
    red, blue = Image.new("RGB", (50, 50), (255, 0, 0)), Image.new("RGB", (50, 100), (0, 0, 255))
    sheet = draw_sheet({"reds": [red, red], "blues": [blue]}, side=64, notes={"reds": "2 images"})
    pixels = np.asarray(sheet)
    is_red = (pixels == (255, 0, 0)).all(axis=2)
    is_blue = (pixels == (0, 0, 255)).all(axis=2)
    assert is_red.sum() == 2 * 64 * 64
    # Twice as tall as wide: 32 columns in the middle of its square.
    assert is_blue.sum() == 32 * 64
    assert np.flatnonzero(is_red.any(axis=1)).max() < np.flatnonzero(is_blue.any(axis=1)).min()


def test_sheets_of_little() -> None:
    assert draw_sheet({}).size[0] > 0
    alone = draw_sheet({"a very long title that does not end where it should": []}, side=48)
    assert alone.size[1] > 48
