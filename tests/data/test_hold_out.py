from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfclassify.data.hold_out import find_quotas, hold_out


def choose(
    counts: list[list[int]], share: float, reserve: int = 1, address: str = "0"
) -> np.ndarray:
    table = np.array(counts, dtype=np.int64)
    return hold_out(
        [np.repeat(np.arange(table.shape[1]), row).tolist() for row in table],
        [f"unit {number}" for number in range(len(table))],
        targets=share * table.sum(axis=0),
        reserve=reserve,
        address=address,
    )


@pytest.mark.parametrize(
    ("totals", "targets", "reserve", "quotas"),
    [
        ([10, 10], [2.0, 2.0], 1, [2, 2]),
        # 0.6 + 0.6 + 0.6 = 1.8, so two images, though each class is raised to one.
        ([3, 3, 3], [0.6, 0.6, 0.6], 1, [1, 1, 1]),
        # 3.75 in all: 4, and the largest remainder goes first.
        ([10, 7, 8], [1.5, 1.05, 1.2], 1, [2, 1, 1]),
        ([2, 100], [1.6, 80.0], 1, [1, 80]),
        ([2, 100], [1.6, 80.0], 2, [0, 80]),
        ([1, 9], [0.1, 0.9], 1, [0, 1]),
    ],
)
def test_quotas_worked_by_hand(
    totals: list[int], targets: list[float], reserve: int, quotas: list[int]
) -> None:
    found = find_quotas(np.array(totals), np.array(targets), reserve)
    assert found.tolist() == quotas


def test_single_images_give_exact_quotas() -> None:
    counts = np.eye(3, dtype=np.int64)[[0] * 50 + [1] * 31 + [2] * 7]
    chosen = choose(counts.tolist(), 0.2)
    # 10, 6.2 and 1.4 are 17.6, so 18: the rest goes to the largest remainder.
    assert counts[chosen].sum(axis=0).tolist() == [10, 6, 2]


def cost_of(held: np.ndarray, targets: np.ndarray) -> float:
    total = targets.sum()
    parts = [(h - t) ** 2 / t for h, t in zip(held, targets, strict=True) if t > 0]
    return float(sum(parts) + (held.sum() - total) ** 2 / total)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=2, max_size=9).filter(
        lambda rows: all(sum(row) > 1 for row in rows)
    ),
    st.sampled_from([0.2, 0.3, 0.5]),
)
def test_groups_come_near_the_best_of_all_choices(rows: list[list[int]], share: float) -> None:
    counts = np.array(rows, dtype=np.int64)
    targets = share * counts.sum(axis=0)
    limit = np.maximum(counts.sum(axis=0) - 1, 0)
    best = min(
        cost_of(held, targets)
        for bits in product([False, True], repeat=len(rows))
        if ((held := counts[np.array(bits)].sum(axis=0)) <= limit).all()
    )
    held = counts[choose(rows, share)].sum(axis=0)
    nothing = cost_of(np.zeros(3), targets)
    assert (held <= limit).all()
    # At least four fifths of what can be gained over holding nothing out.
    assert cost_of(held, targets) <= best + 0.2 * (nothing - best) + 1e-9


def test_groups_and_single_images_together() -> None:
    rows = [[8, 0], [0, 8], [3, 3]] + [[1, 0]] * 40 + [[0, 1]] * 20
    held = np.array(rows)[choose(rows, 0.2)].sum(axis=0)
    # 51 and 31 images: 10.2 and 6.2 are wanted.
    assert held.tolist() == [10, 6]


def test_the_address_draws_another_choice() -> None:
    rows = [[1, 0]] * 30 + [[0, 1]] * 30
    choices = {choose(rows, 0.2, address=str(seed)).tobytes() for seed in range(5)}
    assert len(choices) == 5


def test_a_new_image_leaves_most_others_where_they_were() -> None:
    few, more = choose([[1]] * 100, 0.2), choose([[1]] * 105, 0.2)
    assert (few & more[:100]).sum() >= 18
