"""Settles which labels are kept and what they are called.

Owns: ``drop_labels``, ``merge_classes``, ``top_classes`` and declared ``classes``, in
this order. Does not own: where labels come from (``folders``, ``csv_source``), sets of
labels (``label_sets``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tfclassify.data.listing import Row
from tfclassify.data.nearest import suggest
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe


def settle_labels(
    rows: list[Row],
    data: DataRecipe,
    *,
    is_other: bool = False,
    listed: Sequence[Row] = (),
) -> tuple[list[Row], tuple[str, ...]]:
    """Apply the recipe's wishes to the labels.

    Args:
        rows: Rows with labels as written, or all without.
        data: The wishes.
        is_other: Whether the rows are of another source than the recipe was written
            for: then labels may be absent, and the top classes are those declared.
        listed: All rows of the source, where only some are left; their labels do occur.

    Returns:
        The rows that are kept, with their class names, and the classes in order: as
        declared, else sorted. Unlabelled rows come back as they are.

    Raises:
        SourceError: If a wish names a label that does not occur, or a label is not
            among the declared classes.
    """
    if not any(row.label for row in rows):
        return rows, data.classes or ()
    if not is_other:
        check_wishes(sorted({row.label for row in (*rows, *listed)}), data)
    rows = [row for row in rows if row.label not in data.drop_labels]
    renamed = {old: new for new, olds in data.merge_classes.items() for old in olds}
    rows = [row._replace(label=renamed.get(row.label, row.label)) for row in rows]
    if data.top_classes is not None:
        kept = (
            set(data.classes)
            if is_other and data.classes
            else find_top_classes((row.label for row in rows), data.top_classes)
        )
        rows = [row for row in rows if row.label in kept]
    if data.classes is not None:
        _check_declared(rows, data.classes)
        return rows, data.classes
    return rows, tuple(sorted({row.label for row in rows}))


def find_top_classes(labels: Iterable[str], count: int) -> set[str]:
    """Return the ``count`` most frequent labels; of equals, those first in the alphabet.

    Raises:
        SourceError: If there are fewer labels than that.
    """
    counted = Counter(labels)
    if len(counted) < count:
        raise SourceError(
            f"data.top_classes: must be at most {len(counted)}, the number of classes in the "
            f"data, got {count}"
        )
    order = sorted(counted, key=lambda label: (-counted[label], label))
    return set(order[:count])


def check_wishes(known: Sequence[str], data: DataRecipe) -> None:
    """Raise if a wish names a label that no image has.

    Args:
        known: The labels of the source.
        data: The wishes.

    Raises:
        SourceError: Naming the wish, and the nearest label.
    """
    wishes = [("data.drop_labels", label) for label in data.drop_labels]
    for new, olds in data.merge_classes.items():
        wishes += [(f"data.merge_classes.{new}", label) for label in olds]
    for key, label in wishes:
        if label not in known:
            raise SourceError(
                f"{key}: no image has the label {label!r}, the data has {len(known)} labels"
                f"{suggest(label, known)}"
            )


def _check_declared(rows: list[Row], classes: tuple[str, ...]) -> None:
    """Raise at the first row whose label was not declared."""
    declared = set(classes)
    for row in rows:
        if row.label not in declared:
            raise SourceError(
                f"{row.place}: class {row.label!r} is not among the {len(classes)} declared "
                f"classes{suggest(row.label, classes)}."
            )
