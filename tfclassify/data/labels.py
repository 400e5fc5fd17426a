"""Selects which labels are kept and what they are called.

Owns: ``drop_labels``, ``merge_classes``, ``top_classes`` and declared ``classes``, in
this order, on single labels and on sets of them. Does not own: where labels come from
(``folders``, ``csv_source``, ``coco_source``).

Other than with single labels no image with a set of labels is left out: one that loses its
last label is an image without any, which says as much as one with some.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from tfclassify.data.folders import Listing, Row
from tfclassify.errors import SourceError
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.schema import DataRecipe
from tfclassify.recipe.wording import suggest


def select_labels(
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
    if renamed:
        rows = [row._replace(label=renamed.get(row.label, row.label)) for row in rows]
    if data.top_classes is not None:
        kept = (
            set(data.classes)
            if is_other and data.classes
            else find_top_classes((row.label for row in rows), data.top_classes)
        )
        rows = [row for row in rows if row.label in kept]
    if data.classes is not None:
        _check_declared([row._replace(labels=(row.label,)) for row in rows], data.classes)
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


def select_label_sets(
    listing: Listing,
    data: DataRecipe,
    *,
    is_other: bool = False,
    listed: Sequence[Row] = (),
) -> tuple[list[Row], tuple[str, ...]]:
    """Apply the recipe's wishes to sets of labels.

    Args:
        listing: Rows with their labels as written.
        data: The wishes.
        is_other: Whether the rows are of another source than the recipe was written
            for: then labels may be absent, and the top classes are those declared.
        listed: All rows of the source, where only some are left; their labels do occur.

    Returns:
        The rows, with their class names and these joined as ``label``, and the classes:
        as declared, else in the order of the source, else sorted. Classes without an
        image are kept where the source names them.

    Raises:
        SourceError: If a wish names a label that is not there, a label is not among the
            declared classes, or a name holds the sign that joins names.
    """
    rows = listing.rows
    counted = Counter(label for row in rows for label in row.labels)
    names: Sequence[str] = listing.classes or sorted(counted)
    if not is_other:
        occurring = {label for row in listed for label in row.labels}
        check_wishes(sorted({*names, *occurring}), data)
    new_names = {old: new for new, olds in data.merge_classes.items() for old in olds}
    new_names = {name: new_names.get(name, name) for name in names if name not in data.drop_labels}
    rows = [_rename(row, new_names) for row in rows]
    classes = tuple(dict.fromkeys(new_names.values()))
    if data.top_classes is not None:
        kept = (
            set(data.classes)
            if is_other and data.classes
            else find_top_classes((label for row in rows for label in row.labels), data.top_classes)
        )
        classes = tuple(name for name in classes if name in kept)
        rows = [_rename(row, {name: name for name in classes}) for row in rows]
    if data.classes is not None:
        _check_declared(rows, data.classes)
        classes = data.classes
    _check_signs(classes, rows)
    order = {name: number for number, name in enumerate(classes)}
    return [_join(row, order) for row in rows], classes


def _rename(row: Row, new_names: dict[str, str]) -> Row:
    """Give labels their new names, each once, and take off those that have none."""
    renamed = (new_names[label] for label in row.labels if label in new_names)
    return row._replace(labels=tuple(dict.fromkeys(renamed)))


def _join(row: Row, order: Mapping[str, int]) -> Row:
    """Put a row's labels in the order of the classes, and their names into one text."""
    labels = tuple(sorted((name for name in row.labels if name in order), key=order.__getitem__))
    return row._replace(labels=labels, label=JOINING_SIGN.join(labels))


def _check_declared(rows: list[Row], classes: tuple[str, ...]) -> None:
    """Raise at the first row with a label that was not declared."""
    declared = set(classes)
    for row in rows:
        for label in row.labels:
            if label not in declared:
                raise SourceError(
                    f"{row.place}: class {label!r} is not among the {len(classes)} declared "
                    f"classes{suggest(label, classes)}"
                )


def _check_signs(classes: tuple[str, ...], rows: list[Row]) -> None:
    """Raise if a name could not be told from two."""
    for name in classes:
        if JOINING_SIGN in name:
            place = next((row.place for row in rows if name in row.labels), "data.classes")
            raise SourceError(
                f"{place}: class {name!r} holds the sign {JOINING_SIGN!r}, which joins the names "
                "of several labels in tables; rename it, or set data.label_separator to the sign "
                "that stands between two labels"
            )
