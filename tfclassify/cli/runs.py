"""The verb that looks at runs as such: ``runs``."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, Verbose
from tfclassify.cli.output import call, show, to_json
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import (
    count_of,
    format_bytes,
    format_range,
    format_score,
    format_seconds,
    title_of,
)

if TYPE_CHECKING:
    from tfclassify.runs.documents import Score
    from tfclassify.workflows.runs import RunRow, RunsResult


class SortKey(StrEnum):
    """What runs are sorted by."""

    date = "date"
    name = "name"
    score = "score"
    time = "time"
    size = "size"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("runs", epilog="Example: tfclassify runs reports/plants --sort score")(runs)


def runs(
    where: Annotated[str, typer.Argument(help="A folder of runs, or one of them.")] = "reports",
    sort: Annotated[SortKey, typer.Option("--sort", help="Newest, best, … first.")] = SortKey.date,
    clean: Annotated[
        bool, typer.Option("--clean", help="Drop from finished runs what only resuming needs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --clean: only say what would be dropped.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List runs with scores, training times and sizes; show one; drop what is not needed."""
    result = call(api.runs, locals())
    if as_json:
        typer.echo(to_json({"runs": [_to_facts(row) for row in result.rows], **_freed(result)}))
        return
    show(_render(result, where))
    if clean:
        verb = "would be freed" if dry_run else "freed"
        typer.echo(f"{format_bytes(result.freed_bytes)} {verb}")


def _render(result: RunsResult, where: str) -> str:
    if not result.rows:
        return f"{where}: no runs yet; `tfclassify train` makes one"
    columns = [
        Column("run"),
        Column("begun"),
        Column("score"),
        Column("on"),
        Column("epochs", "right"),
        Column("training", "right"),
        Column("size", "right"),
    ]
    table = render_table(columns, [_to_cells(row) for row in result.rows])
    odd = [f"{row.path}: {row.status}" for row in result.rows if row.status != "finished"]
    lines = [table, *odd]
    if result.shown is not None:
        for split, scores in result.shown.splits.items():
            for name, score in scores.headline.metrics.items():
                lines.append(f"{split}: {title_of(name)} {_say(name, score)}")
    return "\n".join(lines)


def _to_cells(row: RunRow) -> tuple[object, ...]:
    seconds = None if row.training_seconds is None else format_seconds(row.training_seconds)
    score, judged_on = "–", ""
    if row.score is not None:
        score = f"{title_of(row.score.metric)} {_say(row.score.metric, row.score)}"
        judged_on = f"{row.score.split}, {count_of(row.score.n, 'image')}"
    begun = row.date.strftime("%Y-%m-%d %H:%M")
    return row.path, begun, score, judged_on, row.epochs, seconds, format_bytes(row.size_bytes)


def _say(name: str, score: Score) -> str:
    from tfclassify.scoring.intervals import Interval

    value = format_score(name, score.value)
    if score.value is None or score.low is None or score.high is None:
        return value
    return f"{value} ({format_range(name, Interval(score.value, score.low, score.high, score.n))})"


def _to_facts(row: RunRow) -> dict[str, Any]:
    return {
        "path": str(row.path),
        "kind": row.kind,
        "status": row.status,
        "date": row.date.isoformat(timespec="seconds"),
        "score": None if row.score is None else row.score.model_dump(),
        "epochs": row.epochs,
        "training_seconds": row.training_seconds,
        "size_bytes": row.size_bytes,
        "state_bytes": row.state_bytes,
    }


def _freed(result: RunsResult) -> dict[str, int]:
    return {"freed_bytes": result.freed_bytes}
