"""Photos that show little, on pictures that are made so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.builders import make_photo
from tfclassify.labelling.quality import (
    DARK,
    EMPTY,
    find_blur_limit,
    measure_photo,
    measure_photos,
)


def make_grey(seed: int = 0, side: int = 96) -> np.ndarray:
    """Make coarse and fine structure together."""
    generator = np.random.default_rng(seed)
    coarse = np.kron(generator.uniform(0, 255, (side // 8, side // 8)), np.ones((8, 8)))
    return np.clip(coarse + generator.normal(0, 20, (side, side)), 0, 255)


def test_measures_by_hand() -> None:
    grey = np.zeros((60, 60))
    grey[::2, ::2] = grey[1::2, 1::2] = 200  # a chessboard: each neighbour is the other colour
    brightness, contrast, sharpness = measure_photo(grey)
    assert (brightness, contrast) == (200, 100)
    # The Laplacian is -800 or 800 everywhere.
    assert sharpness == pytest.approx(8.0)


def test_a_darker_photo_is_as_sharp() -> None:
    bright, dark = (measure_photo(make_grey() * share) for share in (1.0, 0.12))
    assert bright[0] > DARK > dark[0]
    assert dark[2] == pytest.approx(bright[2])


def test_blurring_lowers_sharpness_alone() -> None:
    image = Image.fromarray(make_grey().astype(np.uint8))
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), dtype=np.float64)
    assert measure_photo(blurred)[2] < 0.2 * measure_photo(np.asarray(image, dtype=float))[2]
    assert measure_photo(blurred)[1] > EMPTY


def test_of_an_empty_or_tiny_photo_no_sharpness_is_told() -> None:
    assert np.isnan(measure_photo(np.full((96, 96), 90.0))[2])
    assert np.isnan(measure_photo(make_grey(side=32))[2])


def test_blurred_is_far_below_the_others() -> None:
    generator = np.random.default_rng(0)
    sharpness = np.exp(generator.normal(0, 0.2, 200))
    limit = find_blur_limit(sharpness)
    # Three interquartile ranges of 1.35 deviations below the quartile at -0.67 of them.
    assert np.log(limit) == pytest.approx(-0.2 * (0.6745 + 3 * 1.349), abs=0.08)
    assert find_blur_limit(sharpness[:19]) == 0.0
    assert find_blur_limit(np.full(50, np.nan)) == 0.0


def test_files_are_measured_and_bad_ones_left_open(tmp_path: Path) -> None:
    make_photo(0, (300, 400)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    measured = measure_photos([str(tmp_path / name) for name in ("a.png", "b.png", "c.png")])
    assert np.isfinite(measured[0]).all()
    assert np.isnan(measured[1:]).all()
