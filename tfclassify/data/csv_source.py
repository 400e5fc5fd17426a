"""Reads a CSV that names images, labels and what else a recipe's columns say.

Owns: columns, separators, lines and their faults, several labels in a line, the bits of
marks, matching rows to files. Does not own: which labels are kept (``labels``), finding the
table (``sources``).
"""

from __future__ import annotations

import ast
import csv
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tfclassify.data.folders import (
    SPLIT_NAMES,
    Listing,
    Row,
    clean_path,
    find_split,
    is_file,
    is_image_file,
    name_image,
    walk_files,
)
from tfclassify.data.integrity import Finding
from tfclassify.errors import SourceError, explain_unread
from tfclassify.recipe.schema import DataRecipe
from tfclassify.recipe.wording import suggest


def decode_flags(value: str, place: str, data: DataRecipe) -> tuple[str, ...]:
    """Return the marks that a number stands for.

    Args:
        value: The cell: a whole number, or nothing for 0.
        place: Where it stands, for messages.
        data: Its ``flags`` name the bits.

    Returns:
        The marks, in the order of ``data.flags``.

    Raises:
        SourceError: If it is no whole number, or holds a bit without a name.
    """
    if not value:
        return ()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (number.is_integer() and 0 <= number < 2**53):
        raise SourceError(
            f"{place}: flags must be a whole number of at least 0, got {value!r} "
            f"(data.columns.flags: {data.columns.flags!r})"
        )
    bits = int(number)
    unknown = bits & ~sum(data.flags.values())
    if unknown:
        known = ", ".join(f"{name} {bit}" for name, bit in data.flags.items())
        raise SourceError(
            f"{place}: flags {bits} hold the bit {unknown & -unknown}, which data.flags does not "
            f"name; it has {known}; name the bit there"
        )
    return tuple(name for name, bit in data.flags.items() if bits & bit)


def select_by_flags(rows: list[Row], data: DataRecipe) -> list[Row]:
    """Leave out the rows that ``drop_flags`` and ``keep_flags`` say."""
    dropped, kept = set(data.drop_flags), set(data.keep_flags)
    return [
        row
        for row in rows
        if dropped.isdisjoint(row.flags) and (not kept or not kept.isdisjoint(row.flags))
    ]


def weigh_flags(flags: tuple[str, ...], data: DataRecipe) -> float:
    """Return what an image's marks multiply its weight by."""
    return math.prod(data.flag_weights.get(flag, 1.0) for flag in flags)


#: One name of a list, as Python, JSON or NumPy write it, with what stands behind it.
_LISTED = re.compile(
    r"""\s*(?P<name>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,'"\[\]](?:[^,'"\[\]]*[^\s,'"\[\]])?)
        \s*(?:,|$|(?=['"]))""",
    re.VERBOSE,
)


def read_list(value: str) -> tuple[str, ...] | None:
    """Read a cell that is written as a list: ``['a', 'b']``, ``["a","b"]``, ``[]``.

    Returns:
        The names in it, each once; None where the cell is no list.

    Example:
        >>> read_list("['rose', 'red']"), read_list("rose")
        (('rose', 'red'), None)
    """
    if not (value.startswith("[") and value.endswith("]")):
        return None
    inside, names = value[1:-1].rstrip(), []
    while inside:
        found = _LISTED.match(inside)
        if found is None:
            return None
        name, inside = found["name"], inside[found.end() :]
        if name[0] in "\"'":
            try:
                name = str(ast.literal_eval(name))
            except (ValueError, SyntaxError):
                return None
        names.append(name.strip())
    return tuple(dict.fromkeys(name for name in names if name))


#: How a column of marks says that an image has a class, and that it has not.
MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


@dataclass(frozen=True)
class LabelColumns:
    """Where the labels stand in a line.

    Attributes:
        columns: Class and its position, for columns of 0 and 1; empty for joined names.
        position: Of the column of joined names.
        separator: What joins them.
    """

    columns: tuple[tuple[str, int], ...] = ()
    position: int = -1
    separator: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of their columns; empty for joined names."""
        return tuple(name for name, _ in self.columns)

    def read(self, fields: Sequence[str], place: str) -> tuple[str, ...]:
        """Return the labels of one line, each once.

        Raises:
            SourceError: If a column of marks holds anything but 0 and 1.
        """
        if not self.columns:
            cell = fields[self.position]
            listed = read_list(cell.strip())
            if listed is not None:
                return listed
            names = (name.strip() for name in cell.split(self.separator))
            return tuple(dict.fromkeys(name for name in names if name))
        found = []
        for name, position in self.columns:
            value = fields[position]
            if value == "0":  # nearly all are
                continue
            mark = MARKS.get(value.strip().lower())
            if mark is None:
                raise SourceError(
                    f"{place}: the column {name!r} says whether an image has this class, allowed "
                    f"are 0 and 1, got {value!r}; mend it, or list the columns of classes in "
                    "data.columns.one_hot"
                )
            if mark:
                found.append(name)
        return tuple(found)


def find_label_columns(
    header: Sequence[str], taken: Collection[int], data: DataRecipe, shown: str
) -> LabelColumns | None:
    """Find the labels' columns in a table's header.

    Args:
        header: Names of the columns.
        taken: Positions of the columns that hold something else.
        data: Says how labels are written.
        shown: What to call the table in messages.

    Returns:
        Where they are; None where an image has one label.

    Raises:
        SourceError: If there is no such column, or a name is empty or there twice.
    """
    one_hot = data.columns.one_hot
    if one_hot is None:
        if data.label_separator is None or data.columns.label is None:
            return None
        position = header.index(data.columns.label)
        return LabelColumns(position=position, separator=data.label_separator)
    positions = [number for number in range(len(header)) if number not in taken]
    if one_hot != "rest":
        others = [header[number] for number in positions]
        for name in one_hot:
            if name not in others:
                raise SourceError(
                    f"{shown}, line 1: there is no column {name!r} (data.columns.one_hot) besides "
                    f"those of data.columns{suggest(name, others)}"
                )
        positions = [number for number in positions if header[number] in one_hot]
    names = [header[number] for number in positions]
    _check_names(names, positions, shown)
    columns = dict(zip(names, positions, strict=True))
    order = names if one_hot == "rest" else one_hot
    return LabelColumns(tuple((name, columns[name]) for name in order))


def _check_names(names: list[str], positions: list[int], shown: str) -> None:
    """Raise unless each column of marks has a name of its own."""
    if not names:
        raise SourceError(
            f"{shown}, line 1: every column is a file, group, split or the like, so none is left "
            "for data.columns.one_hot; add one for each class"
        )
    if "" in names:
        raise SourceError(
            f"{shown}, line 1: column {positions[names.index('')] + 1} has no name; remove it, or "
            "list the columns of classes in data.columns.one_hot"
        )
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        raise SourceError(f"{shown}, line 1: there are two columns {repeated!r}; rename one")


_SEPARATORS = ",;\t|"
#: Share of other values than 0 and 1 up to which a column is one of marks with faults.
_FEW_OTHERS = 0.5
_NO_SEPARATORS = '"\r\n\0'


class Table(NamedTuple):
    """A table and the folder that its file names start at.

    Attributes:
        path: The CSV.
        shown: What to call it in messages.
        images: Folder that the file column is relative to.
        root: Folder of the source, which stable names are relative to.
    """

    path: Path
    shown: str
    images: Path
    root: Path


def read_csv_source(table: Table, data: DataRecipe) -> Listing:
    """Read a table of images.

    Args:
        table: Where the table and the images are.
        data: Names of the columns, separator, extension that the table leaves out.

    Returns:
        One row an image. Images that are listed but absent have the fault ``missing``;
        images that are there but not listed are findings.

    Raises:
        SourceError: If the table is empty, lacks a column, a line cannot be understood
            or points outside of the images folder, or none of its files is there.
    """
    on_disk = {
        name_image(path, table.images): path
        for path in walk_files(table.images)
        if is_image_file(path)
    }
    listing = Listing()
    prefix = _find_prefix(table)
    rows: dict[str, Row] = {}
    for line in _read_lines(table, data, listing):
        name = _to_name(line.values["file"], line.place, table, data)
        path = on_disk.get(name, f"{table.images.as_posix()}/{name}")
        row = _make_row(line, prefix + name, path, data)
        if listing.is_multi_label:
            row = row._replace(label="", labels=line.labels)
        if name not in on_disk and not is_file(path):
            row = row._replace(fault="missing")
        rows[name] = merge_repeated(listing, rows[name], row) if name in rows else row
    _check_found(rows, table, data, on_disk)
    listing.rows = _leave_out_unlabelled(listing, list(rows.values()))
    listing.findings += [
        Finding(prefix + name, "orphan", f"has no line in {table.path.name}")
        for name in on_disk
        if name not in rows
    ]
    return listing


class _Line(NamedTuple):
    """One line: its values by the field names of ``ColumnsRecipe``, labels and place."""

    values: dict[str, str]
    labels: tuple[str, ...]
    place: str


def _read_lines(table: Table, data: DataRecipe, listing: Listing) -> Iterator[_Line]:
    """Read the wanted columns of every line that is not blank, and the classes' order."""
    if data.separator in _NO_SEPARATORS:
        raise SourceError(
            f"{table.shown}: no table is separated by {data.separator!r} (data.separator); "
            "set it to the character between the columns"
        )
    try:
        with table.path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=data.separator, strict=True)
            header = next((fields for fields in reader if any(fields)), None)
            if header is None:
                raise SourceError(
                    f"{table.shown}: the table is empty; expected a line of column names, "
                    f"with {data.columns.file!r} among them"
                )
            header = [name.strip() for name in header]
            positions = _find_columns(header, table, data)
            taken = [*positions.values(), *_find_other_columns(table, data, header, listing)]
            marks = find_label_columns(header, taken, data, table.shown)
            listing.is_multi_label = marks is not None
            listing.classes = marks.classes if marks else ()
            for fields in reader:
                if any(fields):
                    place = f"{table.shown}, line {reader.line_num}"
                    values = _pick(fields, len(header), positions, place)
                    yield _Line(values, marks.read(fields, place) if marks else (), place)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{table.shown}: the table is not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise SourceError(
            f"{table.shown}, line {reader.line_num}: the line is no valid CSV ({error})"
        ) from error
    except OSError as error:
        reason = explain_unread(error, "name a CSV")
        raise SourceError(f"{table.shown}: the table cannot be read: {reason}") from error


def _find_other_columns(
    table: Table, data: DataRecipe, header: list[str], listing: Listing
) -> list[int]:
    """Find the columns of a table of marks, where the rest are classes, that hold others.

    Such a column is left out, with a finding; one in which other values are the exception
    stays, so that the line that holds them is told.
    """
    if data.columns.one_hot != "rest":
        return []
    others: list[list[tuple[int, str]]] = [[] for _ in header]
    lines = 0
    with table.path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=data.separator, strict=True)
        next(fields for fields in reader if any(fields))
        for fields in reader:
            lines += any(fields)
            for found, value in zip(others, fields, strict=False):
                if value not in ("0", "1") and value.strip().lower() not in MARKS:
                    found.append((reader.line_num, value))
    named = data.columns.model_dump(exclude={"one_hot", "label"}, exclude_none=True).values()
    left_out = []
    for position, found in enumerate(others):
        if len(found) > _FEW_OTHERS * lines and header[position] not in named:
            left_out.append(position)
            line, value = found[0]
            told = f"column {header[position]!r} is no class: line {line} has {value!r:.40}"
            listing.findings.append(Finding("", "other_column", told))
    return left_out


def _find_columns(header: list[str], table: Table, data: DataRecipe) -> dict[str, int]:
    """Find the position of every column that the recipe names."""
    wanted = data.columns.model_dump(exclude={"one_hot"}, exclude_none=True)
    if data.columns.one_hot:
        wanted.pop("label", None)
    positions = {}
    for key, name in wanted.items():
        if name in header:
            positions[key] = header.index(name)
            continue
        other = next((mark for mark in _SEPARATORS if mark in header[0]), None)
        if len(header) == 1 and other:
            raise SourceError(
                f"{table.shown}, line 1: the header is one column under the separator "
                f"{data.separator!r}, got {header[0]!r}; set data.separator: {other!r}"
            )
        columns = ", ".join(repr(column) for column in header)
        hint = "" if key == "file" else f", or null if the table has no {key}s"
        raise SourceError(
            f"{table.shown}, line 1: there is no column {name!r} (data.columns.{key}), the "
            f"table has {columns}; set data.columns.{key} to one of them{hint}"
            f"{suggest(name, header)}"
        )
    return positions


def _pick(fields: list[str], width: int, positions: dict[str, int], place: str) -> dict[str, str]:
    """Return the wanted fields of one line."""
    if len(fields) != width:
        raise SourceError(
            f"{place}: the line has {len(fields)} fields, the header has {width}; "
            "quote fields that hold the separator"
        )
    return {key: fields[position].strip() for key, position in positions.items()}


def _make_row(line: _Line, image: str, path: str, data: DataRecipe) -> Row:
    """Turn a line into a row."""
    values = line.values
    flags = decode_flags(values.get("flags", ""), line.place, data)
    return Row(
        image,
        path,
        line.place,
        label=_to_label(values.get("label", ""), line.place, data),
        group=values.get("group", ""),
        split=_to_split(values.get("split", ""), line.place),
        weight=_to_weight(values.get("weight", "1"), line.place) * weigh_flags(flags, data),
        flags=flags,
    )


def _to_label(value: str, place: str, data: DataRecipe) -> str:
    """Return a label, which may stand alone in a list."""
    listed = None if data.label_separator else read_list(value)
    if listed is None:
        return value
    if len(listed) > 1:
        raise SourceError(
            f"{place}: {value!r:.80} holds {len(listed)} labels, and one is read; set "
            "data.label_separator: ',' and task: multi_label"
        )
    return "".join(listed)


def _to_name(value: str, place: str, table: Table, data: DataRecipe) -> str:
    """Return a file value as a normal POSIX path relative to the images folder."""
    if not value:
        raise SourceError(f"{place}: the column {data.columns.file!r} is empty; name an image")
    name = unicodedata.normalize("NFC", value.replace("\\", "/"))
    if data.extension and not name.lower().endswith(_dotted(data.extension).lower()):
        name += _dotted(data.extension)
    cleaned = clean_path(name.removeprefix(f"{table.images.as_posix()}/"))
    if cleaned is None:
        raise SourceError(
            f"{place}: file {value!r} lies outside of the images folder; allowed are paths "
            "inside it: set data.images to the folder that holds all images"
        )
    return cleaned


def _dotted(extension: str) -> str:
    return extension if extension.startswith(".") else f".{extension}"


def _find_prefix(table: Table) -> str:
    """Return what leads from the source to the images folder, for stable names."""
    if table.images == table.root or not table.images.is_relative_to(table.root):
        return ""
    return name_image(table.images.as_posix(), table.root) + "/"


def _to_split(value: str, place: str) -> str:
    if not value:
        return ""
    split = find_split(value)
    if split is None:
        raise SourceError(
            f"{place}: unknown split {value!r}, allowed are 'train', 'validation', 'test' or "
            f"nothing{suggest(value, SPLIT_NAMES)}"
        )
    return split


def _to_weight(value: str, place: str) -> float:
    try:
        weight = float(value)
    except ValueError:
        weight = math.nan
    if not (math.isfinite(weight) and weight > 0):
        raise SourceError(f"{place}: weight must be a positive number, got {value!r}")
    return weight


def merge_repeated(listing: Listing, first: Row, again: Row) -> Row:
    """Keep one row of an image listed twice; under two labels, neither can be trusted."""
    if (first.label, set(first.labels)) == (again.label, set(again.labels)):
        listing.findings.append(Finding(first.image, "listed_twice", again.place))
        return first
    return first._replace(fault=first.fault or "label_conflict")


def _leave_out_unlabelled(listing: Listing, rows: list[Row]) -> list[Row]:
    """Leave out rows without a label, unless no row has one or may have one."""
    if listing.is_multi_label or not any(row.label for row in rows):
        return rows
    listing.findings += [
        Finding(row.image, "unlabelled", f"{row.place} has no label")
        for row in rows
        if not row.label
    ]
    return [row for row in rows if row.label]


def _check_found(
    rows: dict[str, Row], table: Table, data: DataRecipe, on_disk: dict[str, str]
) -> None:
    """Raise if the table has no rows, or none of them leads to a file."""
    if not rows:
        raise SourceError(f"{table.shown}: the table has a header and no lines; add images")
    if any(row.fault != "missing" for row in rows.values()):
        return
    by_stem = {name.rpartition(".")[0]: name for name in on_disk}
    stem = next((name for name in rows if name in by_stem), None)
    first = next(iter(rows.values()))
    hint = "set data.images to the folder that the names start at"
    if stem is not None:
        ending = by_stem[stem].removeprefix(stem)
        hint = f"the table leaves the extension out: set data.extension: {ending}"
    raise SourceError(
        f"{table.shown}: none of the {len(rows):,} images in the column {data.columns.file!r} "
        f"is on disk, the first is {first.image!r}; {hint}"
    )
