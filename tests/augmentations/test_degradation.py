from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from tfclassify.augmentations import degradation
from tfclassify.augmentations.degradation import ERASED, draw_blur, draw_erasing, draw_noise, erase
from tfclassify.augmentations.randomness import Draws
from tfclassify.recipe.schema import AugmentRecipe

SIZE = (40, 60)


def draw_boxes(**recipe: object) -> np.ndarray:
    erasing = AugmentRecipe(erasing=recipe).erasing
    return draw_erasing(erasing, Draws(0, 0, np.arange(2000)), SIZE)[0]


def test_erase_blanks_the_box_and_nothing_else():
    image = np.zeros((5, 6, 3), np.uint8)
    erased = erase(image, np.array([1, 3, 2, 6], np.int32))
    assert (erased == ERASED).sum() == 2 * 4 * 3
    assert (erased[1:3, 2:6] == ERASED).all()
    assert image.max() == 0


def test_no_box_leaves_the_image():
    image = np.zeros((5, 6, 3), np.uint8)
    assert erase(image, np.array([0, 0, 0, 0], np.int32)) is image


def test_boxes_lie_inside_and_reach_every_border():
    top, bottom, left, right = draw_boxes(chance=1.0).T
    assert (top.min(), left.min()) == (0, 0)
    assert (bottom.max(), right.max()) == SIZE
    assert (bottom > top).all()
    assert (right > left).all()


def test_areas_fill_their_range():
    top, bottom, left, right = draw_boxes(chance=1.0, area=(0.1, 0.3)).T
    area = (bottom - top) * (right - left) / (SIZE[0] * SIZE[1])
    # Sides are whole pixels.
    assert area.min() == pytest.approx(0.1, abs=0.015)
    assert area.max() == pytest.approx(0.3, abs=0.015)
    assert area.mean() == pytest.approx(0.2, abs=0.01)


def test_chance_is_kept():
    boxes = draw_boxes(chance=0.3)
    assert (boxes[:, 1] > 0).mean() == pytest.approx(0.3, abs=0.03)


def test_the_whole_image_can_go():
    assert draw_boxes(chance=1.0, area=(1.0, 1.0))[0].tolist() == [0, 40, 0, 60]


def test_no_area_is_no_box():
    top, bottom, left, right = draw_boxes(chance=1.0, area=(0.0, 0.0)).T
    assert ((bottom - top) * (right - left)).max() == 0


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (31, 29, 3), dtype=np.uint8)


def test_blur_agrees_with_scipy():
    image = np.random.default_rng(2).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = ndimage.gaussian_filter(image.astype(float), (1.5, 1.5, 0), mode="nearest")
    difference = degradation.blur(image, 1.5) - expected
    # Pillow puts three box filters for one Gaussian.
    assert np.abs(difference).mean() < 2.5
    assert degradation.blur(image, 1.5).std() == pytest.approx(expected.std(), rel=0.05)


def test_no_blur_is_bit_exact(photo: np.ndarray):
    assert np.array_equal(degradation.blur(photo, 0.0), photo)


def test_noise_is_gaussian_of_the_level_asked():
    flat = np.full((64, 64, 3), 128, np.uint8)
    noise = degradation.add_noise(flat, 0.05, np.uint64(5)).astype(float) - 128.0
    assert noise.mean() == pytest.approx(0.0, abs=0.5)
    assert noise.std() == pytest.approx(0.05 * 255, rel=0.03)
    assert stats.kurtosis(noise.ravel()) == pytest.approx(0.0, abs=0.15)


def test_noise_is_its_address():
    flat = np.full((8, 8, 3), 128, np.uint8)
    one = degradation.add_noise(flat, 0.1, np.uint64(2**64 - 1))
    assert np.array_equal(one, degradation.add_noise(flat, 0.1, np.uint64(2**64 - 1)))
    assert not np.array_equal(one, degradation.add_noise(flat, 0.1, np.uint64(2**64 - 2)))


def test_noise_is_cut_to_the_range():
    black = degradation.add_noise(np.zeros((64, 64, 3), np.uint8), 0.1, np.uint64(1))
    assert black.min() == 0
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.05)


def test_blur_is_drawn_within_its_range():
    (sigma,) = draw_blur(0.25, Draws(0, 0, np.arange(400)), SIZE, blur_sigma=(1.0, 2.0))
    assert (sigma > 0).mean() == pytest.approx(0.25, abs=0.06)
    assert 1.0 <= sigma[sigma > 0].min() < 1.1
    assert 1.9 < sigma.max() < 2.0


def test_noise_is_drawn_for_each_image():
    level, keys = draw_noise(0.1, Draws(0, 0, np.arange(50)), SIZE)
    assert level.tolist() == [0.1] * 50
    assert len(set(keys.tolist())) == 50
