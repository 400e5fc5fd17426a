"""Checks of the ``data`` section and of the class names across the recipe.

Owns: sources that cannot be read as described, labels that are used in two ways.
Does not own: anything that needs the images themselves (``data``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tfclassify.recipe.schema import ColumnsRecipe, DataRecipe, Recipe
from tfclassify.recipe.wording import KeyPath, join_names, show, suggest

BUILTIN_SOURCES = ("builtin:digits",)
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")


def check_data(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check the source, its checksum, its table and the shares."""
    data = recipe.data
    yield from _check_source(data)
    yield from _check_table(data)
    if data.validation + data.test >= 1.0:
        yield (
            ("data", "test"),
            "validation and test together must stay below 1, "
            f"got {data.validation:g} + {data.test:g}: nothing is left to train on",
        )
    erasing = recipe.augment.erasing
    if erasing is not None and erasing.area[0] > erasing.area[1]:
        yield ("augment", "erasing", "area"), f"must be [low, high], got {show(erasing.area)}"


def _check_source(data: DataRecipe) -> Iterator[tuple[KeyPath, str]]:
    path: KeyPath = ("data", "source")
    scheme, sign, _ = data.source.partition("://")
    if not data.source.strip():
        yield path, f"must not be empty, got {data.source!r}"
    elif data.source.startswith("builtin:") and data.source not in BUILTIN_SOURCES:
        there = join_names(BUILTIN_SOURCES)
        yield path, f"unknown built-in source {data.source!r}; there is {there}"
    elif sign and scheme.lower() == "http":
        yield path, f"must use https, got {show(data.source)}; http can be changed on the way"
    elif sign and scheme.lower() != "https":
        yield path, f"must be a local path, an https URL or builtin:digits, got {show(data.source)}"
    elif sign and data.sha256 is None:
        yield (
            ("data", "sha256"),
            "missing; a URL needs the file's SHA-256, so that what arrives is what was meant",
        )


def _check_table(data: DataRecipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that what describes a table comes with a table."""
    is_builtin = data.source.startswith("builtin:")
    is_table = data.table is not None or data.source.lower().endswith(TABLE_SUFFIXES)
    if is_builtin and data.table is not None:
        yield ("data", "table"), f"source {data.source!r} has no table, got {data.table!r}"
    if is_table:
        return
    default: dict[str, object] = {
        "columns": ColumnsRecipe(),
        "images": None,
        "extension": None,
        "separator": ",",
    }
    default["label_separator"] = None
    for key, nothing in default.items():
        value = getattr(data, key)
        if value != nothing:
            given = "its own names" if key == "columns" else show(value)
            yield (
                ("data", key),
                f"describes a table, got {given} without one; name the CSV in data.table",
            )


def check_labels(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that each label is used in one way only."""
    data = recipe.data
    dropped = set(data.drop_labels)
    yield from _check_merges(data)
    for number, name in enumerate(data.classes or ()):
        if name in dropped:
            yield ("data", "classes", number), f"{name!r} is also in drop_labels; remove one"
    for name, count in Counter(data.classes or ()).items():
        if count > 1:
            yield ("data", "classes"), f"class {name!r} is listed {count} times"
    if data.classes is not None and len(data.classes) < 2:
        yield ("data", "classes"), f"must have at least 2 names, got {show(data.classes)}"
    yield from _check_weighted(recipe)


def _check_merges(data: DataRecipe) -> Iterator[tuple[KeyPath, str]]:
    homes: dict[str, str] = {}
    for target, labels in data.merge_classes.items():
        path: KeyPath = ("data", "merge_classes", target)
        if not labels:
            yield path, "must name at least one label, got []"
        if target in data.drop_labels:
            yield path, f"the new class {target!r} is also in drop_labels; remove one"
        for number, label in enumerate(labels):
            if label in data.drop_labels:
                yield (*path, number), f"{label!r} is also in drop_labels; merge it or drop it"
            if homes.setdefault(label, target) != target:
                yield (*path, number), f"{label!r} already goes into {homes[label]!r}"


def _check_weighted(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check that every class with a weight can be there after dropping and merging."""
    data = recipe.data
    if isinstance(recipe.class_weights, str):
        return
    merged = {
        label: target
        for target, labels in data.merge_classes.items()
        for label in labels
        if label not in data.merge_classes
    }
    for name in recipe.class_weights:
        path: KeyPath = ("class_weights", name)
        if name in data.drop_labels:
            yield path, f"class {name!r} is in data.drop_labels, so a weight has no effect"
        elif name in merged:
            yield path, f"class {name!r} is merged into {merged[name]!r}; give that a weight"
        elif data.classes is not None and name not in {*data.classes, *data.merge_classes}:
            allowed = (
                suggest(name, data.classes) or f"; allowed are {join_names(data.classes, 'and')}"
            )
            yield path, f"unknown class {name!r}{allowed}"
