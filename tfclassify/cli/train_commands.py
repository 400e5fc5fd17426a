"""Commands that train: ``train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Force, Json, Quiet, Set, Verbose
from tfclassify.cli.progress import make_observer


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("train", epilog="Example: tfclassify train recipes/plants.yaml --set seed=1")(train)


def train(
    recipe: Annotated[
        Path | None, typer.Argument(help="A recipe; with --resume, a run may stand here.")
    ] = None,
    overrides: Set = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; default: reports/NAME/NUMBER.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Train by a recipe, judge the model and write the run's report."""
    from tfclassify.cli.render import render_train_result
    from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe

    observer = make_observer(quiet=quiet, verbose=verbose)
    if resume:
        result = resume_training(recipe, out, overrides or (), observer, force=force)
    else:
        if recipe is None:
            raise typer.BadParameter("give a recipe, such as recipes/quickstart.yaml")
        result = train_recipe(TrainRequest(recipe, tuple(overrides or ()), out), observer)
    typer.echo(render_train_result(result, as_json=as_json))
