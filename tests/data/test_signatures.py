from __future__ import annotations

import pytest

from tests.builders import make_photo
from tests.data.builders import encode
from tfclassify.data.images import FORMATS, open_image
from tfclassify.data.signatures import is_cut_short, recognise
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
