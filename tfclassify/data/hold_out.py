"""Chooses the units that are held out, so that each class gives its share.

Owns: the choice, given units and targets. Does not own: what a unit is (``splits``).

Units of one image fill each class's quota exactly. Larger units (groups) cannot: they
are chosen by greedy passes from several seeded orders, of which the best is kept. The
cost of holding out ``v`` images where ``t`` are wanted is

    sum over classes of (v_c - t_c)^2 / t_c  +  (sum v - sum t)^2 / sum t

after the iterative stratification of Sechidis et al. 2011, by units instead of images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfclassify.data.units import draw_order

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
