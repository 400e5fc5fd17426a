from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tfclassify.augmentations.randomness import Draws
from tfclassify.pipeline.mixing import (
    ALIGNMENT,
    CELLS,
    Mixing,
    draw_mixing,
    draw_partners,
    empty_aligned,
    is_mixing,
    mix_images,
    mix_targets,
    take_beta,
)
from tfclassify.recipe.schema import MixRecipe

SIZE = (30, 44)
COUNT = 240


def plain_images(count: int = COUNT) -> np.ndarray:
    """Image k is all of the colour k."""
    return np.broadcast_to(
        np.arange(count, dtype=np.uint8)[:, None, None, None], (count, *SIZE, 3)
    ).copy()


def mix_plain(recipe: MixRecipe, seed: int = 0) -> tuple[Mixing, np.ndarray, np.ndarray]:
    mixing = draw_mixing(recipe, Draws(seed, 0, np.arange(COUNT)), SIZE)
    images = mix_images(plain_images(), mixing)
    targets = mix_targets(np.eye(COUNT, dtype=np.float32), mixing)
    return mixing, images, targets


@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
def test_cutmix_labels_are_the_pixels_counted(alpha: float):
    _, images, targets = mix_plain(MixRecipe(cutmix=1.0, cutmix_alpha=alpha))
    counted = np.zeros((COUNT, COUNT))
    for number, image in enumerate(images):
        colours, counts = np.unique(image[..., 0], return_counts=True)
        counted[number, colours.astype(int)] = counts / (SIZE[0] * SIZE[1])
    np.testing.assert_allclose(targets, counted, atol=1e-6)
    # Clipping at the border happened: an odd corner of the image was reached.
    assert (images[:, 0, 0, 0] != np.arange(COUNT)).any()


def test_mixup_labels_are_the_mix_of_the_colours():
    mixing, images, targets = mix_plain(MixRecipe(mixup=1.0, mixup_alpha=1.0))
    assert np.ptp(images, axis=(1, 2, 3)).max() == 0.0
    np.testing.assert_allclose(targets @ np.arange(COUNT), images[:, 0, 0, 0], atol=1e-3)
    assert targets.sum(axis=1) == pytest.approx(1.0)
    shares = mixing.shares
    assert stats.kstest(shares, "uniform").pvalue > 1e-3


def test_one_or_the_other_is_drawn_for_each_image():
    mixing, images, _ = mix_plain(MixRecipe(cutmix=0.3, mixup=0.5, mixup_alpha=1.0))
    is_cut = mixing.boxes.any(axis=1)
    is_blend = mixing.blends > 0.0
    assert not (is_cut & is_blend).any()
    assert is_cut.mean() == pytest.approx(0.3, abs=0.1)
    assert is_blend.mean() == pytest.approx(0.5, abs=0.1)
    untouched = ~is_cut & ~is_blend
    assert untouched.mean() == pytest.approx(0.2, abs=0.1)
    assert np.array_equal(images[untouched], plain_images()[untouched].astype(np.float32))


def test_both_at_half_leave_no_image_unmixed():
    mixing, _, _ = mix_plain(MixRecipe(cutmix=0.5, mixup=0.5))
    drawn = mixing.boxes.any(axis=1) | (mixing.blends > 0.0)
    # An area of less than half a pixel a side rounds to nothing.
    assert drawn.mean() > 0.95


def test_no_chance_changes_nothing():
    recipe = MixRecipe()
    assert not is_mixing(recipe)
    _, images, targets = mix_plain(recipe)
    assert np.array_equal(images, plain_images().astype(np.float32))
    assert np.array_equal(targets, np.eye(COUNT))


@pytest.mark.parametrize("alpha", [1.0, 3.0])
def test_cutmix_area_before_clipping_follows_beta(alpha: float):
    draws = Draws(3, 0, np.arange(4000))
    mixing = draw_mixing(MixRecipe(cutmix=1.0, cutmix_alpha=alpha), draws, (200, 200))
    top, bottom, left, right = mixing.boxes.T
    height, width = bottom - top, right - left
    is_whole_y, is_whole_x = (top > 0) & (bottom < 200), (left > 0) & (right < 200)
    both = is_whole_y & is_whole_x
    # Unclipped boxes are square in a square image, up to rounding.
    assert np.abs(height - width)[both].max() <= 1
    # A band of length s at a uniform middle is wholly inside with chance 1 - s, so weighing
    # each whole band by 1 / (1 - s) gives back the distribution of the sides.
    side = height[is_whole_y] / 200
    weights = 1.0 / (1.0 - np.minimum(side, 0.99))
    area = stats.beta(alpha, alpha)
    for quantile in (0.1, 0.25, 0.5, 0.75):
        below = weights[side**2 <= area.ppf(quantile)].sum() / 4000
        assert below == pytest.approx(quantile, abs=0.04)


def test_partners_are_other_images_each_used_once():
    for count in (2, 3, 32):
        partners = draw_partners(Draws(0, 5, np.arange(count)))
        assert sorted(partners) == list(range(count))
        assert (partners != np.arange(count)).all()


def test_partners_change_with_the_epoch():
    keys = np.arange(32)
    one, other = (draw_partners(Draws(0, epoch, keys)) for epoch in (0, 1))
    assert not np.array_equal(one, other)


def test_an_image_alone_is_mixed_with_itself():
    mixing = draw_mixing(MixRecipe(cutmix=0.5, mixup=0.5), Draws(0, 0, np.array([7])), SIZE)
    images = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    mixed = mix_images(images, mixing)
    np.testing.assert_allclose(mixed, images, atol=1e-4)
    np.testing.assert_allclose(
        mix_targets(np.array([[0.0, 1.0]], np.float32), mixing), [[0.0, 1.0]]
    )


def test_pasted_pixels_are_the_partners_own():
    images = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3), dtype=np.uint8)
    mixing = draw_mixing(MixRecipe(cutmix=1.0), Draws(0, 0, np.arange(8)), SIZE)
    mixed = mix_images(images, mixing)
    for number, (top, bottom, left, right) in enumerate(mixing.boxes):
        partner = images[mixing.partners[number]]
        expected = images[number].copy()
        expected[top:bottom, left:right] = partner[top:bottom, left:right]
        assert np.array_equal(mixed[number], expected)


def test_mixed_values_stay_in_range():
    images = np.full((16, *SIZE, 3), 255, np.uint8)
    mixing = draw_mixing(MixRecipe(mixup=1.0, mixup_alpha=1.0), Draws(0, 0, np.arange(16)), SIZE)
    assert mix_images(images, mixing).max() <= 255.0


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_memory_is_aligned(dtype: type):
    for _ in range(5):
        array = empty_aligned((3, 5, 7), dtype)
        assert array.shape == (3, 5, 7)
        assert array.dtype == dtype
        assert array.ctypes.data % ALIGNMENT == 0
        array[...] = 1


def test_nothing_to_mix_is_the_images_in_floats():
    assert np.array_equal(mix_images(plain_images(3), None), plain_images(3).astype(np.float32))


def test_alpha_one_is_uniform():
    uniform = np.linspace(0, 0.999, 50)
    assert np.array_equal(take_beta(uniform, 1.0), uniform)


def test_alpha_half_is_the_arcsine_law():
    # Its quantile function is known: sin(pi u / 2) squared.
    uniform = np.linspace(0, 0.9999, 777)
    expected = np.sin(np.pi * uniform / 2) ** 2
    np.testing.assert_allclose(take_beta(uniform, 0.5), expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 0.4, 2.0, 8.0])
def test_distribution_function_is_that_of_beta(alpha: float):
    uniform = (np.arange(20_000) + 0.5) / 20_000
    values = take_beta(uniform, alpha)
    assert np.all(np.diff(values) >= 0)
    assert stats.kstest(values, stats.beta(alpha, alpha).cdf).statistic < 1.5 / CELLS


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 100.0])
def test_ends_stay_within_the_range(alpha: float):
    values = take_beta(np.array([0.0, 0.5, 1.0 - 2.0**-24]), alpha)
    assert values[0] == pytest.approx(0.0, abs=0.01)
    assert values[1] == pytest.approx(0.5, abs=1e-9)
    assert values[2] <= 1.0
