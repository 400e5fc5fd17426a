"""Verbs that take images, and what a recipe may say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfclassify import api
from tfclassify.cli.options import Columns, Json, Quiet, Set, Verbose
from tfclassify.cli.output import call, show, to_json
from tfclassify.files import to_plain
from tfclassify.pages.wording import count_of, format_bytes

if TYPE_CHECKING:
    from tfclassify.workflows.inspect import InspectResult
    from tfclassify.workflows.pack import PackResult


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("inspect", epilog="Example: tfclassify inspect photos.zip --html photos.html")(
        inspect
    )
    app.command("new", epilog="Example: tfclassify new flowers --data photos/")(new)
    app.command("pack", epilog="Example: tfclassify pack photos/ --out shards/")(pack)
    app.command("schema", epilog="Example: tfclassify schema > recipe.schema.json")(schema)


def inspect(
    source: Annotated[str, typer.Argument(help="Folder, archive, CSV, URL, or a recipe.")],
    set: Set = None,
    columns: Columns = None,
    html: Annotated[Path | None, typer.Option("--html", help="Page to write.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what a data source holds: classes, sizes, colours and bad images."""
    result = call(api.inspect, locals())
    show(_render_inspect(result, as_json=as_json))


def _render_inspect(result: InspectResult, *, as_json: bool) -> str:
    """Write what a source holds."""
    from tfclassify.pages.data_page import describe_integrity, describe_label_sets

    statistics = result.statistics
    if as_json:
        return to_json(
            {
                "source": result.data.source,
                "classes": list(result.data.classes),
                "counts": {name: list(counts) for name, counts in result.data.counts.items()},
                "images": {name: result.data.total(name) for name in result.data.counts},
                "remarks": list(result.remarks),
                "statistics": statistics.to_dict(),
                "quarantined": result.integrity.quarantined,
                "findings": [vars(row) for row in result.integrity.rows],
            }
        )
    colours = statistics.colours
    channels = ("red", "green", "blue")
    pairs = zip(channels, colours.mean, colours.std, strict=True)
    facts = [
        f"width   {_say_spread(statistics.width)}",
        f"height  {_say_spread(statistics.height)}",
        "colours "
        + ", ".join(f"{name} {mean:.0f} ± {std:.0f}" for name, mean, std in pairs)
        + f" (mean ± standard deviation of 0..255, {count_of(colours.images, 'image')})",
    ]
    if statistics.flags:
        marks = (f"{name} {count:,}" for name, count in statistics.flags.items())
        facts.append(f"marks   {', '.join(marks)}")
    parts = ["\n".join(result.remarks)] if result.remarks else []
    parts += [result.data.table.to_text(), "\n".join(facts)]
    if statistics.label_sets is not None:
        parts.insert(-1, describe_label_sets(statistics.label_sets))
    parts.append(describe_integrity(result.integrity))
    if result.html:
        parts.append(f"page  {result.html}")
    return "\n\n".join(parts)


def _say_spread(spread: Any) -> str:
    return f"{spread.low:.0f} to {spread.high:.0f} pixels, median {spread.median:.0f}"


def new(
    name: Annotated[str, typer.Argument(help="Name of the recipe and of its runs.")],
    data: Annotated[str, typer.Option("--data", help="Folder, archive, CSV or URL.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Recipe to write; default: NAME.yaml.")
    ] = None,
    columns: Columns = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write a commented recipe that fits the data."""
    path = call(api.new, locals())
    if not quiet:
        header = path.read_text("utf-8").partition("\n#\n")[0]
        typer.echo(header.replace("# ", "", 1).replace("\n#", "\n"))
    typer.echo(f"{path}\nnext: tfclassify check {path} && tfclassify train {path}")


def pack(
    source: Annotated[str, typer.Argument(help="Folder, archive, CSV, URL, or a recipe.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of shards to write.")],
    set: Set = None,
    columns: Columns = None,
    shard_mb: Annotated[
        int, typer.Option("--shard-mb", help="Megabytes at which a shard is closed.")
    ] = 256,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Pack images, their labels, groups and splits into few large TFRecord files."""
    result = call(api.pack, locals())
    show(_render_pack(result, as_json=as_json))


def _render_pack(result: PackResult, *, as_json: bool) -> str:
    if as_json:
        return to_json(to_plain(vars(result)))
    lines = [
        *result.remarks,
        f"{result.out}: {count_of(result.images, 'image')} in {count_of(result.shards, 'shard')}, "
        f"{format_bytes(result.size_bytes)}",
        f"next: tfclassify train {result.out}, or data.source: {result.out} in a recipe",
    ]
    return "\n".join(lines)


def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    typer.echo(json.dumps(api.schema(), indent=2))
