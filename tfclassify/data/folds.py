"""Divides an index into the folds of a cross-validation.

Owns: which image is validated in which fold. Does not own: what belongs together
(``units``), the even sharing (``stratify``), training the folds.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from tfclassify.data.index import Index
from tfclassify.data.stratify import stratify
from tfclassify.data.units import Unit, count_labels, find_units
from tfclassify.errors import DataError


def make_folds(index: Index, *, folds: int, seed: int) -> list[Index]:
    """Make one index a fold, of which each validates other images.

    Images of one group, and images with the same bytes, are validated in one fold.
    Every fold has about the same number of images, and of each class. Test images stay
    test images; any other split of ``index`` is overruled. Which images go together
    depends on their names and the seed alone.

    Args:
        index: Scanned images; those that are quarantined take no part.
        folds: Number of folds, at least 2.
        seed: Draws other folds of the same kind.

    Returns:
        The indexes, with the rows of ``index`` in its order: ``split`` is ``validation``
        for the images of the fold, ``train`` for the others.

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
    of_row = {
        row: int(number) for unit, number in zip(units, numbers, strict=True) for row in unit.rows
    }
    return [_make_fold(index, pool, of_row, number) for number in range(folds)]


def _make_fold(index: Index, pool: pd.DataFrame, of_row: dict[int, int], fold: int) -> Index:
    """Return the index as one fold sees it."""
    splits = index.frame["split"].copy()
    splits.loc[pool.index] = [
        "validation" if of_row[row] == fold else "train" for row in pool.index
    ]
    return index.with_frame(index.frame.assign(split=splits))


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
        f"validated as well: {', '.join(named)}{more}; add images, or name such labels in "
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
                f"time; fold {fold + 1} would validate all images of {index.classes[taken[0]]!r}, "
                "whose groups are tied to those of other classes; ask for fewer folds, or name "
                "it in data.drop_labels or data.merge_classes"
            )
