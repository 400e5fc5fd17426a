"""Divides an index into training, validation and test images.

Owns: which units are held out, the source's own split.
Does not own: what belongs together (``units``), cross-validation (``folds``),
near-duplicates across a split (``leaks``).

Images with the same bytes, and images of one group, form a unit that stays on one side.
Which units are held out depends on the images' names and the seed alone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfclassify.data.hold_out import hold_out
from tfclassify.data.index import Index
from tfclassify.data.integrity import KINDS
from tfclassify.data.stratify import stratify
from tfclassify.data.units import Unit, count_labels, find_units
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
            units allow; at least one image a class, none if 0. In a multi-label index
            a class with few images may have none.
        test: Share held out for the final test, likewise.
        seed: Draws another split with the same shares.

    Returns:
        The index with ``split`` filled in for every usable row.

    Raises:
        DataError: If a class has fewer images than there are sides; of a multi-label
            index, if there are fewer images than sides.
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
    units = find_units(pool)
    frame.loc[pool.index, "split"] = "train"
    choose = _choose_by_sets if index.is_multi_label else _choose_by_class
    for name, held in choose(index, pool, units, shares, seed).items():
        frame.loc[[row for unit in held for row in unit.rows], "split"] = name
    return index.with_frame(frame)


def _choose_by_class(
    index: Index, pool: pd.DataFrame, units: list[Unit], shares: dict[str, float], seed: int
) -> dict[str, list[Unit]]:
    """Choose what is held out where each image has one label, or none has any."""
    _check_enough(index, pool, shares)
    codes = dict(zip(pool.index, pd.factorize(pool["label"], sort=True)[0].tolist(), strict=True))
    totals = np.bincount(list(codes.values()))
    held: dict[str, list[Unit]] = {}
    for name in HELD_OUT:
        if shares[name] == 0.0 or not units:
            continue
        chosen = hold_out(
            [[codes[row] for row in unit.rows] for unit in units],
            [unit.key for unit in units],
            targets=shares[name] * totals,
            reserve=1 + (name == "test" and shares["validation"] > 0.0),
            address=f"{seed}:{name}",
        )
        held[name] = [unit for unit, is_in in zip(units, chosen, strict=True) if is_in]
        units = [unit for unit, is_in in zip(units, chosen, strict=True) if not is_in]
    return held


def _choose_by_sets(
    index: Index, pool: pd.DataFrame, units: list[Unit], shares: dict[str, float], seed: int
) -> dict[str, list[Unit]]:
    """Choose what is held out where an image may have several labels."""
    names = [name for name in HELD_OUT if shares[name] > 0.0]
    if not names:
        return {}
    if len(units) <= len(names):
        raise DataError(
            f"{index.source}: too few images to split: {len(pool)} in {len(units)} parts that "
            f"groups and copies leave apart, needed are {len(names) + 1}; add images, or set "
            "data.validation: 0"
        )
    numbers = stratify(
        count_labels(index, units),
        np.array([len(unit.rows) for unit in units], dtype=np.int64),
        [*(shares[name] for name in names), 1.0 - sum(shares.values())],
        [unit.key for unit in units],
        may_take_all=[*(False for _ in names), True],
        address=f"{seed}:{'+'.join(names)}",
    )
    return {
        name: [unit for unit, where in zip(units, numbers, strict=True) if where == number]
        for number, name in enumerate(names)
    }


def _quarantine_copies(frame: pd.DataFrame) -> pd.DataFrame:
    """Bar rows whose bytes are also held out by the source's own split; test goes first."""
    for name, later in (("test", ("validation", "train", "")), ("validation", ("train", ""))):
        usable = (frame["status"] == "ok") & (frame["sha256"] != "")
        held = set(frame["sha256"][usable & (frame["split"] == name)])
        copies = usable & frame["split"].isin(later) & frame["sha256"].isin(held)
        frame.loc[copies, "status"] = "quarantined"
        frame.loc[copies, "reason"] = KINDS["straddling"].title
    return frame


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
