"""What must stay on one side of any split: images with the same bytes or of one group.

Owns: joining images into units, their labels, and the seeded order of units.
Does not own: which unit goes where (``hold_out``, ``stratify``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfclassify.data.index import Index


@dataclass(frozen=True)
class Unit:
    """Images that stay together.

    Attributes:
        key: The first of their names, which stands for the unit wherever chance decides.
        rows: Their row labels in the frame that they come from.
    """

    key: str
    rows: tuple[int, ...]


def find_units(pool: pd.DataFrame) -> list[Unit]:
    """Join rows that share a group or their bytes, directly or through others.

    Args:
        pool: Rows of an index's frame; those without group and checksum stand alone.

    Returns:
        The units, ordered by key; every row is in exactly one.
    """
    parents = {row: row for row in pool.index}

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for column in ("group", "sha256"):
        first: dict[str, int] = {}
        for row, value in zip(pool.index, pool[column], strict=True):
            if value:
                parents[find(row)] = find(first.setdefault(value, row))
    members: dict[int, list[int]] = {}
    for row in pool.index:
        members.setdefault(find(row), []).append(row)
    names = dict(zip(pool.index, pool["image"], strict=True))
    units = [Unit(min(names[row] for row in rows), tuple(rows)) for rows in members.values()]
    return sorted(units, key=lambda unit: unit.key)


def count_labels(index: Index, units: list[Unit]) -> np.ndarray:
    """Count the images of each label in each unit.

    Returns:
        int64 ``(units, classes + 1)``: the classes in their order, then the images
        without any label, which are to be shared out like one class more.
    """
    marks = index.mark_labels()
    counts = np.zeros((len(units), len(index.classes) + 1), dtype=np.int64)
    for number, unit in enumerate(units):
        held = marks[list(unit.rows)]
        counts[number, :-1] = held.sum(axis=0)
        counts[number, -1] = (~held.any(axis=1)).sum()
    return counts


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
