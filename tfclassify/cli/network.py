"""Verbs about networks: ``backbones`` and ``profile``."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfclassify import api
from tfclassify.cli.options import Json, Quiet, Verbose, complete_backbones, complete_runs
from tfclassify.cli.output import call, print_or_write, show, to_json
from tfclassify.pages.tables import Column, render_table

if TYPE_CHECKING:
    from tfclassify.workflows.backbones import BackboneRow, ExportResult
    from tfclassify.workflows.profile import Profiled


class ProfileFormat(StrEnum):
    """Forms of the result."""

    table = "table"
    csv = "csv"
    json = "json"
    html = "html"


class SortKey(StrEnum):
    """What layers are sorted by."""

    macs = "macs"
    flops = "flops"
    params = "params"
    latency = "latency"
    activation = "activation"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "backbones", epilog="Example: tfclassify backbones efficientnet_lite0 --export lite0_hub"
    )(backbones)
    app.command("profile", epilog="Example: tfclassify profile resnet50 --no-latency --top 10")(
        profile
    )


def backbones(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Backbone to export; without --export, all are listed.",
            autocompletion=complete_backbones,
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", help="Write NAME's features to this folder as a hub module."),
    ] = None,
    image_size: Annotated[
        str | None, typer.Option("--image-size", help="Pixels it takes: 160 or 160x192.")
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", help="imagenet, none, or a weight file.")
    ] = "imagenet",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """List the backbones: parameters, input size, source, weights here; or export one."""
    result: tuple[BackboneRow, ...] | ExportResult = call(api.backbones, locals())
    if isinstance(result, tuple):
        show(_render_backbones(result, as_json=as_json))
    else:
        show(_render_export(result, as_json=as_json))


def _render_export(result: ExportResult, *, as_json: bool) -> str:
    """Write where a hub module was written, and how a recipe uses it."""
    if as_json:
        return to_json({**vars(result), "folder": str(result.folder)})
    (height, width), (low, high) = result.image_size, result.input_range
    size = str(height) if height == width else f"[{height}, {width}]"
    return (
        f"{result.folder}: {result.features} features of an image of {height}x{width}\n"
        f"in a recipe: data: {{image_size: {size}}}, "
        f"model: {{backbone: hub:{result.folder}, input_range: [{low:g}, {high:g}]}}"
    )


def _render_backbones(rows: Sequence[BackboneRow], *, as_json: bool) -> str:
    """Write the list of backbones."""
    if as_json:
        return to_json([vars(row) for row in rows])
    columns = [
        Column("name"),
        Column("parameters", "right"),
        Column("input size", "right"),
        Column("source"),
        Column("weights"),
    ]
    return render_table(
        columns,
        [
            [
                row.name,
                f"{row.parameters / 1e6:.1f} M" if row.parameters else "",
                " x ".join(map(str, row.image_size)),
                row.source,
                _say_weights(row),
            ]
            for row in rows
        ],
    )


def _say_weights(row: BackboneRow) -> str:
    if row.parameters is None:
        return "none"
    return "here" if row.has_weights_here else "download"


def profile(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Backbones, recipes, runs, .keras files, SavedModel folders, TF Hub addresses; "
            "default: the newest run. Several are compared.",
            autocompletion=lambda incomplete: [
                *complete_backbones(incomplete),
                *complete_runs(incomplete),
            ],
        ),
    ] = None,
    image_size: Annotated[
        str | None, typer.Option("--image-size", help="Pixels: 224, or HEIGHTxWIDTH.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images a timed run.")] = 1,
    latency: Annotated[
        bool, typer.Option("--latency/--no-latency", help="Whether to time it; else count only.")
    ] = True,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, gpu:0, ...; default: a GPU if there is.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option("--depth", min=1, help="Fold layers to this depth: 1 for blocks.")
    ] = None,
    sort: Annotated[
        SortKey | None, typer.Option("--sort", help="Most expensive first, by.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="Show the n most expensive layers.")
    ] = None,
    sweep: Annotated[
        str | None,
        typer.Option("--sweep", metavar="image_size=A,B", help="One profile for each size."),
    ] = None,
    format: Annotated[
        ProfileFormat, typer.Option("--format", help="table, csv, json or html.")
    ] = ProfileFormat.table,
    out: Annotated[Path | None, typer.Option("--out", help="File to write.")] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what each layer of a network costs: operations, memory, receptive field, time."""
    found = call(api.profile, locals())
    networks = found if isinstance(found, tuple) else (found,)
    print_or_write(_render_profiles(networks, format.value), out)


def _render_profiles(found: Sequence[Profiled], form: str) -> str:
    """Write profiles as ``table``, ``csv``, ``json`` or ``html``."""
    from tfclassify.pages.profile_page import (
        render_networks,
        render_profile,
        render_profile_page,
        write_layers_csv,
        write_networks_csv,
    )
    from tfclassify.workflows.profile import describe_network

    if form == "json":
        contents = [each.profile.to_dict(each.layers) for each in found]
        return to_json(contents[0] if len(contents) == 1 else contents)
    networks = [describe_network(each, is_whole=form == "html") for each in found]
    if form == "html":
        from tfclassify.pages.rendering import format_now

        return render_profile_page(networks, created=format_now())
    of_one, of_several = (
        (render_profile, render_networks)
        if form == "table"
        else (write_layers_csv, write_networks_csv)
    )
    return of_one(networks[0]) if len(networks) == 1 else of_several(networks)
