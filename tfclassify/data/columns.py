"""What the columns of a table mean that nobody described.

Owns: reading a table without a recipe, and concluding which column holds what: the files and
where they start, the labels in any of their forms, groups, the source's own split; and the
words for it. Does not own: reading the rows by a recipe (``csv_source``).
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tfclassify.data.csv_source import MARKS, read_list
from tfclassify.data.folders import (
    clean_path,
    find_split,
    is_image_file,
    list_classes,
    name_image,
    walk_files,
)
from tfclassify.data.session_source import read_session_words
from tfclassify.data.sources import find_source, find_tables
from tfclassify.errors import RequestError, SourceError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.schema import ColumnsRecipe, DataRecipe
from tfclassify.recipe.wording import join_names, suggest

_SEPARATORS = ",;\t|"
#: What joins several labels in one cell, the surest first.
_JOINTS = ("|", ";", ", ", ",", "+", "/", " ")
#: Lines that are looked at: enough to tell columns apart.
_LOOKED_AT = 50_000
_TABLES = 20  # tables of a source that are tried
_SAMPLE = 400  # files of a column that are looked for on disk
_LABELS: tuple[str, ...] = ("label", "labels", "class", "classes", "classname", "category")
_LABELS += (
    "categories",
    "target",
    "tag",
    "tags",
    "species",
    "breed",
    "genre",
    "genres",
    "diagnosis",
    "y",
)
_PLURALS = {"labels", "tags", "genres", "categories"}
_GROUPS = ("group", "person", "patient", "subject", "sender", "user", "site", "series", "session")
_SPLITS = ("split", "set", "subset", "partition", "phase", "fold", "part", "usage")


@dataclass(frozen=True)
class Conclusion:
    """What a source was taken for.

    Attributes:
        data: Keys of the ``data`` section of a recipe that reads it so.
        task: ``multi_class`` or ``multi_label``.
        remarks: What each column was taken for, one line each.
    """

    data: Mapping[str, Any]
    task: str = "multi_class"
    remarks: tuple[str, ...] = ()


@dataclass
class _Sheet:
    """A table as it was found.

    Attributes:
        shown: What to call it in messages.
        separator: Between its columns.
        header: Names of the columns.
        columns: Values of each column, as far as they were looked at.
    """

    shown: str
    separator: str
    header: list[str]
    columns: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Files:
    """How a column names files: the folder they start at, what it leaves out, how many fit."""

    column: str
    folder: str
    extension: str
    found: int
    tried: int


def conclude_source(
    source: str, given: Mapping[str, str | None] = {}, observer: Observer = SILENT
) -> Conclusion:
    """Conclude how a source is to be read: as one folder a class, or by a table and how.

    Folders that are classes come before a table beside them, unless columns are given.

    Args:
        source: As ``data.source``.
        given: What the user says of columns, by the keys of ``data.columns``.
        observer: Told what is unpacked.

    Returns:
        The section ``data`` of a recipe, its task, and the words for what was concluded.

    Raises:
        SourceError: If the source is absent, empty, or none of its tables can be understood.
        RequestError: If ``given`` names what is not there.
    """
    found = find_source(DataRecipe(source=source), observer=observer)
    if found.table is not None:
        concluded = conclude_table(found.table, found.shown_table, found.root, given)
        return replace(concluded, data={"source": source, **concluded.data})
    if found.shards is not None:
        facts = found.shards.facts
        remark = f"shards, packed from {facts.source}"
        return Conclusion({"source": source}, _name_task(facts.is_multi_label), (remark,))
    if found.is_session:
        words = read_session_words(found.root)
        remark = "a session of tfclassify label"
        return Conclusion({"source": source}, _name_task(words.is_multi_label), (remark,))
    tables = [name for name in find_tables(found.root) if name.lower().endswith((".csv", ".tsv"))]
    folders = Conclusion({"source": source})
    if not given or not tables:
        labels = list_classes(found.root, source)
        if given:
            raise RequestError(f"columns: {source} holds no table whose columns could be named")
        if not tables or (len(labels) > 1 and not all(map(find_split, labels))):
            layout = f"one folder a class, {len(labels):,} classes" if labels else "no labels"
            beside = f"; the table {tables[0]} was not read" if tables else ""
            return replace(folders, remarks=(layout + beside,))
    best, faults = _conclude_best(source, found.root, tables[:_TABLES], given)
    if best is not None:
        return best
    if given:
        raise faults[0]
    return replace(folders, remarks=(f"no labels; its table is not understood: {faults[0]}",))


def _name_task(is_multi_label: bool) -> str:
    return "multi_label" if is_multi_label else "multi_class"


def _conclude_best(
    source: str, root: Path, tables: Sequence[str], given: Mapping[str, str | None]
) -> tuple[Conclusion | None, list[TfclassifyError]]:
    """Conclude from each table of a folder; return that of the first with labels, or the first.

    Returns:
        None where no table is understood, and what is wrong with each that is not.
    """
    best: Conclusion | None = None
    faults: list[TfclassifyError] = []
    for name in tables:
        try:
            concluded = conclude_table(root / name, f"{source}/{name}", root, given)
        except (SourceError, RequestError) as fault:
            faults.append(fault)
            continue
        data = {"source": source, "table": name, **concluded.data}
        remarks = (f"the table {name} describes the images", *concluded.remarks)
        found = replace(concluded, data=data, remarks=remarks)
        if concluded.data["columns"].get("label", "") is not None:
            return found, faults
        best = best or found
    return best, faults


def conclude_table(
    table: Path, shown: str, root: Path, given: Mapping[str, str | None]
) -> Conclusion:
    """Conclude what the columns of a table hold.

    Args:
        table: The CSV.
        shown: What to call it in messages.
        root: Folder in which the images lie, at any depth.
        given: What the user says of columns, by the keys of ``data.columns``; a None says
            that there is no such column.

    Returns:
        Keys for ``data`` (without ``source`` and ``table``), the task and the remarks.

    Raises:
        SourceError: If it is no table, or no column names files that are there.
        RequestError: If ``given`` names what is not there.
    """
    sheet = _read_sheet(table, shown)
    _check_given(sheet, given)
    files = _find_files(sheet, table.parent, root, given)
    data: dict[str, Any] = {"columns": {"file": files.column}}
    remarks = [_describe_files(files)]
    if sheet.separator != ",":
        data["separator"] = sheet.separator
    if files.extension:
        data["extension"] = files.extension
    if files.folder:
        data["images"] = files.folder
    free = [name for name in sheet.header if name and name != files.column]
    for key, names, fits in (("split", _SPLITS, _is_split), ("group", _GROUPS, _is_group)):
        column = given.get(key) if key in given else _find_named(sheet, free, names, fits)
        if column:
            data["columns"][key] = column
            free.remove(column)
            meaning = {
                "split": "says what is for training, validation and test",
                "group": "images of one group stay on one side of a split",
            }
            remarks.append(f"{column}: {meaning[key]}")
    for key in ("weight", "flags"):
        if given.get(key):
            data["columns"][key] = given[key]
            free.remove(str(given[key]))
    task, found, told = _find_labels(sheet, free, given)
    data["columns"] |= found.pop("columns")
    used = {name for name in data["columns"].values() if isinstance(name, str)} | {*told}
    unread = [name for name in free if name not in used] if "one_hot" not in data["columns"] else []
    remarks += told.values()
    if unread:
        remarks.append(f"not read: {join_names(unread, 'and')}")
    return Conclusion(data | found, task, tuple(remarks))


def _read_sheet(path: Path, shown: str) -> _Sheet:
    """Read a table's columns under the separator that fits best."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            start = stream.read(1 << 16)
            lines = [line for line in start.splitlines() if line.strip()][:50]
            if not lines:
                raise SourceError(f"{shown}: the table is empty; expected a line of column names")
            separator = max(_SEPARATORS, key=lambda sign: _count_columns(lines, sign))
            stream.seek(0)
            reader = csv.reader(stream, delimiter=separator)
            rows = (fields for fields in reader if any(fields))
            header = [name.strip() for name in next(rows)]
            sheet = _Sheet(shown, separator, header)
            cells: list[list[str]] = [[] for _ in header]
            for number, fields in enumerate(rows):
                if number == _LOOKED_AT:
                    break
                for values, value in zip(cells, fields, strict=False):
                    values.append(value.strip())
    except (UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{shown}: no table that can be read ({error}); save it as UTF-8") from (
            error
        )
    for name, values in zip(header, cells, strict=True):
        sheet.columns.setdefault(name, values)
    return sheet


def _count_columns(lines: Sequence[str], separator: str) -> int:
    """Return the columns that a separator makes, 0 if not the same on nearly every line."""
    try:
        counts = Counter(len(fields) for fields in csv.reader(lines, delimiter=separator))
    except csv.Error:
        return 0
    width, lines_of_it = counts.most_common(1)[0]
    return width if width > 1 and lines_of_it >= 0.8 * len(lines) else 0


def _check_given(sheet: _Sheet, given: Mapping[str, str | None]) -> None:
    """Raise if the user names a column that is not there, or no key of columns."""
    known = list(ColumnsRecipe.model_fields)
    for key, name in given.items():
        if key not in known:
            raise RequestError(
                f"columns: unknown key {key!r}, allowed are {join_names(known, 'and')}"
                f"{suggest(key, known)}"
            )
        names = [] if name is None or name == "rest" else name.split("+")
        for one in names if key == "one_hot" else [name] if name else []:
            if one not in sheet.header:
                there = ", ".join(map(repr, sheet.header))
                raise RequestError(
                    f"columns: {key}={one}: {sheet.shown} has no such column, it has {there}"
                    f"{suggest(one, sheet.header)}"
                )


def _find_files(sheet: _Sheet, beside: Path, root: Path, given: Mapping[str, str | None]) -> _Files:
    """Find the column whose values name images on disk, and how it writes them."""
    on_disk = [name_image(path, root) for path in walk_files(root) if is_image_file(path)]
    by_stem: dict[str, list[str]] = defaultdict(list)
    for name in on_disk:
        by_stem[_stem(name)].append(name)
    wanted = given.get("file")
    columns = [wanted] if wanted else [name for name in sheet.header if name]
    fits = [_fit_files(column, sheet.columns[column], by_stem) for column in columns]
    best = max(fits, key=lambda fit: fit.found / max(1, fit.tried), default=None)
    if best is None or best.found == 0 or (not wanted and best.found < 0.5 * best.tried):
        there = ", ".join(map(repr, sheet.header))
        if not any(map(len, sheet.columns.values())):
            raise SourceError(
                f"{sheet.shown}: the table has the columns {there} and no rows; give it a row an "
                "image"
            )
        raise SourceError(
            f"{sheet.shown}: no column names the {len(on_disk):,} images in {root}; it has "
            f"{there}; name the column (--columns file=NAME), and put the images beside the table"
        )
    prefix = root.relative_to(beside).as_posix() if root.is_relative_to(beside) else ""
    folder = "/".join(part for part in (prefix, best.folder) if part not in ("", "."))
    if beside != root and beside.is_relative_to(root):
        folder = f"{folder}/".removeprefix(f"{beside.relative_to(root).as_posix()}/").rstrip("/")
    return _Files(best.column, folder, best.extension, best.found, best.tried)


def _fit_files(column: str, values: Sequence[str], by_stem: Mapping[str, list[str]]) -> _Files:
    """Look for a column's values among the images, by name, with or without extension."""
    step = max(1, len(values) // _SAMPLE)
    tried = [value for value in values[::step] if value]
    ways: Counter[tuple[str, str]] = Counter()
    for value in tried:
        name = clean_path(value)
        if name is None:
            continue
        for path in {*by_stem.get(_stem(name), ()), *by_stem.get(name.rpartition("/")[2], ())}:
            for extension in ("", f".{path.rpartition('.')[2]}" if "." in path else ""):
                if path == name + extension or path.endswith(f"/{name}{extension}"):
                    ways[path[: len(path) - len(name + extension)].rstrip("/"), extension] += 1
                    break
    if not ways:
        return _Files(column, "", "", 0, len(tried))
    (folder, extension), found = ways.most_common(1)[0]
    return _Files(column, folder, extension, found, len(tried))


def _stem(name: str) -> str:
    last = name.rpartition("/")[2]
    return last.rpartition(".")[0] or last


def _describe_files(files: _Files) -> str:
    where = f", in the folder {files.folder!r}" if files.folder else ""
    written = f", written without {files.extension}" if files.extension else ""
    counted = f"{files.found:,} of {files.tried:,} looked for are there"
    return f"{files.column}: the image's file{where}{written} ({counted})"


def _find_named(sheet: _Sheet, free: Sequence[str], names: Sequence[str], fits: Any) -> str | None:
    """Return the first column that is called one of some names and whose values fit."""
    called = {name: _words_of(name) for name in free}
    for wanted in names:
        for name, words in called.items():
            if wanted in words and fits(sheet.columns[name]):
                return name
    return None


def _words_of(name: str) -> set[str]:
    """Return the words of a column's name: ``Sender_ID`` and ``senderId`` say sender."""
    parts = re.sub(r"([a-z])([A-Z])", r"\1 \2", name)
    return {*re.split(r"[^a-z0-9]+", parts.lower()), name.lower()}


def _is_split(values: Sequence[str]) -> bool:
    return any(values) and all(not value or find_split(value) for value in values)


def _is_group(values: Sequence[str]) -> bool:
    return 1 < len(set(values)) < len(values) and not _is_marks(values)


def _is_label(values: Sequence[str]) -> bool:
    """Say whether values repeat as the names of classes do."""
    filled = [value for value in values if value]
    return len(filled) > 0 and 2 <= len(set(filled)) <= max(2, 0.6 * len(filled))


def _is_marks(values: Sequence[str]) -> bool:
    return len(values) > 0 and all(value.lower() in MARKS for value in values)


def _find_labels(
    sheet: _Sheet, free: Sequence[str], given: Mapping[str, str | None]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Find the labels: the task, keys of ``data``, and what to tell of which column."""
    if given.get("one_hot"):
        wanted = str(given["one_hot"])
        names = [name for name in free if _is_marks(sheet.columns[name])]
        return _take_marks(sheet, free, names if wanted == "rest" else wanted.split("+"))
    if "label" in given:
        column = given["label"]
        return _take_label(sheet, column) if column else ("multi_class", _no_label(), {})
    marks = [name for name in free if _is_marks(sheet.columns[name])]
    named = _find_named(sheet, free, _LABELS, lambda values: len(set(values)) > 1)
    if named is not None and (named not in marks or len(marks) == 1):
        return _take_label(sheet, named)
    if len(marks) > 1:
        return _take_marks(sheet, free, marks)
    likely = [name for name in free if _is_label(sheet.columns[name])]
    texts = [name for name in likely if not all(map(_is_number, sheet.columns[name]))] or likely
    # A single column of true and false says something beside the label, where there is another.
    texts = [name for name in texts if name not in marks] or texts
    if texts:
        # Fewer different values are likelier classes than names, places or dates.
        return _take_label(sheet, min(texts, key=lambda name: len(set(sheet.columns[name]))))
    return "multi_class", _no_label(), {}


def _no_label() -> dict[str, Any]:
    return {"columns": {"label": None}}


def _take_label(sheet: _Sheet, column: str) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Take a column of one label, or of several that some sign joins."""
    values = [value for value in sheet.columns[column] if value]
    lists = [found for found in map(read_list, values) if found is not None]
    if values and len(lists) == len(values):
        return _take_lists(column, lists)
    joint = _find_joint(values, is_plural=bool(_words_of(column) & _PLURALS))
    found: dict[str, Any] = {"columns": {"label": column}}
    if joint is None:
        return "multi_class", found, {column: f"{column}: the label, {len(set(values)):,} classes"}
    tokens = {token.strip() for value in values for token in value.split(joint)} - {""}
    told = f"{column}: several labels joined by {joint!r}, {len(tokens):,} classes"
    return "multi_label", found | {"label_separator": joint}, {column: told}


def _take_lists(
    column: str, lists: Sequence[tuple[str, ...]]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Take a column whose cells are lists; those of one name each are single labels."""
    found: dict[str, Any] = {"columns": {"label": column}}
    classes = {name for names in lists for name in names}
    told = f"{column}: %s, {len(classes):,} classes"
    if all(len(names) == 1 for names in lists):
        return "multi_class", found, {column: told % "the label, written as a list of one"}
    return "multi_label", found | {"label_separator": ","}, {column: told % "lists of labels"}


def _find_joint(values: Sequence[str], *, is_plural: bool) -> str | None:
    """Return the sign that joins labels in a column, or None if each cell is one label.

    A sign joins labels if what it parts makes fewer different names than there are cells, or
    stands alone in other cells; spaces, commas and slashes occur in names as well.
    """
    different = set(values)
    for joint in _JOINTS:
        parted = [value for value in values if joint in value]
        if len(parted) < 0.02 * len(values) or not parted:
            continue
        tokens = {token.strip() for value in different for token in value.split(joint)} - {""}
        within = {token.strip() for value in {*parted} for token in value.split(joint)}
        alone = len(within & different) / len(within)
        share = 1.0 if is_plural else 0.5 if joint in (" ", "/") else 0.9
        if joint in "|;" or alone > 0.5 or len(tokens) < share * len(different):
            return joint
    return None


def _take_marks(
    sheet: _Sheet, free: Sequence[str], names: Sequence[str]
) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Take one column a class; ``rest`` where all but columns of other values are meant."""
    rest = [name for name in free if name not in names]
    spoiled = [name for name in rest if _is_marks(sheet.columns[name])]
    one_hot = list(names) if spoiled else "rest"
    marks = ([MARKS.get(value.lower(), False) for value in sheet.columns[name]] for name in names)
    is_single = {sum(cells) for cells in zip(*marks, strict=True)} == {1}
    exact = "; each image has exactly one" if is_single else ""
    shown = join_names([*names[:3], *(["…"] if len(names) > 3 else [])], "and")
    told = {names[0]: f"{shown}: one column of 0 and 1 a class, {len(names):,} classes{exact}"}
    if rest:
        told[rest[0]] = f"not read, since not 0 and 1: {join_names(rest, 'and')}"
    return "multi_class" if is_single else "multi_label", {"columns": {"one_hot": one_hot}}, told


def _is_number(value: str) -> bool:
    try:
        float(value or "0")
    except ValueError:
        return False
    return True
