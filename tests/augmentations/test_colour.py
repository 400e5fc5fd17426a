from __future__ import annotations

import colorsys

import numpy as np
import pytest

from tfclassify.augmentations import colour
from tfclassify.augmentations.catalogue import AUGMENTATIONS
from tfclassify.augmentations.randomness import Draws
from tfclassify.pipeline.augmentation import build_augmentation
from tfclassify.recipe.schema import AugmentRecipe


def change(
    image: np.ndarray,
    *,
    brightness: float = 0.0,
    contrast: float = 0.0,
    saturation: float = 0.0,
    hue: float = 0.0,
    grey: bool = False,
    invert: bool = False,
) -> np.ndarray:
    """Change one image by exact amounts, through the pipeline that composes them."""
    recipe = AugmentRecipe(
        brightness=(brightness, brightness),
        contrast=(contrast, contrast),
        saturation=(saturation, saturation),
        hue=(hue, hue),
        greyscale=float(grey),
        invert=float(invert),
    )
    function = build_augmentation(recipe, image.shape[:2], seed=0)
    targets, keys = np.ones((1, 1), np.float32), np.zeros(1, np.int64)
    return function.change(image[None], targets, keys, 0)[0][0].astype(np.uint8)


def pixels(*values: tuple[int, int, int]) -> np.ndarray:
    return np.array([values], np.uint8)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (31, 29, 3), dtype=np.uint8)


def test_nothing_drawn_leaves_the_image_bit_exact(photo: np.ndarray):
    assert np.array_equal(change(photo), photo)


def test_brightness_adds_and_is_cut_to_the_range():
    # 0.1 of 255 is 25.5; half levels go up.
    changed = change(pixels((0, 100, 250), (10, 20, 30)), brightness=0.1)
    assert changed.tolist() == [[[26, 126, 255], [36, 46, 56]]]
    assert change(pixels((0, 100, 250)), brightness=-0.4).tolist() == [[[0, 0, 148]]]


def test_contrast_spreads_about_the_mean_luma():
    # Greys 100 and 140 have the mean 120; half the contrast more puts them at 90 and 150.
    changed = change(pixels((100, 100, 100), (140, 140, 140)), contrast=0.5)
    assert changed.tolist() == [[[90, 90, 90], [150, 150, 150]]]


def test_contrast_acts_on_the_brightened_image():
    # 100 and 140 become 151 and 191 (mean 171); no contrast leaves the mean.
    changed = change(pixels((100, 100, 100), (140, 140, 140)), brightness=0.2, contrast=-1.0)
    assert changed.tolist() == [[[171, 171, 171], [171, 171, 171]]]


def test_saturation_moves_away_from_luma():
    # Luma of (200, 100, 50): 59.8 + 58.7 + 5.7 = 124.2.
    assert change(pixels((200, 100, 50)), saturation=-1.0).tolist() == [[[124, 124, 124]]]
    # Half more: 124.2 + 1.5 * (75.8, -24.2, -74.2) = (237.9, 87.9, 12.9).
    assert change(pixels((200, 100, 50)), saturation=0.5).tolist() == [[[238, 88, 13]]]


def test_a_third_of_a_turn_goes_round_the_channels():
    assert change(pixels((200, 100, 50)), hue=1 / 3).tolist() == [[[50, 200, 100]]]
    assert change(pixels((200, 100, 50)), hue=-1 / 3).tolist() == [[[100, 50, 200]]]


@pytest.mark.parametrize("turns", [1 / 6, 1 / 3, 1 / 2])
def test_hue_turns_the_way_of_the_colour_wheel(turns: float):
    # Where HSV and the grey axis agree: sixths of a turn of a colour, up to its saturation.
    red, green, blue = change(pixels((140, 80, 80)), hue=turns)[0, 0] / 255.0
    hue = colorsys.rgb_to_hsv(red, green, blue)[0]
    assert hue == pytest.approx(turns, abs=0.01)


def test_hue_leaves_greys(photo: np.ndarray):
    greys = np.repeat(photo[..., :1], 3, axis=2)
    assert np.array_equal(change(greys, hue=0.21), greys)


def test_greyscale_is_that_of_pillow(photo: np.ndarray):
    from PIL import Image

    expected = np.asarray(Image.fromarray(photo).convert("L"), dtype=int)
    changed = change(photo, grey=True).astype(int)
    assert np.abs(changed - expected[..., None]).max() <= 1


def test_inversion_is_exact(photo: np.ndarray):
    assert np.array_equal(change(photo, invert=True), 255 - photo)


def test_one_matrix_equals_one_after_the_other():
    # Mild enough that nothing is cut on the way; each step rounds once.
    image = np.random.default_rng(1).integers(90, 160, (16, 16, 3), dtype=np.uint8)
    at_once = change(image, brightness=0.05, contrast=0.2, saturation=-0.3, hue=0.1, invert=True)
    for step in (
        {"brightness": 0.05},
        {"contrast": 0.2},
        {"saturation": -0.3},
        {"hue": 0.1},
        {"invert": True},
    ):
        image = change(image, **step)
    assert np.abs(at_once.astype(int) - image).max() <= 3


def test_equalising_spreads_the_histogram():
    ramp = np.repeat(np.arange(100, 132, dtype=np.uint8)[None, :, None], 3, axis=2)
    image = np.repeat(ramp, 256, axis=0)
    assert np.array_equal(colour.equalise(image, np.False_), image)
    values = colour.equalise(image, np.True_)[0, :, 0].astype(int)
    assert values[0] == 0
    assert values[-1] == 255
    # 31 steps over 255 levels are 8.2 each; Pillow counts in whole numbers.
    assert np.abs(np.diff(values) - 8).max() <= 1


def test_drawn_parameters_fill_their_ranges():
    draws = Draws(0, 0, np.arange(1000))
    for name, low, high in (("brightness", -0.2, 0.1), ("hue", 0.0, 0.5), ("contrast", -1, 3)):
        (numbers,) = AUGMENTATIONS[name].draw((low, high), draws, (8, 8))
        assert low <= numbers.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < numbers.max() < high
    (flags,) = AUGMENTATIONS["greyscale"].draw(0.4, draws, (8, 8))
    assert flags.mean() == pytest.approx(0.4, abs=0.06)


def test_each_image_of_a_batch_has_its_own_colours():
    images = np.stack([pixels((200, 100, 50)), pixels((10, 20, 30)), pixels((1, 2, 3))])
    recipe = AugmentRecipe(invert=0.5)
    function = build_augmentation(recipe, (1, 1), seed=0).change
    changed, _ = function(images, np.ones((3, 1), np.float32), np.arange(3), 0)
    inverted = AUGMENTATIONS["invert"].draw(0.5, Draws(0, 0, np.arange(3)), (1, 1))[0]
    assert 0 < inverted.sum() < 3
    expected = np.where(inverted[:, None, None, None], 255 - images, images)
    assert np.array_equal(changed, expected)
