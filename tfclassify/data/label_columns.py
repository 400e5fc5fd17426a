"""Reads the labels of an image that may have several from a line of a table.

Owns: one column a class, and one column of joined names. Does not own: the other
columns (``csv_source``), which labels are kept (``labels``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tfclassify.data.nearest import suggest
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe

_MARKS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}


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
            names = (name.strip() for name in fields[self.position].split(self.separator))
            return tuple(dict.fromkeys(name for name in names if name))
        found = []
        for name, position in self.columns:
            value = fields[position]
            if value == "0":  # nearly all are
                continue
            mark = _MARKS.get(value.strip().lower())
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
