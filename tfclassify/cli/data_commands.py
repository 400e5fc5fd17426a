"""Commands that look at data: ``inspect``, ``preview``, ``check``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Json, Quiet, RecipePath, Set, Verbose
from tfclassify.cli.progress import make_observer


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("inspect", epilog="Example: tfclassify inspect photos.zip --html photos.html")(
        inspect
    )
    app.command("preview", epilog="Example: tfclassify preview recipes/plants.yaml --out seen.png")(
        preview
    )
    app.command("check", epilog="Example: tfclassify check recipes/plants.yaml")(check)


def inspect(
    source: Annotated[str, typer.Argument(help="Folder, archive, CSV, URL, or a recipe.")],
    overrides: Set = None,
    html: Annotated[Path | None, typer.Option("--html", help="Page to write.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Show what a data source holds: classes, sizes, colours and bad images."""
    from tfclassify.cli.render import render_inspect_result
    from tfclassify.workflows.inspect import InspectRequest, inspect_source

    observer = make_observer(quiet=quiet, verbose=verbose)
    result = inspect_source(InspectRequest(source, tuple(overrides or ()), html), observer)
    typer.echo(render_inspect_result(result, as_json=as_json))


def preview(
    recipe: RecipePath,
    overrides: Set = None,
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")] = Path("preview.png"),
    images: Annotated[int, typer.Option("--images", min=1, max=64, help="Images shown.")] = 8,
    versions: Annotated[int, typer.Option("--versions", min=1, max=16, help="Versions each.")] = 6,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Draw what the model will see in training."""
    from tfclassify.workflows.preview import PreviewRequest, preview_recipe

    observer = make_observer(quiet=quiet, verbose=verbose)
    request = PreviewRequest(recipe, tuple(overrides or ()), out, images, versions)
    typer.echo(preview_recipe(request, observer))


def check(
    recipe: RecipePath,
    overrides: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Check a recipe and its data, and say what would be trained."""
    from tfclassify.cli.render import render_check_result
    from tfclassify.workflows.check import CheckRequest, check_recipe

    observer = make_observer(quiet=quiet, verbose=verbose)
    result = check_recipe(CheckRequest(recipe, tuple(overrides or ())), observer)
    typer.echo(render_check_result(result, as_json=as_json))
