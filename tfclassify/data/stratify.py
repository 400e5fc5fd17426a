"""Shares units among subsets, so that each class or label gives its part.

Owns: the choice, given units and shares, and the seeded order of units. Does not own: what
a unit is (``splits``).

``hold_out`` is for one label an image: units of one image fill each class's quota exactly,
larger units (groups) are chosen by greedy passes from several seeded orders, of which the
best is kept. The cost of holding out ``v`` images where ``t`` are wanted is

    sum over classes of (v_c - t_c)^2 / t_c  +  (sum v - sum t)^2 / sum t

``stratify`` is for any number of labels and subsets: iterative stratification (Sechidis,
Tsoumakas & Vlahavas 2011, "On the stratification of multi-label data"), by units instead of
images. The rarest label left is shared out first, each of its units to the subset that
lacks it most. Then units are moved, and in the end exchanged, as long as that lowers the
same cost, summed over the subsets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

_PASSES = 4
_MAX_ORDERS = 16
_WORK = 20_000  # units times orders


def hold_out(
    units: Sequence[Sequence[int]],
    keys: Sequence[str],
    *,
    targets: np.ndarray,
    reserve: int,
    address: str,
) -> np.ndarray:
    """Choose units whose images add up to about the targets.

    Args:
        units: The class number of each image, for each unit.
        keys: A name for each unit, which alone decides its place in a seeded order.
        targets: Images wanted of each class, float ``(classes,)``.
        reserve: Images of each class that must not be chosen.
        address: What the orders are drawn from: the seed, and what is held out.

    Returns:
        Whether a unit is chosen, bool ``(units,)``. Every class with more than
        ``reserve`` images gives at least one, where its units allow.
    """
    totals = _count([label for unit in units for label in unit], len(targets))
    chosen = np.zeros(len(units), dtype=bool)
    held = np.zeros_like(totals)
    large = [number for number, unit in enumerate(units) if len(unit) > 1]
    if large:
        counts = np.stack([_count(units[number], len(targets)) for number in large])
        share = np.divide(targets, totals, out=np.zeros(len(totals)), where=totals > 0)
        limit = np.maximum(totals - reserve, 0)
        names = [keys[number] for number in large]
        picked = _choose_large(counts, names, share * counts.sum(axis=0), limit, address)
        chosen[large] = picked
        held = counts[picked].sum(axis=0)
    missing = find_quotas(totals, targets, reserve) - held
    for number in draw_order(keys, address):
        if len(units[number]) == 1 and missing[units[number][0]] > 0:
            chosen[number] = True
            missing[units[number][0]] -= 1
    return chosen


def _count(labels: Sequence[int], classes: int) -> np.ndarray:
    """Count class numbers: int64 ``(classes,)``."""
    return np.bincount(np.asarray(labels, dtype=np.int64), minlength=classes)


def find_quotas(totals: np.ndarray, targets: np.ndarray, reserve: int) -> np.ndarray:
    """Round targets to whole images that add up, by largest remainder.

    Args:
        totals: Images of each class, int64 ``(classes,)``.
        targets: Images wanted of each class, float ``(classes,)``.
        reserve: Images of each class that must stay.

    Returns:
        int64 ``(classes,)``: the sum is the rounded sum of the targets, but for classes
        that are raised to one image or lowered to leave the reserve.
    """
    quotas = np.floor(targets).astype(np.int64)
    remainders = targets - quotas
    left = round(float(targets.sum())) - int(quotas.sum())
    by_remainder = np.argsort(-remainders, kind="stable")
    quotas[by_remainder[:left]] += 1
    return np.minimum(np.maximum(quotas, 1), np.maximum(totals - reserve, 0))


def _choose_large(
    counts: np.ndarray, keys: Sequence[str], targets: np.ndarray, limit: np.ndarray, address: str
) -> np.ndarray:
    """Run greedy passes from several orders and keep the cheapest outcome."""
    orders = min(_MAX_ORDERS, max(1, _WORK // len(counts)))
    outcomes = [
        _improve(counts, draw_order(keys, f"{address}:{number}"), targets, limit)
        for number in range(orders)
    ]
    return min(outcomes, key=lambda chosen: _cost(counts[chosen].sum(axis=0), targets))


def _improve(
    counts: np.ndarray, order: Sequence[int], targets: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """Put units in, or out again, as long as that lowers the cost."""
    chosen = np.zeros(len(counts), dtype=bool)
    held = np.zeros(counts.shape[1], dtype=np.int64)
    cost = _cost(held, targets)
    for _ in range(_PASSES):
        before = cost
        for unit in order:
            other = held - counts[unit] if chosen[unit] else held + counts[unit]
            other_cost = _cost(other, targets)
            if other_cost < cost and (other <= limit).all():
                held, cost = other, other_cost
                chosen[unit] = not chosen[unit]
        if cost == before:
            break
    return chosen


def _cost(held: np.ndarray, targets: np.ndarray) -> float:
    """Return how far the held-out images are from the targets."""
    by_class = (held - targets) ** 2 / np.maximum(targets, 1e-9)
    total = float(targets.sum())
    # A class without a target costs nothing: it has no unit here either.
    return float(by_class[targets > 0].sum() + (held.sum() - total) ** 2 / max(total, 1e-9))


_MAX_SHARINGS = 8
_MAX_PASSES = 10
_SHARING_WORK = 20_000  # units times orders; units times passes are five times that
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
    orders = min(_MAX_SHARINGS, max(1, _SHARING_WORK // max(1, len(counts))))
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
        # The size is one more label, which every image has; labels that none has cost nothing.
        counts = counts[:, counts.any(axis=0)]
        self.amounts = np.concatenate([counts, sizes[:, None]], axis=1).astype(np.int64)
        self.sparse = csr_array(self.amounts)
        self.squares = self.sparse.multiply(self.sparse).tocsr()
        self.totals = self.amounts.sum(axis=0)
        self.wanted = shares[:, None] * self.totals
        self.weights = 1.0 / np.maximum(self.wanted, 1e-9)
        self.is_barred = ~may_take_all
        # Most units have few labels: only these change anything.
        self.labels = [np.flatnonzero(row) for row in self.amounts]

    def hold(self, subsets: np.ndarray) -> np.ndarray:
        """Return the amounts that each subset holds, int64 ``(subsets, labels + 1)``."""
        units = np.arange(len(subsets))
        places = (np.ones(len(subsets), dtype=np.int64), (subsets, units))
        chosen = csr_array(places, shape=(len(self.wanted), len(subsets)))
        held: np.ndarray = (chosen @ self.sparse).toarray()
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
        for _ in range(min(_MAX_PASSES, max(1, 5 * _SHARING_WORK // max(1, len(order))))):
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
            before, held = cost, self.hold(subsets)
            for unit in range(len(subsets)):
                changes = self._find_exchanges(unit, subsets, held)
                other = int(np.argmin(changes))
                if changes[other] >= -1e-9:
                    continue
                subsets[[unit, other]] = subsets[[other, unit]]
                # The change leaves out labels that would be taken whole; the cost does not.
                reached = self.find_cost(subsets)
                if reached < cost:
                    cost, held = reached, self.hold(subsets)
                else:
                    subsets[[unit, other]] = subsets[[other, unit]]
            if cost >= before - 1e-9:
                return

    def _find_exchanges(self, unit: int, subsets: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Return what exchanging a unit for each other one adds to the cost.

        With ``a`` the amounts of another unit and ``u`` those of this one, label by label:
        ``(a - u)^2 w + (a - u) d``, multiplied out so that only labels that are there count.
        """
        here, labels = subsets[unit], self.labels[unit]
        own = self.amounts[unit, labels]
        pull = (held - self.wanted) * self.weights
        changes = np.zeros(len(subsets))
        for there in range(len(held)):
            if there == here:
                continue
            weights = self.weights[here] + self.weights[there]
            slope = 2 * (pull[here] - pull[there])
            constant = (own * (own * weights[labels] - slope[labels])).sum()
            slope[labels] -= 2 * own * weights[labels]
            added = self.squares @ weights + self.sparse @ slope + constant
            changes[subsets == there] = added[subsets == there]
        # What is equal must be so to the last bit, or rounding would choose.
        return np.round(changes, 9)

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


def draw_order(keys: Sequence[str], address: str) -> list[int]:
    """Order units by the hash of their key: adding a unit leaves the others' order.

    Args:
        keys: A name for each unit.
        address: What the order is drawn from: the seed, and what it is for.
    """
    digests = [
        hashlib.sha256(f"{address}:{key}".encode("utf-8", "surrogatepass")).digest() for key in keys
    ]
    return sorted(range(len(keys)), key=lambda unit: (digests[unit], keys[unit]))
