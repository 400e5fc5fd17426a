"""Checks of how a source says several labels of an image, and its marks.

Owns: what goes with task ``multi_label`` in the ``data`` section, COCO annotations, flags.
Does not own: the rest of the section (``data_checks``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tfclassify.recipe.schema import DataRecipe, Recipe
from tfclassify.recipe.wording import KeyPath, join_names, show, suggest

#: Joins names in the tables of a run; no flag, and no class of several, may hold it.
JOINING_SIGN = "|"


def check_label_sets(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that several labels an image are read where the task has them, and only there."""
    data = recipe.data
    if recipe.task == "multi_class":
        for path in _find_multi_label_keys(data):
            yield (
                path,
                "says several labels an image, but the task is multi_class; set task: multi_label, "
                "or remove it",
            )
        return
    if not data.holds_label_sets:
        yield (
            ("task",),
            "multi_label needs a source that says several labels an image; name it in "
            "data.columns.one_hot, data.label_separator or data.coco",
        )
    yield from _check_columns(data)
    yield from _check_coco(data)
    for path, name in _list_class_names(data):
        if JOINING_SIGN in name:
            yield path, f"class {name!r} holds {JOINING_SIGN!r}, which joins names; rename it"


def _find_multi_label_keys(data: DataRecipe) -> list[KeyPath]:
    paths: dict[KeyPath, object] = {
        ("data", "columns", "one_hot"): data.columns.one_hot,
        ("data", "label_separator"): data.label_separator,
        ("data", "coco"): data.coco,
    }
    return [path for path, value in paths.items() if value]


def _list_class_names(data: DataRecipe) -> list[tuple[KeyPath, str]]:
    names: list[tuple[KeyPath, str]] = [
        (("data", "classes", number), name) for number, name in enumerate(data.classes or ())
    ]
    return names + [(("data", "merge_classes", name), name) for name in data.merge_classes]


def _check_columns(data: DataRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that the labels stand in one kind of column."""
    path: KeyPath = ("data", "columns", "one_hot")
    one_hot = data.columns.one_hot
    if data.label_separator and one_hot:
        yield (
            ("data", "label_separator"),
            f"got {data.label_separator!r} and data.columns.one_hot as well; remove one of the two",
        )
    if data.label_separator and not one_hot and data.columns.label is None:
        yield (
            ("data", "columns", "label"),
            "is null, but data.label_separator says that it holds the labels; name the column",
        )
    if one_hot is None or one_hot == "rest":
        return
    if not one_hot:
        yield path, "must name at least one column, or be rest, got []"
    taken = data.columns.model_dump(exclude={"one_hot", "label"}, exclude_none=True)
    for number, name in enumerate(one_hot):
        for key, column in taken.items():
            if name == column:
                yield (*path, number), f"column {name!r} is already data.columns.{key}"
    for name, count in Counter(one_hot).items():
        if count > 1:
            yield path, f"column {name!r} is listed {count} times"


def _check_coco(data: DataRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that every split has annotations and images, and that a table can stand in."""
    if data.coco is None:
        return
    path: KeyPath = ("data", "coco")
    annotations, images = data.coco.annotations, data.coco.images
    if "train" not in annotations:
        yield (*path, "annotations"), f"must name the split train, got {show(list(annotations))}"
    for split in annotations:
        if split not in images:
            yield (*path, "images"), f"lacks {split!r}, which has annotations; name its folder"
    for split in images:
        if split not in annotations:
            yield (*path, "images", split), "has no annotations; name them, or remove the folder"
    if data.table is not None and not (data.columns.one_hot or data.label_separator):
        yield (
            ("data", "table"),
            f"{data.table!r} is read where there are no annotations; name its labels in "
            "data.columns.one_hot or data.label_separator",
        )


def check_flags(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check the bits of the marks, and that what is said of a mark is said of a known one."""
    data = recipe.data
    column: KeyPath = ("data", "columns", "flags")
    if data.columns.flags is not None and not data.flags:
        yield column, f"column {data.columns.flags!r} needs names for its bits in data.flags"
    if data.flags and data.columns.flags is None:
        yield ("data", "flags"), "name bits of a column; name that column in data.columns.flags"
    homes: dict[int, str] = {}
    for name, bit in data.flags.items():
        path: KeyPath = ("data", "flags", name)
        if bit & (bit - 1):
            yield path, f"must be a single bit (1, 2, 4, 8, ...), got {bit}"
        elif homes.setdefault(bit, name) != name:
            yield path, f"bit {bit} is already {homes[bit]!r}"
        if JOINING_SIGN in name or not name.strip():
            yield path, f"must be a name without {JOINING_SIGN!r}, got {name!r}"
    yield from _check_named_flags(data)


def _check_named_flags(data: DataRecipe) -> Iterator[tuple[KeyPath, str]]:
    named: list[tuple[KeyPath, str]] = [
        (("data", key, number), name)
        for key in ("drop_flags", "keep_flags")
        for number, name in enumerate(getattr(data, key))
    ]
    named += [(("data", "flag_weights", name), name) for name in data.flag_weights]
    for path, name in named:
        if name not in data.flags:
            known = f"; known are {join_names(data.flags, 'and')}" if data.flags else ""
            hint = suggest(name, data.flags) or f"{known}; name its bit in data.flags"
            yield path, f"unknown flag {name!r}{hint}"
        elif name in data.drop_flags and path[1] != "drop_flags":
            yield path, f"{name!r} is also in drop_flags; remove one"
