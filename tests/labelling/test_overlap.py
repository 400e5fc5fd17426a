"""Who labels what: a deal that later labellers and images hardly move."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.errors import RequestError
from tfclassify.labelling.overlap import deal_images, mark_shared

IMAGES = [f"photos/{number:04d}.jpg" for number in range(2000)]


def test_each_image_has_one_labeller_and_a_share_has_two() -> None:
    dealt = deal_images(IMAGES, ["ann", "bob", "cleo"], overlap=0.2, seed=1)
    times = np.sum([*dealt.values()], axis=0)
    assert set(times.tolist()) == {1, 2}
    # 2000 draws of 0.2: five standard deviations are 0.045.
    assert abs((times == 2).mean() - 0.2) < 0.045
    for mine in dealt.values():
        assert abs(mine.mean() - 1.2 / 3) < 0.055
    assert np.array_equal(times == 2, mark_shared(IMAGES, overlap=0.2, seed=1))


def test_the_deal_depends_on_names_and_seed_alone() -> None:
    forwards = deal_images(IMAGES, ["ann", "bob"], overlap=0.5, seed=3)
    backwards = deal_images(IMAGES[::-1], ["bob", "ann"], overlap=0.5, seed=3)
    for name in ("ann", "bob"):
        assert np.array_equal(forwards[name], backwards[name][::-1])
    other = deal_images(IMAGES, ["ann", "bob"], overlap=0.5, seed=4)
    assert not np.array_equal(forwards["ann"], other["ann"])


def test_a_third_labeller_only_takes() -> None:
    two = deal_images(IMAGES, ["ann", "bob"], overlap=0.2, seed=0)
    three = deal_images(IMAGES, ["ann", "bob", "cleo"], overlap=0.2, seed=0)
    # Whoever keeps an image had it: nothing moves from ann to bob. Only where both had it may
    # one of them lose it to the third.
    for name in ("ann", "bob"):
        assert not (three[name] & ~two[name]).any()


@pytest.mark.parametrize(("overlap", "times"), [(0.0, 1), (1.0, 2)])
def test_none_and_all_are_shared(overlap: float, times: int) -> None:
    dealt = deal_images(IMAGES[:50], ["ann", "bob", "cleo"], overlap=overlap, seed=0)
    assert np.sum([*dealt.values()], axis=0).tolist() == [times] * 50


def test_one_labeller_has_everything() -> None:
    assert deal_images(IMAGES[:9], ["ann"], overlap=0.2, seed=0)["ann"].all()


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(RequestError, match=r"--overlap: must be from 0 to 1, .* got 20"):
        deal_images(IMAGES, ["ann"], overlap=20, seed=0)
    with pytest.raises(RequestError, match="different names, got none"):
        deal_images(IMAGES, [], overlap=0.2, seed=0)
    with pytest.raises(RequestError, match="different names, got ann, ann"):
        deal_images(IMAGES, ["ann", "ann"], overlap=0.2, seed=0)
