"""Thumbnails."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from tests.builders import make_photo
from tfclassify.pages.pictures import Thumbnail, make_thumbnail, read_thumbnail


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
    picture = make_thumbnail(Image.new("RGBA", (5, 4), (1, 2, 3, 255)))
    assert np.asarray(decode(picture))[0, 0].tolist() == [1, 2, 3]


def test_a_file_that_is_gone_or_broken_has_no_picture(tmp_path: Path) -> None:
    whole, broken = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (60, 50), (200, 0, 0)).save(whole)
    broken.write_bytes(whole.read_bytes()[:40])
    found = read_thumbnail(str(whole))
    assert found is not None
    assert (found.width, found.height) == (60, 50)
    assert read_thumbnail(str(broken)) is None
    assert read_thumbnail(str(tmp_path / "c.png")) is None
    assert read_thumbnail(None) is None
