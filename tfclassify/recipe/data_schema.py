"""The section ``data`` of a recipe: what the images are and where they lie.

Owns: its keys, types, defaults and meanings, and what of it cannot work together: sources
that cannot be read as described, labels used in two ways, labels where the task has none.
Does not own: anything that needs the images themselves (``data``).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tfclassify.recipe.fields import ImageSize, Rate, Section, Share
from tfclassify.recipe.names import refuse_scheme
from tfclassify.recipe.wording import KeyPath, join_names, show, suggest

if TYPE_CHECKING:
    from tfclassify.recipe.schema import Recipe


#: The file that makes a folder a labelling session.
SESSION_FILE = "session.yaml"
#: The file that makes a folder one of shards, as ``tfclassify pack`` writes them.
SHARDS_FILE = "shards.json"
#: Keys that say how a source is read, and not what becomes of its labels.
READING_KEYS = (
    "table",
    "images",
    "coco",
    "columns",
    "separator",
    "label_separator",
    "flags",
    "extension",
)


class ColumnsRecipe(Section):
    """Names of the columns of a CSV source."""

    file: str = Field("file", description="Column of image paths.")
    label: str | None = Field("label", description="Column of class names; null if unlabelled.")
    group: str | None = Field(
        None, description="Column whose rows stay on one side of a split (person, site, series)."
    )
    split: str | None = Field(
        None, description="Column that says train, validation or test for each image."
    )
    weight: str | None = Field(None, description="Column of per-image weights, positive.")
    flags: str | None = Field(
        None, description="Column of whole numbers whose bits are the marks of data.flags."
    )
    one_hot: Literal["rest"] | tuple[str, ...] | None = Field(
        None,
        description="Columns that hold 1 where an image has the class of that name, else 0; "
        "rest: every column of 0 and 1 that is not named here. In place of label. In multi_class "
        "each image has exactly one.",
    )


class CocoRecipe(Section):
    """COCO instance annotations: boxes in JSON, read as labels of whole images."""

    annotations: dict[Literal["train", "validation", "test"], str] = Field(
        description="Split: its JSON inside the source, such as "
        "annotations/instances_train2017.json."
    )
    images: dict[Literal["train", "validation", "test"], str] = Field(
        description="Split: the folder inside the source that its file names start at."
    )
    min_area: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Smaller boxes, in square pixels, give no label."
    )
    crowds: bool = Field(True, description="Whether boxes marked iscrowd give labels.")


class DataRecipe(Section):
    """Where the images are, how they are read and how they are split."""

    source: str = Field(
        description="Folder, zip or tar, CSV, https URL (with sha256), builtin:digits, a "
        "session of `tfclassify label`, or shards of `tfclassify pack`: their folder, or its "
        "address, such as s3://bucket/shards. "
        "Relative paths start at the working folder, then at the recipe's folder."
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="Checksum of an archive or download; required for a URL."
    )
    download_from: str | None = Field(
        None, description="What to tell the user when the source is absent: where to get it."
    )
    license: str | None = Field(
        None,
        description="Terms that the images are under, such as CC-BY-4.0; published with a model.",
    )
    table: str | None = Field(
        None, description="CSV inside the source folder or archive, such as images.csv."
    )
    images: str | None = Field(
        None, description="Folder that the table's file column is relative to."
    )
    coco: CocoRecipe | None = Field(
        None,
        description="COCO annotations; read instead of the table where the source holds them.",
    )
    columns: ColumnsRecipe = Field(ColumnsRecipe(), description="Column names of the table.")
    separator: Annotated[str, Field(min_length=1, max_length=1)] = Field(
        ",", description="Field separator of the table."
    )
    label_separator: Annotated[str, Field(min_length=1, max_length=3)] | None = Field(
        None,
        description="What stands between several labels in the label column; cells that are "
        "written as lists, such as ['a', 'b'], are read as lists.",
    )
    flags: dict[str, Annotated[int, Field(ge=1, lt=2**31)]] = Field(
        {}, description="Mark: its bit in the flags column, such as {blurred: 2, dark: 4}."
    )
    drop_flags: tuple[str, ...] = Field((), description="Images with such a mark are left out.")
    keep_flags: tuple[str, ...] = Field(
        (), description="Images without any of these marks are left out, where some are named."
    )
    flag_weights: dict[str, Rate] = Field(
        {}, description="Mark: weight of its images, times that of the weight column."
    )
    extension: str | None = Field(
        None, description="Extension that the table leaves out, such as .jpg."
    )
    corrections: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="CSV of labels that somebody corrected (file, label, action: keep, relabel "
        "or drop, reason), as `tfclassify clean` makes it; applied before labels are chosen.",
    )
    classes: tuple[str, ...] | None = Field(
        None, description="Class names in their order; any other label is an error."
    )
    drop_labels: tuple[str, ...] = Field(
        (),
        description="Labels whose images are left out; in multi_label they are taken off the "
        "images, which stay.",
    )
    merge_classes: dict[str, tuple[str, ...]] = Field(
        {}, description="New class name: the labels that it takes in."
    )
    top_classes: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Keep only the n most frequent classes; in multi_label the images of the "
        "others stay.",
    )
    image_size: ImageSize = Field((224, 224), description="[height, width] or one number.")
    resize: Literal["stretch", "crop", "letterbox"] = Field(
        "stretch", description="How an image of another shape is brought to image_size."
    )
    validation: Share = Field(
        0.2, description="Share held out for validation; 0 trains on the whole data set."
    )
    test: Share = Field(0.0, description="Share held out for a final test.")
    min_images: Annotated[int, Field(ge=1)] = Field(
        5, description="Classes with fewer images are reported."
    )
    max_pixels: Annotated[int, Field(ge=64)] = Field(
        100_000_000, description="Images of more pixels are quarantined unread."
    )
    strict: bool = Field(False, description="Bad images are an error instead of quarantined.")
    cache: Literal["auto", "memory", "disk", "none"] = Field(
        "auto", description="Where decoded images are kept; auto: memory if they fit."
    )
    cache_gb: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Gigabytes of memory that decoded images may take under cache: auto, those "
        "for training, those for validation and cached features each; more are kept in "
        "memory-mapped files in the cache folder. null: 40 % of what is free.",
    )

    @property
    def holds_label_sets(self) -> bool:
        """Whether the source says several labels an image, as task multi_label needs."""
        return bool(self.columns.one_hot or self.label_separator or self.coco)

    @property
    def is_session(self) -> bool:
        """Whether the source is the folder of a labelling session."""
        # By os.path, which says no to a text that no path can be.
        return "://" not in self.source and os.path.isfile(f"{self.source}/{SESSION_FILE}")  # noqa: PTH113

    @property
    def is_packed(self) -> bool:
        """Whether the source is shards, which say themselves how their source was read."""
        scheme, sign, _ = self.source.partition("://")
        if sign:
            return scheme.lower() not in ("http", "https")
        return os.path.isfile(f"{self.source}/{SHARDS_FILE}")  # noqa: PTH113


BUILTIN_SOURCES = ("builtin:digits",)
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
_FILE_ENDINGS = (*TABLE_SUFFIXES, ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")


def check_data(recipe: Recipe) -> Iterator[tuple[KeyPath, str]]:
    """Check the source, its checksum, its table and the shares."""
    data = recipe.data
    yield from _check_source(data)
    yield from _check_table(data)
    if data.cache_gb is not None and data.cache != "auto":
        yield (
            ("data", "cache_gb"),
            f"bounds what cache: auto keeps in memory, got {data.cache_gb:g} with cache: "
            f"{data.cache}; remove one of the two",
        )
    if data.validation + data.test >= 1.0:
        yield (
            ("data", "test"),
            "validation and test together must stay below 1, "
            f"got {data.validation:g} + {data.test:g}: nothing is left to train on",
        )


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
    elif data.is_packed:
        if sign and refuse_scheme(data.source):
            yield path, f"got {show(data.source)}; {refuse_scheme(data.source)}"
        elif sign and data.source.lower().endswith(_FILE_ENDINGS):
            yield (
                path,
                "must be a local path, an https URL, builtin:digits or the address of packed "
                f"shards, got {show(data.source)}; fetch that file, or pack what is in it",
            )
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


#: Joins names in one cell of a run's tables; no mark, and no class of several, may hold it.
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
        if data.columns.one_hot and not data.label_separator:
            yield from _check_columns(data)
        return
    if not (data.holds_label_sets or data.is_session or data.is_packed):
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
    if data.is_session or data.is_packed:
        return  # its own marks are known when it is read
    for path, name in named:
        if name not in data.flags:
            known = f"; known are {join_names(data.flags, 'and')}" if data.flags else ""
            hint = suggest(name, data.flags) or f"{known}; name its bit in data.flags"
            yield path, f"unknown flag {name!r}{hint}"
        elif name in data.drop_flags and path[1] != "drop_flags":
            yield path, f"{name!r} is also in drop_flags; remove one"
