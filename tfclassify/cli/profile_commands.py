"""The command that says what a network costs: ``profile``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Quiet, Verbose
from tfclassify.cli.progress import make_observer


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
    """Add the command to the app."""
    app.command("profile", epilog="Example: tfclassify profile resnet50 --no-latency --top 10")(
        profile
    )


def profile(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            help="Backbones, recipes, runs, .keras files, SavedModel folders, TF Hub addresses; "
            "default: the newest run. Several are compared."
        ),
    ] = None,
    image_size: Annotated[
        str | None, typer.Option("--image-size", help="Pixels: 224, or HEIGHTxWIDTH.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images a timed run.")] = 1,
    no_latency: Annotated[
        bool, typer.Option("--no-latency", help="Count only; nothing is run.")
    ] = False,
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
    debug: Debug = False,
) -> None:
    """Show what each layer of a network costs: operations, memory, receptive field, time."""
    from tfclassify.cli.profile_render import render_profiles
    from tfclassify.files import write_text
    from tfclassify.workflows.profile import ProfileRequest, parse_sizes, profile_targets

    request = ProfileRequest(
        tuple(targets or ()),
        parse_sizes(image_size, sweep),
        batch_size,
        not no_latency,
        device,
        depth,
        None if sort is None else sort.value,
        top,
    )
    found = profile_targets(request, make_observer(quiet=quiet, verbose=verbose))
    text = render_profiles(found, format.value)
    if out is None:
        typer.echo(text.rstrip("\n"))
    else:
        write_text(out, text.rstrip("\n") + "\n")
        typer.echo(f"written to {out}")
