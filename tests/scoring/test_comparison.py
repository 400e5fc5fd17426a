"""Differences between models, against numbers worked by hand and brute force."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from tfclassify.errors import ScoringError
from tfclassify.scoring.comparison import adjust_holm, compare_hits, resample_difference
from tfclassify.scoring.intervals import plan_resamples


def flags(only_first: int, only_second: int, both: int = 3, none: int = 2) -> tuple[list, list]:
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * none
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * none
    return first, second


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (9, 1, 22 / 1024),  # 2 (1 + 10) / 2^10
        (0, 5, 2 / 32),
        (3, 3, 1.0),  # 2 (1 + 6 + 15 + 20) / 64 is above 1
        (0, 0, 1.0),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
    ],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p_value: float) -> None:
    found = compare_hits(*flags(only_first, only_second))
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p_value == pytest.approx(p_value, abs=1e-15)


def test_mcnemar_is_exact_on_many_images() -> None:
    found = compare_hits(*flags(430, 512))
    ways = sum(math.comb(942, count) for count in range(431))
    assert found.p_value == pytest.approx(float(Fraction(2 * ways, 2**942)), rel=1e-9)


@pytest.mark.parametrize("second", [[True], [[True, False]]])
def test_mcnemar_needs_the_same_images(second: list) -> None:
    with pytest.raises(ScoringError, match="McNemar: needs one flag an image from each model"):
        compare_hits([True, False], second)


def test_holm_by_hand() -> None:
    # 3 x 0.01, then 2 x 0.03, then 1 x 0.04, which may not fall below 0.06.
    assert adjust_holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjust_holm([0.6, 0.9]) == [1.0, 1.0]
    assert adjust_holm([]) == []


def share_of(right: np.ndarray):
    return lambda weights: weights @ right / weights.sum(axis=1)


def test_the_difference_of_two_shares_by_brute_force() -> None:
    # Every one of the 4^4 resamples of four images, each as likely as the other.
    first = np.array([1.0, 0.0, 1.0, 0.0])
    second = np.array([1.0, 1.0, 0.0, 1.0])
    draws = np.array(list(product(range(4), repeat=4)))
    differences = (second - first)[draws].mean(axis=1)
    exact = np.quantile(differences, [0.1, 0.9])
    plan = plan_resamples(4, seed=1, resamples=20_000)
    found = resample_difference(share_of(first), share_of(second), plan, level=0.8)
    assert found.value == pytest.approx(0.25)
    assert [found.low, found.high] == pytest.approx(list(exact), abs=1e-12)
    assert found.n == 4


def test_equal_models_have_no_interval() -> None:
    right = np.array([1.0, 0.0, 1.0])
    found = resample_difference(share_of(right), share_of(right), plan_resamples(3, seed=0))
    assert (found.value, found.low, found.high) == (0.0, None, None)


def test_whole_groups_are_drawn() -> None:
    # Two groups that pull apart: a resample is +1, 0 or -1, never between.
    first, second = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    plan = plan_resamples(4, seed=0, groups=["a", "a", "b", "b"])
    found = resample_difference(share_of(first), share_of(second), plan)
    assert (found.value, found.low, found.high) == (0.0, -1.0, 1.0)
