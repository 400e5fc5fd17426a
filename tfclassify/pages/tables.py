"""Tables of results, the same on a page and on a terminal.

Owns: what a table is, and its form as plain text. Does not own: what stands in one (each
page's module), its form as HTML (``templates/macros.html``).
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple

from tfclassify.pages.wording import clean_text, format_range, format_score, shorten

if TYPE_CHECKING:
    from tfclassify.scoring.intervals import Interval

#: Space between two columns.
_GAP = "  "

#: Characters of a long name; where fewer are left for long names, they stand above their rows.
_LEAST_NAME = 24


class Cell(NamedTuple):
    """A cell that is more than a text.

    Attributes:
        text: What it says.
        note: What stands in grey behind it, such as an interval.
        link: An address on the disk, relative to the page; empty for none.
        mark: How the text is set off: ``good``, ``bad``, or empty for not at all.
    """

    text: str
    note: str = ""
    link: str = ""
    mark: str = ""


#: The cells of a row.
Row = Sequence[str | Cell]


@dataclass(frozen=True)
class Table:
    """Rows under their headings.

    Attributes:
        caption: What the table holds, for screen readers.
        head: Titles of the columns.
        rows: One cell a column each; the first one names the row.
        numeric: How many of the last columns are numbers, set flush right.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Row]
    numeric: int = 0

    @property
    def first_number(self) -> int:
        """Position of the first column of numbers."""
        return len(self.head) - self.numeric

    def first(self, rows: int) -> Table:
        """Return the same table with so many rows at most."""
        return replace(self, rows=self.rows[:rows])

    def to_text(self, longest: int = 48) -> str:
        """Write the table for a terminal; words are cut after ``longest`` characters."""
        columns = [
            Column(title, "left" if number < self.first_number else "right", longest)
            for number, title in enumerate(self.head)
        ]
        return render_table(columns, [[_as_text(cell) for cell in row] for row in self.rows])


def _as_text(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def show_interval(name: str, interval: Interval) -> Cell:
    """Write a metric's value with its interval behind it, and the classes that it is on."""
    notes = [] if interval.low is None else [format_range(name, interval)]
    notes += interval.remarks
    return Cell(format_score(name, interval.value), ", ".join(notes))


@dataclass(frozen=True)
class Column:
    """One column of a table of plain text.

    Attributes:
        title: Its heading, with the unit if there is one, such as ``time, s``.
        align: ``left`` for words, ``right`` for numbers.
        longest: Characters after which a cell is cut with an ellipsis.
    """

    title: str
    align: Literal["left", "right"] = "left"
    longest: int = 60


def render_table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> str:
    """Write rows under their headings, aligned, with a rule between the two.

    Args:
        columns: The columns, from left to right.
        rows: One cell a column each; None is an empty cell.

    Returns:
        The lines, without trailing spaces and without a final newline. What is too wide for
        the terminal is folded at its words.
    """
    cells = [
        [
            shorten(clean_text("" if cell is None else str(cell)).replace("\n", " "), c.longest)
            for cell, c in zip(row, columns, strict=True)
        ]
        for row in rows
    ]
    titles = [column.title for column in columns]
    widths = [max(map(measure, texts)) for texts in zip(titles, *cells, strict=True)]
    limit = find_width()
    if limit is not None and sum(widths) + len(_GAP) * (len(widths) - 1) > limit:
        room = limit - sum(widths[1:]) - len(widths) + 1
        is_stacked = widths[0] >= _LEAST_NAME > room >= 0
        return (_stack if is_stacked else _fold)(columns, cells, limit)
    return "\n".join(_align(columns, cells, _GAP))


def _align(columns: Sequence[Column], cells: Sequence[Sequence[str]], gap: str) -> list[str]:
    """Return the lines of the headings, the rule and the rows, each cell in its place."""
    titles = [column.title for column in columns]
    widths = [max(map(measure, texts)) for texts in zip(titles, *cells, strict=True)]
    return [
        gap.join(
            _pad(text, width, column.align)
            for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in [titles, ["-" * width for width in widths], *cells]
    ]


def find_width() -> int | None:
    """Return the columns of the terminal that results go to; None where they go elsewhere."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if is_known else None


def _stack(columns: Sequence[Column], cells: Sequence[Sequence[str]], limit: int) -> str:
    """Write a table whose first cells, long names, stand on lines of their own."""
    rest = [row[1:] for row in cells]
    lines = [f"{_GAP}{line}" for line in _align(columns[1:], rest, _GAP)]
    if max(map(measure, lines)) > limit:
        lines = [f" {line}" for line in _align(columns[1:], rest, " ")]
    head, rule, *rows = lines
    named = [[shorten(row[0], limit), line] for row, line in zip(cells, rows, strict=True)]
    return "\n".join([columns[0].title, head, rule, *chain.from_iterable(named)])


def _fold(columns: Sequence[Column], cells: Sequence[Sequence[str]], limit: int) -> str:
    """Write a table whose cells and titles go on in further lines where it is too wide."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(Text(column.title), justify=column.align, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    stream = io.StringIO()
    Console(file=stream, width=limit, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().splitlines())


def measure(text: str) -> int:
    """Return the columns that a text takes on a terminal; wide characters take two."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def _pad(text: str, width: int, align: str) -> str:
    space = " " * (width - measure(text))
    return space + text if align == "right" else text + space
