from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfclassify.data.stratify import _Plan, find_quotas, hold_out, stratify


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


def share(
    rows: Sequence[Sequence[int]],
    shares: Sequence[float],
    *,
    sizes: Sequence[int] | None = None,
    address: str = "0",
    may_take_all: Sequence[bool] | None = None,
) -> np.ndarray:
    return stratify(
        np.array(rows, dtype=np.int64),
        np.array(sizes or [max(1, sum(row)) for row in rows], dtype=np.int64),
        shares,
        [f"unit {number}" for number in range(len(rows))],
        may_take_all=may_take_all or [False] * len(shares),
        address=address,
    )


def amounts(rows: Sequence[Sequence[int]], subsets: np.ndarray) -> list[list[int]]:
    table = np.array(rows)
    return [table[subsets == number].sum(axis=0).tolist() for number in range(subsets.max() + 1)]


def test_single_labels_are_shared_out_exactly() -> None:
    rows = [[1, 0, 0]] * 40 + [[0, 1, 0]] * 20 + [[0, 0, 1]] * 5
    assert amounts(rows, share(rows, [0.2] * 5)) == [[8, 4, 1]] * 5


def test_what_does_not_divide_is_evened_out_over_labels() -> None:
    # 7 and 8 images in 5 folds: 2 2 1 1 1 and 2 2 2 1 1, but 3 in each fold.
    rows = [[1, 0]] * 7 + [[0, 1]] * 8
    held = amounts(rows, share(rows, [0.2] * 5))
    assert [sum(row) for row in held] == [3] * 5
    assert sorted(row[0] for row in held) == [1, 1, 1, 2, 2]


def test_label_sets_are_shared_out_as_well_as_can_be() -> None:
    # Each of the eight sets over three labels four times: a quarter of everything is
    # one image of each set.
    sets = list(product([0, 1], repeat=3)) * 4
    held = amounts(sets, share(sets, [0.25] * 4, sizes=[1] * 32))
    assert held == [[4, 4, 4]] * 4


def test_unequal_shares() -> None:
    sets = [row for row in product([0, 1], repeat=2) for _ in range(10)]
    subsets = share(sets, [0.2, 0.1, 0.7], sizes=[1] * 40, may_take_all=[False, False, True])
    assert np.bincount(subsets).tolist() == [8, 4, 28]
    assert amounts(sets, subsets) == [[4, 4], [2, 2], [14, 14]]


def test_a_lone_image_of_a_label_goes_to_the_one_that_may_take_all() -> None:
    rows = [[1, 0]] * 50 + [[1, 1]]
    for seed in range(10):
        subsets = share(rows, [0.5, 0.5], address=str(seed), may_take_all=[False, True])
        assert subsets[-1] == 1


def test_no_subset_takes_all_images_of_a_label_that_could_be_apart() -> None:
    # The second label has one large and one small unit: by size alone both would fit.
    rows = [[30, 0], [0, 29], [0, 1], [30, 0]]
    for seed in range(10):
        subsets = share(rows, [0.5, 0.5], address=str(seed))
        assert subsets[1] != subsets[2]
        assert subsets[0] != subsets[3]


def test_no_subset_stays_empty() -> None:
    # One unit outweighs all: nothing is lacking but in the subset that has it.
    rows = [[100], [1], [1]]
    assert sorted(share(rows, [1 / 3] * 3).tolist()) == [0, 1, 2]
    assert sorted(share([[1]] * 4, [0.25] * 4).tolist()) == [0, 1, 2, 3]


def test_fewer_units_than_subsets() -> None:
    assert len(set(share([[1], [1]], [0.25] * 4).tolist())) == 2


def cost_of_sharing(
    rows: np.ndarray, sizes: np.ndarray, subsets: Sequence[int], parts: int
) -> float:
    cost = 0.0
    for number in range(parts):
        is_in = np.array(subsets) == number
        for amount in (*rows.T, sizes):
            wanted, held = amount.sum() / parts, amount[is_in].sum()
            if wanted:
                cost += (held - wanted) ** 2 / wanted
    for amount in rows.T:
        taken = any(amount[np.array(subsets) == n].sum() == amount.sum() for n in range(parts))
        cost += 1e9 * bool(amount.sum() and taken)
    return cost


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=2, max_size=2), min_size=3, max_size=8),
    st.sampled_from([2, 3]),
    st.data(),
)
def test_units_come_near_the_best_of_all_ways(
    rows: list[list[int]], parts: int, data: st.DataObject
) -> None:
    table = np.array(rows, dtype=np.int64)
    extra = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    sizes = np.maximum(1, table.max(axis=1)) + np.array(extra)
    found = share(rows, [1 / parts] * parts, sizes=sizes.tolist())
    costs = [
        cost_of_sharing(table, sizes, subsets, parts)
        for subsets in product(range(parts), repeat=len(rows))
        if len(set(subsets)) == parts
    ]
    everything_in_one = cost_of_sharing(table, sizes, [0] * len(rows), parts) % 1e9
    reached = cost_of_sharing(table, sizes, found.tolist(), parts)
    # No label is taken whole that need not be, and at least nine tenths of the cost of
    # one heap are saved of what can be.
    assert reached // 1e9 == min(costs) // 1e9
    assert reached <= min(costs) + 0.1 * everything_in_one + 1e-6


def test_the_address_draws_another_way() -> None:
    rows = [[1, 0]] * 20 + [[0, 1]] * 20
    ways = {share(rows, [0.25] * 4, address=str(seed)).tobytes() for seed in range(5)}
    assert len(ways) == 5


@pytest.mark.parametrize("labels", [0, 1])
def test_units_without_any_label_are_shared_out_by_size(labels: int) -> None:
    counts = np.zeros((10, labels), dtype=np.int64)
    subsets = stratify(
        counts,
        np.ones(10, dtype=np.int64),
        [0.5, 0.5],
        [str(number) for number in range(10)],
        may_take_all=[False, False],
        address="0",
    )
    assert np.bincount(subsets).tolist() == [5, 5]


def test_exchanges_are_worth_what_the_cost_says() -> None:
    """The formula without the labels that are absent agrees with the cost, pair by pair."""
    random = np.random.default_rng(5)
    counts = (random.random((12, 30)) < 0.15).astype(np.int64)
    sizes = np.ones(12, dtype=np.int64)
    plan = _Plan(counts, sizes, np.array([0.2, 0.3, 0.5]), np.array([True] * 3))
    subsets = random.integers(3, size=12)
    for unit in range(12):
        changes = plan._find_exchanges(unit, subsets, plan.hold(subsets))
        for other in range(12):
            swapped = subsets.copy()
            swapped[[unit, other]] = swapped[[other, unit]]
            difference = plan.find_cost(swapped) - plan.find_cost(subsets)
            assert changes[other] == pytest.approx(difference, abs=1e-8)


def test_many_labels_cost_what_the_labels_that_are_there_cost() -> None:
    """Ten thousand labels, of which few occur, are shared out as those few are alone."""
    random = np.random.default_rng(6)
    few = (random.random((80, 12)) < 0.2).astype(np.int64)
    many = np.zeros((80, 10_000), dtype=np.int64)
    many[:, ::900] = few
    keys, sizes = [f"{number}" for number in range(80)], np.ones(80, dtype=np.int64)
    one, other = (
        stratify(counts, sizes, [0.2, 0.8], keys, may_take_all=[False, True], address="0")
        for counts in (few, many)
    )
    assert one.tolist() == other.tolist()
