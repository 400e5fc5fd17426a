"""Divides an index into training, validation and test images, or into folds.

Owns: what stays together, which of it is held out, the source's own split, the folds of a
cross-validation. Does not own: the even sharing (``stratify``), near-duplicates across a
split (``leaks``).

Images with the same bytes, and images of one group, form a unit that stays on one side.
Which units are held out depends on the images' names and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfclassify.data.index import Index
from tfclassify.data.integrity import KINDS
from tfclassify.data.stratify import hold_out, stratify
from tfclassify.errors import DataError


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


def make_folds(index: Index, *, folds: int, seed: int, watch: float = 0.0) -> list[Index]:
    """Make one index a fold, of which each is judged on other images.

    Images of one group, and images with the same bytes, are judged in one fold. Every
    fold has about the same number of images, and of each class. What chooses within a
    training (the best epoch and phase, an early stop, thresholds, a temperature) is
    watched on a part of the fold's training images, so that the images that it is judged
    on have no part in anything. Test images of ``index`` are left out altogether; any
    other split is overruled. Which images go together depends on their names and the seed
    alone.

    Args:
        index: Scanned images; those that are quarantined take no part.
        folds: Number of folds, at least 2.
        seed: Draws other folds of the same kind.
        watch: Share of a fold's training images that watches; 0 for none.

    Returns:
        The indexes, with the rows of ``index`` in its order but its test images: ``split``
        is ``test`` for the images that the fold is judged on, ``validation`` for those
        that watch, ``train`` for the others.

    Raises:
        DataError: If there are fewer images (or groups) than folds, or all images of a
            class belong together, so that a model that never saw the class would be
            judged on it. In a multi-label index such a rare class is let through.
    """
    if folds < 2:
        raise DataError(f"{index.source}: at least 2 folds are needed, got {folds}")
    frame = index.frame
    pool = frame[(frame["status"] == "ok") & (frame["split"] != "test")]
    units = find_units(pool)
    if len(units) < folds:
        raise DataError(
            f"{index.source}: {folds} folds need as many images that can be apart, got "
            f"{len(units)} (groups and copies stay together); ask for fewer folds"
        )
    counts = count_labels(index, units)
    if not index.is_multi_label:
        _check_apart(index, units, counts)
    sizes = np.array([len(unit.rows) for unit in units], dtype=np.int64)
    numbers = stratify(
        counts,
        sizes,
        [1.0 / folds] * folds,
        [unit.key for unit in units],
        may_take_all=[False] * folds,
        address=f"{seed}:folds:{folds}",
    )
    if not index.is_multi_label:
        _check_trained(index, counts, numbers, folds)
    made = []
    for fold in range(folds):
        is_learnt = numbers != fold
        watching = np.zeros(len(units), dtype=bool)
        watching[is_learnt] = _choose_watching(
            counts[is_learnt],
            [unit for unit, is_in in zip(units, is_learnt, strict=True) if is_in],
            watch,
            f"{seed}:watch:{fold + 1}:{folds}",
        )
        names = np.where(~is_learnt, "test", np.where(watching, "validation", "train"))
        made.append(_make_fold(index, units, names.tolist()))
    return made


def _choose_watching(
    counts: np.ndarray, units: list[Unit], share: float, address: str
) -> np.ndarray:
    """Choose which units of a fold's training images watch, ``(units,)`` bool."""
    if share == 0.0 or len(units) < 2:
        return np.zeros(len(units), dtype=bool)
    sides = stratify(
        counts,
        np.array([len(unit.rows) for unit in units], dtype=np.int64),
        [share, 1.0 - share],
        [unit.key for unit in units],
        may_take_all=[False, True],
        address=address,
    )
    return np.asarray(sides == 0)


def _make_fold(index: Index, units: list[Unit], names: list[str]) -> Index:
    """Return the index as one fold sees it, given the split of each unit."""
    splits = index.frame["split"].copy()
    for unit, name in zip(units, names, strict=True):
        splits.loc[list(unit.rows)] = name
    is_kept = (index.frame["split"] != "test") | (index.frame["status"] != "ok")
    return index.with_frame(index.frame.assign(split=splits)[is_kept])


def _check_apart(index: Index, units: list[Unit], counts: np.ndarray) -> None:
    """Raise if all images of some class belong together."""
    spread = (counts[:, :-1] > 0).sum(axis=0)
    alone = np.flatnonzero(spread == 1)
    if not len(alone):
        return
    named = []
    for label in alone[:5]:
        unit = int(np.flatnonzero(counts[:, label])[0])
        count = int(counts[unit, label])
        where = "1 image" if count == 1 else f"{count} images, {_say_tie(index, units[unit])}"
        named.append(f"{index.classes[label]!r} has {where}")
    more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
    raise DataError(
        f"{index.source}: {len(alone)} of {len(index.classes)} classes cannot be trained on and "
        f"judged as well: {', '.join(named)}{more}; add images, or name such labels in "
        "data.drop_labels or data.merge_classes"
    )


def _say_tie(index: Index, unit: Unit) -> str:
    """Say what holds the images of a unit together."""
    groups = sorted(set(index.frame.loc[list(unit.rows), "group"]) - {""})
    if not groups:
        return "copies of one another"
    return f"all in the group {groups[0]!r}" if len(groups) == 1 else "in groups that share copies"


def _check_trained(index: Index, counts: np.ndarray, numbers: np.ndarray, folds: int) -> None:
    """Raise if some fold leaves no image of a class to train on."""
    totals = counts.sum(axis=0)
    for fold in range(folds):
        taken = np.flatnonzero(
            (counts[numbers == fold].sum(axis=0) == totals)[:-1] & (totals > 0)[:-1]
        )
        if len(taken):
            raise DataError(
                f"{index.source}: no {folds} folds could be found that train on every class each "
                f"time; fold {fold + 1} would be judged on all images of "
                f"{index.classes[taken[0]]!r}, whose groups are tied to those of other "
                "classes; ask for fewer folds, or name it in data.drop_labels or data.merge_classes"
            )
