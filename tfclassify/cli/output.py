"""What several commands print on standard output."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tfclassify.pages.tables import find_width
from tfclassify.pages.wording import count_of, format_range, format_score, title_of

if TYPE_CHECKING:
    from tfclassify.scoring.verdicts import Verdict


def to_json(content: Any) -> str:
    """Write a result for programs."""
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def show(text: str) -> None:
    """Print a result; what is too wide for the terminal goes on in further lines.

    A fact goes on below its text, which stands behind its name. A row of a table stays
    whole, and so does what holds a word that fits nowhere, and JSON.
    """
    limit = None if text.startswith(("{", "[")) else find_width()
    lines = []
    for line in text.splitlines():
        is_row = len(re.findall(r"\S  +(?=\S)", line)) > 1
        if (
            limit is None
            or len(line.rstrip()) <= limit
            or is_row
            or max(map(len, line.split())) > limit
        ):
            lines.append(line)
            continue
        name = re.match(r"\S+( \S+)*  +(?=\S)", line)
        indent = " " * (len(name[0]) if name and len(name[0]) < limit // 2 else 0)
        lines += textwrap.wrap(
            line,
            limit,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
            replace_whitespace=False,
        )
    typer.echo("\n".join(lines))


def print_or_write(text: str, out: Path | None) -> None:
    """Write a text to standard output, or to a file and say so."""
    from tfclassify.files import write_text

    text = text.rstrip("\n")
    if out is None:
        show(text)
    else:
        write_text(out, f"{text}\n")
        typer.echo(f"written to {out}")


def say_score(verdict: Verdict, metric: str) -> str:
    """Write the headline of one judged split."""
    parts = []
    for judgement, views in ((verdict.plain, 1), (verdict.tta, len(verdict.views))):
        if judgement is None:
            continue
        interval = judgement.metrics[metric]
        bounds = ", ".join([format_range(metric, interval), *interval.remarks])
        shown = f"{format_score(metric, interval.value)} ({bounds})"
        parts.append(f"{shown} with {views} views" if views > 1 else shown)
    name = title_of(metric)
    return f"{verdict.split}: {name} {', '.join(parts)}, {count_of(verdict.plain.n, 'image')}"


def say_scores(verdicts: Sequence[Verdict], metric: str) -> list[str]:
    """Write the headline of each judged split, and what the last one must warn of."""
    lines = [say_score(verdict, metric) for verdict in verdicts]
    return lines + [verdict.caution for verdict in verdicts[-1:] if verdict.caution]


def list_score_facts(verdict: Verdict) -> dict[str, Any]:
    """Return the scores of one judged split for programs."""
    return {
        "split": verdict.split,
        "views": list(verdict.views),
        "plain": verdict.plain.to_dict(),
        "tta": verdict.tta.to_dict() if verdict.tta else None,
        "caution": verdict.caution,
    }
