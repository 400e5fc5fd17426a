"""Tables of plain text, for terminals and logs.

Owns: alignment and the tables that several commands print. Does not own: which
command prints which (``cli``), HTML tables (``markup``).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from tfclassify.pages.content import DataSummary, Integrity
from tfclassify.pages.wording import (
    clean_text,
    count_of,
    format_count,
    format_range,
    format_score,
    shorten,
    title_of,
    title_of_finding,
)
from tfclassify.scoring.judgement import Judgement
from tfclassify.scoring.verdicts import AnyJudgement

#: Space between two columns.
_GAP = "  "


@dataclass(frozen=True)
class Column:
    """One column of a table.

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
        The lines, without trailing spaces and without a final newline.
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
    rule = ["-" * width for width in widths]
    return "\n".join(
        _GAP.join(
            _pad(text, width, column.align)
            for text, width, column in zip(line, widths, columns, strict=True)
        ).rstrip()
        for line in [titles, rule, *cells]
    )


def measure(text: str) -> int:
    """Return the columns that a text takes on a terminal; wide characters take two."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )


def _pad(text: str, width: int, align: str) -> str:
    space = " " * (width - measure(text))
    return space + text if align == "right" else text + space


def tabulate_metrics(judgement: AnyJudgement, tta: AnyJudgement | None = None) -> str:
    """Write every metric with its interval, with and without views side by side."""
    columns = [
        Column("metric"),
        Column("value", "right"),
        Column(_interval_title(judgement), "right"),
    ]
    if tta is not None:
        columns += [Column("with views", "right"), Column(_interval_title(tta), "right")]
    rows = []
    for name in judgement.metrics:
        if name.startswith("top_") and int(name.removeprefix("top_")) >= len(judgement.classes):
            continue
        row = [title_of(name, judgement.task)]
        for verdict in (judgement, tta):
            if verdict is not None:
                value = verdict.metrics[name]
                row += [format_score(name, value.value), format_range(name, value)]
        rows.append(row)
    groups = "" if judgement.groups is None else f" in {count_of(judgement.groups, 'group')}"
    return f"{render_table(columns, rows)}\n{count_of(judgement.n, 'image')}{groups}"


def _interval_title(judgement: AnyJudgement) -> str:
    level = next(iter(judgement.metrics.values())).level
    return f"{100 * level:.0f} % interval"


def tabulate_classes(judgement: Judgement) -> str:
    """Write precision, recall and F1 of each class, recall with its interval."""
    columns = [
        Column("class", longest=32),
        Column("images", "right"),
        Column("precision", "right"),
        Column("recall", "right"),
        Column("interval", "right"),
        Column("F1", "right"),
    ]
    rows = [
        [
            row.name,
            format_count(row.support),
            format_score("precision", row.precision.value),
            format_score("recall", row.recall.value),
            format_range("recall", row.recall),
            format_score("f1", row.f1.value),
        ]
        for row in judgement.class_scores
    ]
    return render_table(columns, rows)


def tabulate_confusions(judgement: Judgement, limit: int = 5) -> str:
    """Write the most frequent confusions; one sentence if there are none."""
    pairs = judgement.top_confusions(limit)
    if not pairs:
        return "No image was mistaken."
    columns = [
        Column("true class", longest=32),
        Column("predicted as", longest=32),
        Column("images", "right"),
    ]
    return render_table(columns, pairs)


def tabulate_data(data: DataSummary) -> str:
    """Write the images of each class by split, with their sums."""
    splits = data.splits
    is_split = splits != ["all"]
    columns = [Column("class", longest=32)]
    columns += [Column(split, "right") for split in splits if is_split]
    columns.append(Column("images", "right"))
    rows: list[tuple[str, list[int]]] = []
    for number, name in enumerate(data.classes):
        counts = [data.counts[split][number] for split in splits]
        rows.append((name, [*(counts if is_split else []), sum(counts)]))
    sums = [data.total(split) for split in splits]
    rows.append(
        ("all images" if data.is_multi_label else "all", [*(sums if is_split else []), sum(sums)])
    )
    return render_table(columns, [[name, *map(format_count, counts)] for name, counts in rows])


def tabulate_integrity(integrity: Integrity, listed: int = 10) -> str:
    """Write the findings by kind, then the first few images of each.

    Args:
        integrity: What was found.
        listed: Images named for each kind; the index holds them all.
    """
    checked = count_of(integrity.checked, "image")
    if not integrity.rows:
        return f"{checked} checked: all readable, nothing to remark."
    counts = Counter((row.severity, row.kind) for row in integrity.rows)
    columns = [Column("finding"), Column("outcome"), Column("number", "right")]
    ordered = sorted(counts, key=lambda key: key[0])
    rows = [[title_of_finding(key[1]), key[0], counts[key]] for key in ordered]
    parts = [f"{checked} checked, {integrity.quarantined} quarantined", render_table(columns, rows)]
    for severity, kind in ordered:
        found = [r for r in integrity.rows if (r.severity, r.kind) == (severity, kind)]
        lines = [
            "  " + ": ".join(clean_text(text) for text in (row.image, row.detail) if text)
            for row in found[:listed]
        ]  # fmt: skip
        more = len(found) - listed
        lines += [f"  and {format_count(more)} more"] if more > 0 else []
        parts.append("\n".join([f"{title_of_finding(kind)} ({severity}):", *lines]))
    return "\n\n".join(parts)
