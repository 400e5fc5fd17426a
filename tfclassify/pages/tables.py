"""Tables of results, the same on a page and on a terminal.

Owns: what a table is, and its form as plain text. Does not own: what stands in one (each
page's module), its form as HTML (``templates/macros.html``).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple

from tfclassify.pages.wording import clean_text, format_range, format_score, shorten

if TYPE_CHECKING:
    from tfclassify.scoring.intervals import Interval

#: Space between two columns.
_GAP = "  "

#: Characters of a long name; where fewer are left for long names, they stand above their rows.
_LEAST_NAME = 24

#: The space between a number and its unit.
_UNIT = re.compile(r"(?<=[0-9]) (?=%|(?:[kMGT]?i?B|[kMGT]|ms|s|min|h)\b)")


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
    limit = find_width()
    natural = _measure_columns(columns, cells)
    if limit is None or sum(natural) + len(_GAP) * (len(natural) - 1) <= limit:
        return "\n".join(_align(columns, cells, natural, _GAP))
    if natural[0] >= _LEAST_NAME > limit - sum(natural[1:]) - len(natural) + 1 >= 0:
        return _stack(columns, cells, limit)
    for gap in (_GAP, " "):
        widths = _narrow(columns, cells, natural, limit - len(gap) * (len(natural) - 1))
        if widths is not None:
            return "\n".join(_align(columns, cells, widths, gap))
    return _stack(columns, cells, limit)


def _measure_columns(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    titles = [column.title for column in columns]
    return [max(map(measure, texts)) for texts in zip(titles, *cells, strict=True)]


def _narrow(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], natural: Sequence[int], room: int
) -> list[int] | None:
    """Take room from the widest columns, none below its longest word; None if it is too little."""
    titles = [column.title for column in columns]
    longest = [
        max(measure(word) for text in texts for word in _glue(text).split(" "))
        for texts in zip(titles, *cells, strict=True)
    ]
    if sum(longest) > room:
        return None
    widths = list(natural)
    while sum(widths) > room:
        spare = [wide - least for wide, least in zip(widths, longest, strict=True)]
        widths[max(range(len(widths)), key=lambda at: (spare[at] > 0, widths[at]))] -= 1
    return widths


def _glue(text: str) -> str:
    """Tie a number to its unit, so that a line does not end between the two."""
    return _UNIT.sub("\u00a0", text)


def _align(
    columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int], gap: str
) -> list[str]:
    """Return the lines of the headings, the rule and the rows, folded at words where needed."""
    titles = [column.title for column in columns]
    lines = []
    for row in [titles, ["-" * width for width in widths], *cells]:
        parts = [
            textwrap.wrap(_glue(text), width, break_long_words=False, break_on_hyphens=False)
            if measure(text) > width
            else [text]
            for text, width in zip(row, widths, strict=True)
        ]
        for line in zip_longest(*parts, fillvalue=""):
            padded = (
                _pad(text.replace("\u00a0", " "), width, column.align)
                for text, width, column in zip(line, widths, columns, strict=True)
            )
            lines.append(gap.join(padded).rstrip())
    return lines


def find_width() -> int | None:
    """Return the columns of the terminal that results go to; None where they go elsewhere."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if is_known else None


def _stack(columns: Sequence[Column], cells: Sequence[Sequence[str]], limit: int) -> str:
    """Write the first cell of each row on a line of its own, and below it the others.

    They take further lines, in columns as well, where they are too many for one.
    """
    widths = _measure_columns(columns, cells)
    bands, gap = _deal_columns(widths, limit - len(_GAP), _GAP), _GAP
    if len(bands) > 1 and len(_deal_columns(widths, limit - 1, " ")) == 1:
        bands, gap = [range(1, len(widths))], " "
    parts = [
        [
            gap + line
            for line in _align(
                [columns[at] for at in band],
                [[row[at] for at in band] for row in cells],
                [widths[at] for at in band],
                gap,
            )
        ]
        for band in bands
    ]
    rule = max((part[1] for part in parts), key=len)
    lines = [columns[0].title, *(part[0] for part in parts), rule]
    for number, row in enumerate(cells, start=2):
        lines += [shorten(row[0], limit), *(part[number] for part in parts)]
    return "\n".join(lines)


def _deal_columns(widths: Sequence[int], room: int, gap: str) -> list[range]:
    """Deal all columns but the first into lines, each as full as it goes."""
    starts, used = [1], 0
    for at in range(1, len(widths)):
        if used and used + len(gap) + widths[at] > room:
            starts.append(at)
            used = 0
        used += widths[at] + (len(gap) if used else 0)
    return [range(one, two) for one, two in zip(starts, [*starts[1:], len(widths)], strict=True)]


def measure(text: str) -> int:
    """Return the columns that a text takes on a terminal; wide characters take two."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def _pad(text: str, width: int, align: str) -> str:
    space = " " * (width - measure(text))
    return space + text if align == "right" else text + space
