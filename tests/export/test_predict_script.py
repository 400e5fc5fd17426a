"""The shipped ``predict.py`` reads photos as the toolkit does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.builders import make_photo
from tfclassify.data.images import decode_image
from tfclassify.export.shipped.predict import ask, choose, read_photo

SIZE = (24, 32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Photos of every colour mode, orientation and file format."""
    folder = tmp_path_factory.mktemp("photos")
    base = make_photo(1, (90, 130), (90, 140, 200))
    draw = np.random.default_rng(0)
    alpha = Image.fromarray(draw.integers(0, 256, (90, 130), dtype=np.uint8))
    deep = Image.fromarray(draw.integers(0, 65536, (50, 61), dtype=np.uint16))
    clear = base.copy()
    clear.putalpha(alpha)
    palette = base.convert("P")
    palette.info["transparency"] = 3
    saved = {
        "rgb.png": base,
        "alpha.png": clear,
        "grey_alpha.png": clear.convert("LA"),
        "grey.png": base.convert("L"),
        "bits.png": base.convert("1"),
        "palette.png": palette,
        "deep.png": deep,
        "cmyk.jpg": base.convert("CMYK"),
        "large.jpg": make_photo(2, (700, 901), (50, 80, 90)),
        "photo.bmp": base,
        "photo.webp": base,
        "photo.gif": palette,
        "tall.jpg": make_photo(3, (300, 7)),
    }
    for name, image in saved.items():
        image.save(folder / name)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        make_photo(4, (190, 330)).save(folder / f"turned{orientation}.jpg", exif=exif)
        make_photo(4, (19, 33)).save(folder / f"turned{orientation}.png", exif=exif)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("resize", ["stretch", "crop", "letterbox"])
def test_photos_are_read_as_in_training(photos: dict[str, Path], resize) -> None:
    assert len(photos) == 29
    for name, path in photos.items():
        expected = decode_image(path, SIZE, resize)
        np.testing.assert_array_equal(read_photo(path, SIZE, resize), expected, err_msg=name)


def test_a_fixed_batch_is_filled_and_cut() -> None:
    shapes = []

    def network(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape[0])
        return images.reshape(len(images), -1)[:, :2]

    images = np.arange(7 * 4, dtype=np.float32).reshape(7, 1, 2, 2)
    expected = images.reshape(7, 4)[:, :2]
    np.testing.assert_array_equal(ask(network, 3, images), expected)
    np.testing.assert_array_equal(ask(network, 0, images), expected)
    assert shapes == [3, 3, 3, 7]


def test_labels_are_chosen_by_rank_or_by_threshold() -> None:
    rows = np.array([[0.2, 0.5, 0.3], [0.1, 0.2, 0.1]])
    facts = {"classes": ["a", "b", "c"], "thresholds": None}
    assert choose(facts, rows) == [["b"], ["b"]]
    facts["thresholds"] = {"a": 0.2, "b": 0.6, "c": 0.3}
    assert choose(facts, rows) == [["a", "c"], []]
