"""Verbs about several trainings: ``crossval``, ``compare``, ``ensemble``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from tfclassify import api
from tfclassify.cli.options import (
    Address,
    Backbone,
    Columns,
    Epochs,
    Executor,
    Force,
    ImageSize,
    Json,
    Quiet,
    Set,
    Threads,
    Verbose,
    Workers,
    complete_runs,
)
from tfclassify.cli.output import call, show, to_json
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import (
    count_of,
    format_range,
    format_score,
    title_of,
)

if TYPE_CHECKING:
    from tfclassify.workflows.compare import CompareResult
    from tfclassify.workflows.crossval import CrossvalResult
    from tfclassify.workflows.ensemble import EnsembleResult


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
        str | None,
        typer.Argument(
            help="A recipe, or images: a folder, an archive or a table. With --resume, a "
            "cross-validation may stand here.",
        ),
    ] = None,
    folds: Annotated[
        int, typer.Option("--folds", help="Parts that the images are dealt into.")
    ] = 5,
    repeat: Annotated[
        int, typer.Option("--repeat", help="Times that the images are dealt anew.")
    ] = 1,
    executor: Executor = "here",
    workers: Workers = None,
    threads: Threads = None,
    address: Address = None,
    set: Set = None,
    columns: Columns = None,
    backbone: Backbone = None,
    image_size: ImageSize = None,
    epochs: Epochs = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; default: reports/NAME/cv-NUMBER.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume an interrupted cross-validation.")
    ] = False,
    force: Force = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train on every fold and judge each image by the model that did not train on it."""
    result = call(api.crossval, locals())
    show(_render_crossval(result, as_json=as_json))


def _render_crossval(result: CrossvalResult, *, as_json: bool) -> str:
    """Write what a cross-validation measured."""
    from tfclassify.pages.crossval_page import tabulate_folds

    if as_json:
        return to_json(
            {
                "crossval": str(result.path),
                "report": str(result.report),
                "images": result.images,
                "out_of_fold": result.judgement.to_dict(),
                "over_folds": {name: vars(each) for name, each in result.spreads.items()},
                "folds": [{**vars(row), "metrics": dict(row.metrics)} for row in result.folds],
                "seconds": round(result.seconds, 1),
            }
        )
    from tfclassify.workflows.crossval import list_shown

    metric = result.recipe.metric
    title = title_of(metric, result.recipe.task)
    interval, spread = result.judgement.metrics[metric], result.spreads[metric]
    return "\n".join(
        [
            tabulate_folds(result.folds, list_shown(result.recipe), result.recipe.task).to_text(),
            "",
            f"out of fold: {title} {format_score(metric, interval.value)} "
            f"({format_range(metric, interval)}), {count_of(result.images, 'image')}",
            f"over folds:  {format_score(metric, spread.mean)} ± "
            f"{format_score(metric, spread.deviation)} (mean ± standard deviation)",
            f"folder  {result.path}",
            f"report  {result.report}",
        ]
    )


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Runs and cross-validations, two or more.", autocompletion=complete_runs
        ),
    ],
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
    cost: Annotated[
        bool, typer.Option("--cost/--no-cost", help="Whether to profile the models.")
    ] = True,
    latency: Annotated[bool, typer.Option("--latency", help="Time the models as well.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Say which run is better on the same images, by how much, and at what cost."""
    result = call(api.compare, locals())
    show(_render_compare(result, as_json=as_json))


def _render_compare(result: CompareResult, *, as_json: bool) -> str:
    """Write a comparison."""
    from tfclassify.pages.compare_page import describe_comparison

    if as_json:
        page = str(result.out) if result.out else None
        return to_json({**result.report.to_dict(), "page": page})
    page_line = f"\n\npage  {result.out}" if result.out else ""
    return describe_comparison(result.report) + page_line


def ensemble(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Finished runs, two or more.", autocompletion=complete_runs),
    ],
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
) -> None:
    """Average several runs and pack them into one that is used like any other."""
    run = call(api.ensemble, locals())
    show(_render_ensemble(cast("EnsembleResult", run.result), as_json=as_json))


def _render_ensemble(result: EnsembleResult, *, as_json: bool) -> str:
    """Write what an ensemble is made of and what it gained."""
    from tfclassify.pages.compare_page import describe_scores

    pairs = list(zip(result.members, result.weights, strict=True))
    if as_json:
        members = [{"run": name, "weight": weight} for name, weight in pairs]
        scores = {each.split: each.headline.to_dict() for each in result.verdicts}
        return to_json(
            {
                "run": str(result.run),
                "report": str(result.report),
                "members": members,
                "scores": scores,
                "comparison": result.comparison and result.comparison.to_dict(),
            }
        )
    columns = [Column("member", longest=60), Column("weight", "right")]
    rows = [[name, f"{weight:.3f}" if weight else "left out"] for name, weight in pairs]
    parts = [render_table(columns, rows)]
    if result.comparison is not None:
        parts.append(describe_scores(result.comparison))
    else:
        parts.append("no image was held out by every member, so there is no score")
    return "\n\n".join([*parts, f"run     {result.run}\nreport  {result.report}"])
