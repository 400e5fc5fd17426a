"""Shares units among subsets, so that each subset has its part of every label.

Owns: the choice, given units and shares. Does not own: what a unit is (``units``).

Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011, "On the stratification
of multi-label data"), by units instead of images: the rarest label left is shared out
first, each of its units to the subset that lacks it most. Then units are moved, and in
the end exchanged, as long as that lowers the cost of ``v`` images where ``t`` are wanted,

    sum over subsets of  [ sum over labels of (v_c - t_c)^2 / t_c  +  (n - N)^2 / N ]

with ``n`` images in a subset that should have ``N``. Of several seeded orders the
cheapest outcome is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfclassify.data.units import draw_order

_MAX_ORDERS = 8
_MAX_PASSES = 10
_WORK = 20_000  # units times orders; units times passes are five times that
_MAX_EXCHANGED = 2000  # units; the time grows with their square
#: Cost of a subset that takes all images of a label which others should have too.
_ALL_TAKEN = 1e9


def stratify(
    counts: np.ndarray,
    sizes: np.ndarray,
    shares: Sequence[float],
    keys: Sequence[str],
    *,
    may_take_all: Sequence[bool],
    address: str,
) -> np.ndarray:
    """Share units among subsets.

    Args:
        counts: Images of each label in each unit, int64 ``(units, labels)``.
        sizes: Images in each unit, int64 ``(units,)``; with several labels an image, or
            none, not the sum of its counts.
        shares: What each subset should have of everything; above 0, in sum 1.
        keys: A name for each unit, which alone decides its place in a seeded order.
        may_take_all: Whether a subset may hold all images of a label, as training may.
        address: What the orders are drawn from: the seed, and what is shared out.

    Returns:
        The subset of each unit, int64 ``(units,)``. No subset is empty, if there are
        as many units.
    """
    plan = _Plan(counts, sizes, np.asarray(shares, dtype=np.float64), np.asarray(may_take_all))
    orders = min(_MAX_ORDERS, max(1, _WORK // max(1, len(counts))))
    outcomes = []
    for number in range(orders):
        order = draw_order(keys, f"{address}:{number}")
        subsets = plan.share_out(order)
        plan.fill_empty(subsets, order)
        plan.improve(subsets, order)
        outcomes.append(subsets)
    best = min(outcomes, key=plan.find_cost)
    if len(best) <= _MAX_EXCHANGED:
        plan.exchange(best)
    return best


class _Plan:
    """What is to be shared out, and what it costs to do it in some way."""

    def __init__(
        self, counts: np.ndarray, sizes: np.ndarray, shares: np.ndarray, may_take_all: np.ndarray
    ) -> None:
        # The size is one more label, which every image has.
        self.amounts = np.concatenate([counts, sizes[:, None]], axis=1).astype(np.int64)
        self.totals = self.amounts.sum(axis=0)
        self.wanted = shares[:, None] * self.totals
        self.weights = 1.0 / np.maximum(self.wanted, 1e-9)
        self.is_barred = ~may_take_all
        # Most units have few labels: only these change anything.
        self.labels = [np.flatnonzero(row) for row in self.amounts]

    def hold(self, subsets: np.ndarray) -> np.ndarray:
        """Return the amounts that each subset holds, int64 ``(subsets, labels + 1)``."""
        held = np.zeros(self.wanted.shape, dtype=np.int64)
        np.add.at(held, subsets, self.amounts)
        return held

    def find_cost(self, subsets: np.ndarray) -> float:
        """Return how far an outcome is from what is wanted."""
        held = self.hold(subsets)
        is_all_taken = (held >= self.totals) & (self.totals > 0) & self.is_barred[:, None]
        misfit = float(((held - self.wanted) ** 2 * self.weights).sum())
        return misfit + _ALL_TAKEN * int(is_all_taken[:, :-1].sum())

    def share_out(self, order: Sequence[int]) -> np.ndarray:
        """Give each unit to the subset that lacks its rarest label most."""
        lacking = self.wanted.copy()
        left = self.totals[:-1].copy()
        subsets = np.full(len(self.amounts), -1, dtype=np.int64)
        by_label: list[list[int]] = [[] for _ in left]
        for unit in order:
            for label in self.labels[unit][:-1]:
                by_label[label].append(unit)

        def give(unit: int, need: np.ndarray) -> None:
            best = np.flatnonzero(need >= need.max() - 1e-9)
            subset = best[np.argmax(lacking[best, -1])]
            subsets[unit] = subset
            lacking[subset] -= self.amounts[unit]

        while (left > 0).any():
            label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
            waiting = [unit for unit in by_label[label] if subsets[unit] < 0]
            # Large units first: small ones even out what they leave.
            for unit in sorted(waiting, key=lambda unit: -self.amounts[unit, label]):
                give(unit, lacking[:, label])
                left -= self.amounts[unit, :-1]
        for unit in order:
            if subsets[unit] < 0:
                give(unit, lacking[:, -1])
        return subsets

    def fill_empty(self, subsets: np.ndarray, order: Sequence[int]) -> None:
        """Give each subset without a unit the one that fits best, where one can be spared."""
        for empty in range(len(self.wanted)):
            spare = np.bincount(subsets, minlength=len(self.wanted)) > 1
            if (subsets == empty).any() or not spare.any():
                continue
            held = self.hold(subsets)
            movable = [unit for unit in order if spare[subsets[unit]]]
            changes = [self._find_changes(unit, subsets[unit], held)[empty] for unit in movable]
            subsets[movable[int(np.argmin(changes))]] = empty

    def improve(self, subsets: np.ndarray, order: Sequence[int]) -> None:
        """Move units to other subsets, as long as that lowers the cost."""
        held = self.hold(subsets)
        members = np.bincount(subsets, minlength=len(held))
        for _ in range(min(_MAX_PASSES, max(1, 5 * _WORK // max(1, len(order))))):
            has_moved = False
            for unit in order:
                here = subsets[unit]
                if members[here] == 1:
                    continue
                changes = self._find_changes(unit, here, held)
                there = int(np.argmin(changes))
                if changes[there] < -1e-9:
                    held[here] -= self.amounts[unit]
                    held[there] += self.amounts[unit]
                    members[here] -= 1
                    members[there] += 1
                    subsets[unit], has_moved = there, True
            if not has_moved:
                return

    def exchange(self, subsets: np.ndarray) -> None:
        """Exchange pairs of units between subsets, as long as that lowers the cost."""
        cost = self.find_cost(subsets)
        for _ in range(_MAX_PASSES):
            before = cost
            for unit in range(len(subsets)):
                changes = self._find_exchanges(unit, subsets)
                other = int(np.argmin(changes))
                if changes[other] >= -1e-9:
                    continue
                subsets[[unit, other]] = subsets[[other, unit]]
                # The change leaves out labels that would be taken whole; the cost does not.
                reached = self.find_cost(subsets)
                if reached < cost:
                    cost = reached
                else:
                    subsets[[unit, other]] = subsets[[other, unit]]
            if cost >= before - 1e-9:
                return

    def _find_exchanges(self, unit: int, subsets: np.ndarray) -> np.ndarray:
        """Return what exchanging a unit for each other one adds to the cost."""
        here = subsets[unit]
        gained = self.amounts - self.amounts[unit]
        pull = (self.hold(subsets) - self.wanted) * self.weights
        weights = self.weights[here] + self.weights[subsets]
        changes: np.ndarray = (gained * (gained * weights + 2 * (pull[here] - pull[subsets]))).sum(
            axis=1
        )
        changes[subsets == here] = 0.0
        return changes

    def _find_changes(self, unit: int, here: int, held: np.ndarray) -> np.ndarray:
        """Return what moving a unit from ``here`` to each subset adds to the cost."""
        labels = self.labels[unit]
        amount, total = self.amounts[unit, labels], self.totals[labels]
        excess, weights = held[:, labels] - self.wanted[:, labels], self.weights[:, labels]
        added = ((2 * excess + amount) * amount * weights).sum(axis=1)
        removed = float(((amount - 2 * excess[here]) * amount * weights[here]).sum())
        # The last of the labels is the size, which may be taken whole.
        would_take = (held[:, labels[:-1]] + amount[:-1] >= total[:-1]).sum(axis=1)
        added += _ALL_TAKEN * would_take * self.is_barred
        takes = int((held[here, labels[:-1]] >= total[:-1]).sum())
        removed -= _ALL_TAKEN * takes * bool(self.is_barred[here])
        changes: np.ndarray = added + removed
        changes[here] = 0.0
        return changes
