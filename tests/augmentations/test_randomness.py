from __future__ import annotations

import hashlib

import numpy as np
import pytest
from scipy import stats

from tfclassify.augmentations.randomness import Draws

KEYS = np.array([0, 1, 17, 2**62 + 12345, 2**63 - 1, -5], dtype=np.int64)
MASK = 2**64 - 1


def splitmix(value: int) -> int:
    """One step of the published SplitMix64, in Python's own integers."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def hash_by_hand(seed: int, epoch: int, key: int, name: str) -> int:
    state = 0x9E3779B97F4A7C15
    address = int(hashlib.blake2b(name.encode(), digest_size=8).hexdigest(), 16)
    for part in (seed, epoch, key & MASK, address):
        state = splitmix(state ^ part)
    return state


def test_splitmix_here_is_the_published_one():
    # First outputs of SplitMix64 from state 0, as listed by Rosetta Code and Java's tests.
    assert splitmix(0) == 0xE220A8397B1DCDAF
    assert splitmix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (7, 3), (2**31 - 1, 10**6)])
def test_hash_equals_python_integers(seed: int, epoch: int):
    hashed = Draws(seed, epoch, KEYS).bits("zoom")
    assert hashed.dtype == np.uint64
    assert hashed.tolist() == [hash_by_hand(seed, epoch, int(key), "zoom") for key in KEYS]


def test_uniforms_are_the_top_53_bits():
    uniforms = Draws(3, 5, KEYS).uniform("crop.area")
    expected = [(hash_by_hand(3, 5, int(key), "crop.area") >> 11) / 2**53 for key in KEYS]
    assert uniforms.tolist() == expected
    scaled = Draws(3, 5, KEYS).uniform("crop.area", -2.0, 2.0)
    np.testing.assert_allclose(scaled, 4.0 * np.array(expected) - 2.0)


def test_draws_are_the_same_in_any_batch():
    whole = Draws(3, 5, KEYS).uniform("zoom")
    parts = [Draws(3, 5, KEYS[k : k + 1]).uniform("zoom")[0] for k in range(len(KEYS))]
    assert len(Draws(3, 5, KEYS)) == len(KEYS)
    assert whole.tolist() == parts


def test_uniforms_are_uniform():
    # Consecutive keys are the hardest case for a hash.
    for seed, epoch in ((0, 0), (1, 0), (0, 1)):
        draws = Draws(seed, epoch, np.arange(20_000))
        for name in ("a", "b", "rotate"):
            values = draws.uniform(name)
            assert values.min() >= 0.0
            assert values.max() < 1.0
            assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_names_epochs_seeds_and_neighbours_are_independent():
    count = 20_000
    keys = np.arange(count)
    rows = [
        *(Draws(0, 0, keys).uniform(name) for name in ("shift.x", "shift.y", "zoom", "flip")),
        *(Draws(0, 1, keys).uniform(name) for name in ("shift.x", "shift.y")),
        *(Draws(1, 0, keys).uniform(name) for name in ("shift.x", "shift.y")),
        Draws(0, 0, keys + 1).uniform("shift.x"),
    ]
    correlations = np.corrcoef(np.stack(rows)) - np.eye(len(rows))
    # The standard error of a correlation of 0 is 1 / sqrt(n); five of them.
    assert np.abs(correlations).max() < 5.0 / np.sqrt(count)


def test_two_names_fill_the_square_evenly():
    draws = Draws(0, 0, np.arange(40_000))
    pairs = draws.uniform("mix.y"), draws.uniform("mix.x")
    counts, _, _ = np.histogram2d(*pairs, bins=10, range=[[0, 1], [0, 1]])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_order_is_a_permutation_that_changes_with_its_address():
    orders = [
        tuple(Draws(seed, epoch, np.arange(50)).order(name))
        for seed, epoch, name in ((0, 0, "a"), (0, 1, "a"), (1, 0, "a"), (0, 0, "b"))
    ]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(orders)) == 4


def test_every_order_of_three_is_as_likely():
    orders = [Draws(0, epoch, np.arange(3)).order("order") for epoch in range(1200)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_order_follows_keys_not_rows():
    keys = np.arange(100, 130)
    one = keys[Draws(0, 0, keys).order("mix.partner")]
    other = keys[::-1][Draws(0, 0, keys[::-1].copy()).order("mix.partner")]
    assert np.array_equal(one, other)


def test_chance_is_kept_and_its_ends_are_certain():
    draws = Draws(0, 0, np.arange(20_000))
    assert draws.happens("blur", 1.0).all()
    assert not draws.happens("blur", 0.0).any()
    assert draws.happens("blur", 0.3).mean() == pytest.approx(0.3, abs=0.015)
