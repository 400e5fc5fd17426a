"""Commands about recipes: ``new``, ``schema``, ``backbones``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Json, Quiet, Verbose
from tfclassify.cli.progress import make_observer
from tfclassify.errors import RequestError


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("new", epilog="Example: tfclassify new flowers --data photos/")(new)
    app.command("schema", epilog="Example: tfclassify schema > recipe.schema.json")(schema)
    app.command(
        "backbones", epilog="Example: tfclassify backbones efficientnet_lite0 --export lite0_hub"
    )(backbones)


def new(
    name: Annotated[str, typer.Argument(help="Name of the recipe and of its runs.")],
    data: Annotated[str, typer.Option("--data", help="Folder, archive, CSV or URL.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Recipe to write; default: NAME.yaml.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write a commented recipe that fits the data."""
    from tfclassify.workflows.create import CreateRequest, create_recipe

    observer = make_observer(quiet=quiet, verbose=verbose)
    path = create_recipe(CreateRequest(name, data, out or Path(f"{name}.yaml")), observer)
    typer.echo(f"{path}\nnext: tfclassify check {path} && tfclassify train {path}")


def schema(debug: Debug = False) -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from tfclassify.recipe.reference import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def backbones(
    name: Annotated[
        str | None, typer.Argument(help="Backbone to export; without --export, all are listed.")
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
    debug: Debug = False,
) -> None:
    """List the backbones: parameters, input size, source, weights here; or export one."""
    from tfclassify.cli.render import render_backbones, render_export
    from tfclassify.workflows.backbones import ExportRequest, export_backbone, list_backbones
    from tfclassify.workflows.profile import parse_sizes

    if name is None or export is None:
        if name is not None or export is not None:
            raise RequestError("backbones: NAME and --export FOLDER go together; give both")
        typer.echo(render_backbones(list_backbones(), as_json=as_json))
        return
    size = next(iter(parse_sizes(image_size, None)), None)
    observer = make_observer(quiet=quiet, verbose=verbose)
    result = export_backbone(ExportRequest(name, export, size, weights), observer)
    typer.echo(render_export(result, as_json=as_json))
