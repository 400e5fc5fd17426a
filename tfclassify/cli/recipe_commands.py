"""Commands about recipes: ``new``, ``schema``, ``backbones``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Json, Quiet, Verbose
from tfclassify.cli.progress import make_observer


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("new", epilog="Example: tfclassify new flowers --data photos/")(new)
    app.command("schema", epilog="Example: tfclassify schema > recipe.schema.json")(schema)
    app.command("backbones", epilog="Example: tfclassify backbones --json")(backbones)


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


def backbones(as_json: Json = False, debug: Debug = False) -> None:
    """List the backbones: parameters, input size, source, and weights here."""
    from tfclassify.cli.render import render_backbones
    from tfclassify.workflows.backbones import list_backbones

    typer.echo(render_backbones(list_backbones(), as_json=as_json))
