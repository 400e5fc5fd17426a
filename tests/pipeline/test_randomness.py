from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfclassify.pipeline.randomness import (
    Draws,
    Slot,
    draw_order,
    draw_uniforms,
    hash_address,
)

KEYS = np.array([0, 1, 17, 2**62 + 12345, 2**63 - 1], dtype=np.int64)


def splitmix(value: int) -> int:
    """One step of the published SplitMix64, in Python's own integers."""
    mask = 2**64 - 1
    value = (value + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    return value ^ (value >> 31)


def hash_by_hand(seed: int, epoch: int, key: int, slot: int) -> int:
    state = 0x9E3779B97F4A7C15
    for part in (seed, epoch, key, slot):
        state = splitmix(state ^ part)
    return state


def test_splitmix_here_is_the_published_one():
    # First outputs of SplitMix64 from state 0, as listed by Rosetta Code and Java's tests.
    assert splitmix(0) == 0xE220A8397B1DCDAF
    assert splitmix(0x9E3779B97F4A7C15) == 0x6E789E6AA1B965F4


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (7, 3), (2**31 - 1, 10**6)])
def test_hash_equals_python_integers(seed: int, epoch: int):
    hashed = hash_address(seed, epoch, KEYS, [int(slot) for slot in Slot]).numpy()
    expected = [[hash_by_hand(seed, epoch, int(key), slot) for slot in Slot] for key in KEYS]
    assert hashed.dtype == np.uint64
    assert hashed.tolist() == expected


def test_uniforms_are_the_top_24_bits():
    uniforms = draw_uniforms(3, 5, KEYS, [4, 9]).numpy()
    expected = [[(hash_by_hand(3, 5, int(k), s) >> 40) / 2**24 for s in (4, 9)] for k in KEYS]
    assert uniforms.dtype == np.float32
    assert uniforms.tolist() == expected


def test_uniforms_are_the_same_in_a_graph_and_in_any_batch():
    graph = tf.function(lambda keys: draw_uniforms(3, 5, keys, [4, 9]))
    whole = graph(tf.constant(KEYS)).numpy()
    parts = np.concatenate([draw_uniforms(3, 5, KEYS[k : k + 1], [4, 9]) for k in range(5)])
    assert np.array_equal(whole, parts)


def test_uniforms_are_uniform():
    # Consecutive keys are the hardest case for a hash.
    for seed, epoch in ((0, 0), (1, 0), (0, 1)):
        values = draw_uniforms(seed, epoch, np.arange(20_000), [0, 1, 2]).numpy()
        assert values.min() >= 0.0
        assert values.max() < 1.0
        for column in values.T:
            assert stats.kstest(column, "uniform").pvalue > 1e-3


def test_slots_epochs_seeds_and_neighbours_are_independent():
    count = 20_000
    rows = [
        *draw_uniforms(0, 0, np.arange(count), [0, 1, 2, 3]).numpy().T,
        *draw_uniforms(0, 1, np.arange(count), [0, 1]).numpy().T,
        *draw_uniforms(1, 0, np.arange(count), [0, 1]).numpy().T,
        draw_uniforms(0, 0, np.arange(1, count + 1), [0]).numpy()[:, 0],
    ]
    correlations = np.corrcoef(np.stack(rows)) - np.eye(len(rows))
    # The standard error of a correlation of 0 is 1 / sqrt(n); five of them.
    assert np.abs(correlations).max() < 5.0 / np.sqrt(count)


def test_two_slots_fill_the_square_evenly():
    pairs = draw_uniforms(0, 0, np.arange(40_000), [int(Slot.MIX_Y), int(Slot.MIX_X)]).numpy()
    counts, _, _ = np.histogram2d(*pairs.T, bins=10, range=[[0, 1], [0, 1]])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-3


def test_order_is_a_permutation_that_changes_with_its_address():
    orders = [
        tuple(draw_order(seed, epoch, np.arange(50), Slot.ORDER).numpy())
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(orders)) == 3


def test_every_order_of_three_is_as_likely():
    order = tf.function(lambda epoch: draw_order(0, epoch, tf.range(3, dtype=tf.int64), Slot.ORDER))
    orders = [order(tf.constant(epoch, tf.int64)).numpy() for epoch in range(1200)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_order_follows_keys_not_rows():
    keys = np.arange(100, 130)
    shuffled = keys[::-1].copy()
    one = keys[draw_order(0, 0, keys, Slot.PARTNER).numpy()]
    other = shuffled[draw_order(0, 0, shuffled, Slot.PARTNER).numpy()]
    assert np.array_equal(one, other)


def test_draws_look_up_their_slot():
    draws = Draws(3, 5, KEYS)
    expected = [(hash_by_hand(3, 5, int(k), Slot.ZOOM) >> 40) / 2**24 for k in KEYS]
    assert draws.uniform(Slot.ZOOM).numpy().tolist() == expected
    scaled = draws.uniform(Slot.ZOOM, -2.0, 2.0).numpy()
    np.testing.assert_allclose(scaled, 4.0 * np.array(expected) - 2.0)


def test_chance_is_kept_and_its_ends_are_certain():
    draws = Draws(0, 0, np.arange(20_000))
    assert draws.happens(Slot.BLUR, 1.0).numpy().all()
    assert not draws.happens(Slot.BLUR, 0.0).numpy().any()
    assert draws.happens(Slot.BLUR, 0.3).numpy().mean() == pytest.approx(0.3, abs=0.015)


def test_slots_are_numbered_without_holes():
    # draw_uniforms of all slots is indexed by the slot's value.
    assert [int(slot) for slot in Slot] == list(range(len(Slot)))
