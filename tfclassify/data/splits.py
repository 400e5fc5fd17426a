"""Divides an index into training, validation and test images.

Owns: what belongs together, which units are held out, the source's own split.
Does not own: near-duplicates across a split (``leaks``).

Images with the same bytes, and images of one group, form a unit that stays on one side.
Which units are held out depends on the images' names and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfclassify.data.hold_out import hold_out
from tfclassify.data.index import Index
from tfclassify.data.integrity import KINDS
from tfclassify.errors import DataError

HELD_OUT = ("test", "validation")


def split_index(index: Index, *, validation: float, test: float = 0.0, seed: int) -> Index:
    """Give every usable image a split.

    A split of the source's own is kept: where it has validation (or test) images, no
    others are held out for that. With ``validation`` 0 its validation images are
    trained on, as are all others. Copies of its held-out images are quarantined.

    Args:
        index: Scanned images; those without a checksum count as different.
        validation: Share held out for validation, as even over the classes as whole
            units allow; at least one image a class, none if 0.
        test: Share held out for the final test, likewise.
        seed: Draws another split with the same shares.

    Returns:
        The index with ``split`` filled in for every usable row.

    Raises:
        DataError: If a class has fewer images than there are sides.
    """
    frame = index.frame.copy()
    if validation == 0.0:
        frame.loc[frame["split"] == "validation", "split"] = "train"
    frame = _quarantine_copies(frame)
    usable = frame["status"] == "ok"
    own = set(frame["split"][usable])
    shares = {"test": test, "validation": validation}
    shares = {name: 0.0 if name in own else share for name, share in shares.items()}
    pool = frame[usable & ~frame["split"].isin(HELD_OUT)]
    _check_enough(index, pool, shares)
    units = _find_units(pool)
    totals = np.bincount([label for unit in units for label in unit.labels])
    frame.loc[pool.index, "split"] = "train"
    for name in HELD_OUT:
        if shares[name] == 0.0 or not units:
            continue
        chosen = hold_out(
            [unit.labels for unit in units],
            [unit.key for unit in units],
            targets=shares[name] * totals,
            reserve=1 + (name == "test" and shares["validation"] > 0.0),
            address=f"{seed}:{name}",
        )
        held = [
            row for unit, is_in in zip(units, chosen, strict=True) if is_in for row in unit.rows
        ]
        frame.loc[held, "split"] = name
        units = [unit for unit, is_in in zip(units, chosen, strict=True) if not is_in]
    return index.with_frame(frame)


@dataclass(frozen=True)
class _Unit:
    """Images that stay together: the first of their names, their rows and label numbers."""

    key: str
    rows: tuple[int, ...]
    labels: tuple[int, ...]


def _quarantine_copies(frame: pd.DataFrame) -> pd.DataFrame:
    """Bar rows whose bytes are also held out by the source's own split; test goes first."""
    for name, later in (("test", ("validation", "train", "")), ("validation", ("train", ""))):
        usable = (frame["status"] == "ok") & (frame["sha256"] != "")
        held = set(frame["sha256"][usable & (frame["split"] == name)])
        copies = usable & frame["split"].isin(later) & frame["sha256"].isin(held)
        frame.loc[copies, "status"] = "quarantined"
        frame.loc[copies, "reason"] = KINDS["straddling"].title
    return frame


def _find_units(pool: pd.DataFrame) -> list[_Unit]:
    """Join rows that share a group or their bytes, directly or through others."""
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
    codes = dict(zip(pool.index, pd.factorize(pool["label"], sort=True)[0].tolist(), strict=True))
    units = [
        _Unit(min(names[row] for row in rows), tuple(rows), tuple(codes[row] for row in rows))
        for rows in members.values()
    ]
    return sorted(units, key=lambda unit: unit.key)


def _check_enough(index: Index, pool: pd.DataFrame, shares: dict[str, float]) -> None:
    """Raise if some class cannot be on every side."""
    needed = 1 + sum(share > 0.0 for share in shares.values())
    counts = pool["label"].value_counts().sort_index()
    few = counts[counts < needed]
    if few.empty:
        return
    named = ", ".join(f"{label!r} has {count}" for label, count in list(few.items())[:5])
    more = f" and {len(few) - 5} more" if len(few) > 5 else ""
    raise DataError(
        f"{index.source}: {len(few)} of {len(counts)} classes have too few images to split, "
        f"{named}{more}, needed are {needed}; add images, name such labels in data.drop_labels or "
        "data.merge_classes, or set data.validation: 0"
    )
