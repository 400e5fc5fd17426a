"""Commands that use a run: ``evaluate``, ``predict``, ``submit``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tfclassify.cli.options import Debug, Json, Quiet, RunPath, Tta, Verbose
from tfclassify.cli.progress import make_observer


class PredictionFormat(StrEnum):
    """What a table of predictions holds."""

    full = "full"
    simple = "simple"


class SubmissionFormat(StrEnum):
    """Kinds of submission."""

    codalab = "codalab"
    csv = "csv"


class SubmissionValues(StrEnum):
    """What a CSV submission holds."""

    labels = "labels"
    probabilities = "probabilities"


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        "evaluate", epilog="Example: tfclassify evaluate reports/plants/001 --data photos/ --tta"
    )(evaluate)
    app.command(
        "predict", epilog="Example: tfclassify predict reports/plants/001 photos/ --out p.csv"
    )(predict)
    app.command("submit", epilog="Example: tfclassify submit reports/plants/001 --format codalab")(
        submit
    )


def evaluate(
    run: RunPath,
    data: Annotated[
        str | None, typer.Option("--data", help="Labelled images; default: the run's held-out.")
    ] = None,
    tta: Tta = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for metrics.json and report.html.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Judge a run's model on its held-out images, or on others."""
    from tfclassify.cli.render import render_evaluate_result
    from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run

    observer = make_observer(quiet=quiet, verbose=verbose)
    result = evaluate_run(EvaluateRequest(run, data, tta, out), observer)
    typer.echo(render_evaluate_result(result, as_json=as_json))


def predict(
    run: RunPath,
    paths: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    tta: Tta = None,
    out: Annotated[Path | None, typer.Option("--out", help="CSV to write.")] = None,
    format: Annotated[
        PredictionFormat, typer.Option("--format", help="simple: only filename and label.")
    ] = PredictionFormat.full,
    top: Annotated[int, typer.Option("--top", min=1, help="Classes shown for an image.")] = 3,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Apply the temperature fitted on validation.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Predict the classes of images; unreadable files are listed with their fault."""
    from tfclassify.cli.render import render_predict_result
    from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run

    observer = make_observer(quiet=quiet, verbose=verbose)
    is_simple = format is PredictionFormat.simple
    request = PredictRequest(run, tuple(paths), tta, out, top, calibrated, is_simple)
    result = predict_paths_of_run(request, observer)
    typer.echo(render_predict_result(result, as_json=as_json))


def submit(
    run: RunPath,
    format: Annotated[SubmissionFormat, typer.Option("--format", help="Kind of submission.")],
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder of images to predict (csv).")
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--template", help="sample_submission.csv to fill in (csv).")
    ] = None,
    values: Annotated[
        SubmissionValues, typer.Option("--values", help="labels or probabilities (csv).")
    ] = SubmissionValues.labels,
    tta: Tta = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: in the run folder.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Write a submission that was run and checked in a fresh process."""
    from tfclassify.cli.render import render_submit_result
    from tfclassify.workflows.submit import SubmitRequest, submit_run

    observer = make_observer(quiet=quiet, verbose=verbose)
    request = SubmitRequest(run, format.value, images, template, values.value, tta, out)
    typer.echo(render_submit_result(submit_run(request, observer), as_json=as_json))
