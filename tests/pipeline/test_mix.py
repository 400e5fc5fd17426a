from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfclassify.pipeline.mix import (
    Mixing,
    draw_mixing,
    draw_partners,
    is_mixing,
    mix_images,
    mix_targets,
)
from tfclassify.pipeline.randomness import Draws
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
    images = mix_images(tf.constant(plain_images()), mixing).numpy()
    targets = mix_targets(tf.eye(COUNT), mixing).numpy()
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
    shares = mixing.shares.numpy()
    assert stats.kstest(shares, "uniform").pvalue > 1e-3


def test_one_or_the_other_is_drawn_for_each_image():
    mixing, images, _ = mix_plain(MixRecipe(cutmix=0.3, mixup=0.5, mixup_alpha=1.0))
    is_cut = mixing.boxes.numpy().any(axis=1)
    is_blend = mixing.blends.numpy() > 0.0
    assert not (is_cut & is_blend).any()
    assert is_cut.mean() == pytest.approx(0.3, abs=0.1)
    assert is_blend.mean() == pytest.approx(0.5, abs=0.1)
    untouched = ~is_cut & ~is_blend
    assert untouched.mean() == pytest.approx(0.2, abs=0.1)
    assert np.array_equal(images[untouched], plain_images()[untouched].astype(np.float32))


def test_both_at_half_leave_no_image_unmixed():
    mixing, _, _ = mix_plain(MixRecipe(cutmix=0.5, mixup=0.5))
    drawn = mixing.boxes.numpy().any(axis=1) | (mixing.blends.numpy() > 0.0)
    # An area of less than half a pixel a side rounds to nothing.
    assert drawn.mean() > 0.95


def test_no_chance_changes_nothing():
    recipe = MixRecipe()
    assert not is_mixing(recipe)
    _, images, targets = mix_plain(recipe)
    assert np.array_equal(images, plain_images().astype(np.float32))
    assert np.array_equal(targets, np.eye(COUNT))


def test_cutmix_area_before_clipping_follows_beta():
    # A box whose middle is the image's middle is never clipped; others are, so areas are
    # at most what was drawn: compare boxes that touch no border.
    mixing = draw_mixing(MixRecipe(cutmix=1.0), Draws(3, 0, np.arange(4000)), (200, 200))
    top, bottom, left, right = mixing.boxes.numpy().T
    height, width = bottom - top, right - left
    inside = (top > 0) & (bottom < 200) & (left > 0) & (right < 200)
    # Unclipped boxes are square in a square image, up to rounding.
    assert np.abs(height - width)[inside].max() <= 1
    # A side s = sqrt(u) fits at a random place with chance (1 - s)^2, so E[fits] = 1/6.
    assert inside.mean() == pytest.approx(1 / 6, abs=0.02)


def test_partners_are_other_images_each_used_once():
    for count in (2, 3, 32):
        partners = draw_partners(Draws(0, 5, np.arange(count))).numpy()
        assert sorted(partners) == list(range(count))
        assert (partners != np.arange(count)).all()


def test_partners_change_with_the_epoch():
    keys = np.arange(32)
    one, other = (draw_partners(Draws(0, epoch, keys)).numpy() for epoch in (0, 1))
    assert not np.array_equal(one, other)


def test_an_image_alone_is_mixed_with_itself():
    mixing = draw_mixing(MixRecipe(cutmix=0.5, mixup=0.5), Draws(0, 0, np.array([7])), SIZE)
    images = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3), dtype=np.uint8)
    mixed = mix_images(tf.constant(images), mixing).numpy()
    np.testing.assert_allclose(mixed, images, atol=1e-4)
    np.testing.assert_allclose(mix_targets(tf.constant([[0.0, 1.0]]), mixing), [[0.0, 1.0]])


def test_pasted_pixels_are_the_partners_own():
    images = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3), dtype=np.uint8)
    mixing = draw_mixing(MixRecipe(cutmix=1.0), Draws(0, 0, np.arange(8)), SIZE)
    mixed = mix_images(tf.constant(images), mixing).numpy()
    for number, (top, bottom, left, right) in enumerate(mixing.boxes.numpy()):
        partner = images[mixing.partners[number]]
        expected = images[number].copy()
        expected[top:bottom, left:right] = partner[top:bottom, left:right]
        assert np.array_equal(mixed[number], expected)


def test_mixed_values_stay_in_range():
    images = tf.constant(np.full((16, *SIZE, 3), 255, np.uint8))
    mixing = draw_mixing(MixRecipe(mixup=1.0, mixup_alpha=1.0), Draws(0, 0, np.arange(16)), SIZE)
    assert mix_images(images, mixing).numpy().max() <= 255.0
