"""Commands about several trainings: ``crossval``, ``compare``, ``ensemble``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Force, Json, Quiet, Set, Verbose
from tfclassify.cli.progress import make_observer


class Against(StrEnum):
    """What the others are set against."""

    first = "first"
    best = "best"


class Split(StrEnum):
    """Images that runs hold out."""

    validation = "validation"
    test = "test"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "crossval", epilog="Example: tfclassify crossval recipes/clothing_lite.yaml --folds 5"
    )(crossval)
    app.command(
        "compare", epilog="Example: tfclassify compare reports/plants/001 reports/plants/002"
    )(compare)
    app.command(
        "ensemble", epilog="Example: tfclassify ensemble reports/plants/001 reports/plants_lite/001"
    )(ensemble)


def crossval(
    recipe: Annotated[
        Path | None,
        typer.Argument(help="A recipe; with --resume, a cross-validation may stand here."),
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Parts that the images are dealt into.")
    ] = 5,
    repeat: Annotated[
        int, typer.Option("--repeat", help="Times that the images are dealt anew.")
    ] = 1,
    overrides: Set = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; default: reports/NAME/cv-NUMBER.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted cross-validation.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train on every fold and judge each image by the model that did not train on it."""
    from tfclassify.cli.several_render import render_crossval_result
    from tfclassify.workflows.crossval import CrossvalRequest, crossval_recipe, resume_crossval

    observer = make_observer(quiet=quiet, verbose=verbose)
    if resume:
        result = resume_crossval(recipe, out, overrides or (), observer, force=force)
    else:
        if recipe is None:
            raise typer.BadParameter("give a recipe, such as recipes/quickstart.yaml")
        request = CrossvalRequest(recipe, folds, repeat, tuple(overrides or ()), out)
        result = crossval_recipe(request, observer)
    typer.echo(render_crossval_result(result, as_json=as_json))


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Runs and cross-validations, two or more.")],
    out: Annotated[Path | None, typer.Option("--out", help="Page to write, .html.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Score to compare; default: the first run's.")
    ] = None,
    against: Annotated[
        Against, typer.Option("--against", help="What the others are set against.")
    ] = Against.first,
    split: Annotated[
        Split | None, typer.Option("--split", help="Images judged on; default: test, if all have.")
    ] = None,
    allow_different_images: Annotated[
        bool,
        typer.Option("--allow-different-images", help="Compare runs judged on different images."),
    ] = False,
    no_cost: Annotated[bool, typer.Option("--no-cost", help="Do not profile the models.")] = False,
    latency: Annotated[bool, typer.Option("--latency", help="Time the models as well.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Say which run is better on the same images, by how much, and at what cost."""
    from tfclassify.cli.several_render import render_compare_result
    from tfclassify.workflows.compare import CompareRequest, compare_runs

    request = CompareRequest(
        tuple(runs),
        metric,
        None if split is None else split.value,
        against.value,
        allow_different_images,
        not no_cost,
        latency,
        out,
    )
    result = compare_runs(request, make_observer(quiet=quiet, verbose=verbose))
    typer.echo(render_compare_result(result, as_json=as_json))


def ensemble(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs, two or more.")],
    weights: Annotated[
        str, typer.Option("--weights", help="search (on validation), equal, or numbers: 2,1,1.")
    ] = "search",
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; default: the first's _ensemble.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; default: reports/NAME/NUMBER.")
    ] = None,
    allow_different_images: Annotated[
        bool,
        typer.Option(
            "--allow-different-images", help="Judge by the images that all members held out."
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Average several runs and pack them into one that is used like any other."""
    from tfclassify.cli.several_render import render_ensemble_result
    from tfclassify.workflows.ensemble import EnsembleRequest, ensemble_runs

    request = EnsembleRequest(tuple(runs), weights, name, allow_different_images, out)
    result = ensemble_runs(request, make_observer(quiet=quiet, verbose=verbose))
    typer.echo(render_ensemble_result(result, as_json=as_json))
