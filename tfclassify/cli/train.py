"""Verbs that take a recipe: ``train``, ``check``, ``lr``, ``preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from tfclassify import api
from tfclassify.cli.options import (
    Backbone,
    Columns,
    Epochs,
    Force,
    ImageSize,
    Json,
    Quiet,
    Recipe,
    Set,
    Verbose,
)
from tfclassify.cli.output import call, list_score_facts, say_scores, show, to_json
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of, format_seconds

if TYPE_CHECKING:
    from tfclassify.workflows.check import CheckResult
    from tfclassify.workflows.lr import LrResult
    from tfclassify.workflows.train import TrainResult


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("train", epilog="Example: tfclassify train recipes/plants.yaml --set seed=1")(train)
    app.command("check", epilog="Example: tfclassify check recipes/plants.yaml")(check)
    app.command("lr", epilog="Example: tfclassify lr recipes/plants_lite.yaml --phase whole")(lr)
    app.command("preview", epilog="Example: tfclassify preview recipes/plants.yaml --out seen.png")(
        preview
    )


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe, or images: a folder, an archive or a table, which get a recipe that "
            "fits them. With --resume, a run may stand here.",
        ),
    ] = None,
    set: Set = None,
    columns: Columns = None,
    backbone: Backbone = None,
    image_size: ImageSize = None,
    epochs: Epochs = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time",
            help="What it may take, such as 30m: epochs are fitted; for images without a recipe "
            "the backbone and the image size are chosen.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; default: reports/NAME/NUMBER.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")] = False,
    force: Force = False,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep the state though the run is finished.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train on images or by a recipe, judge the model and write the run's report."""
    run = call(api.train, locals())
    show(_render_train(cast("TrainResult", run.result), as_json=as_json))


def _render_train(result: TrainResult, *, as_json: bool) -> str:
    """Write what a training left."""
    if as_json:
        return to_json(
            {
                "run": str(result.run),
                "report": str(result.report),
                "epochs": result.epochs,
                "seconds": round(result.seconds, 1),
                "scores": [list_score_facts(verdict) for verdict in result.verdicts],
            }
        )
    lines = say_scores(result.verdicts, result.recipe.metric)
    if not lines:
        lines = ["trained on all images; none was held out to judge by"]
    lines += [
        f"{count_of(result.epochs, 'epoch')} in {format_seconds(result.seconds)}",
        f"run     {result.run}",
        f"report  {result.report}",
    ]
    return "\n".join(lines)


def check(
    recipe: Recipe,
    set: Set = None,
    columns: Columns = None,
    backbone: Backbone = None,
    image_size: ImageSize = None,
    epochs: Epochs = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Check a recipe and its data, and say what would be trained."""
    result = call(api.check, locals())
    show(_render_check(result, as_json=as_json))


def _render_check(result: CheckResult, *, as_json: bool) -> str:
    """Write what would be trained."""
    from tfclassify.pages.data_page import describe_integrity, summarise_data
    from tfclassify.recipe.model_schema import name_backbones

    data = summarise_data(result.index, result.recipe.data.source)
    integrity = result.integrity
    if as_json:
        return to_json(
            {
                "recipe": result.recipe.name,
                "parameters": result.parameters,
                "classes": list(data.classes),
                "counts": {name: list(counts) for name, counts in data.counts.items()},
                "quarantined": integrity.quarantined,
                "phases": [vars(phase) for phase in result.phases],
            }
        )
    total = sum(phase.seconds_at_most for phase in result.phases)
    return "\n\n".join(
        [
            data.table.to_text(),
            describe_integrity(integrity),
            f"{name_backbones(result.recipe.model)}: {result.parameters:,} parameters",
            _tabulate_planned(result),
            f"roughly {format_seconds(total)} at most on this machine, timed on a few steps",
        ]
    )


def _tabulate_planned(result: CheckResult) -> str:
    """Write what each phase would train, and for how long."""
    columns = [Column("phase")]
    columns += [
        Column(title, "right")
        for title in (
            "epochs at most",
            "steps",
            "trained parameters",
            "features",
            "an epoch",
            "at most",
        )
    ]
    rows = [
        [
            phase.name,
            phase.epochs,
            phase.steps,
            f"{phase.trainable_parameters:,}",
            format_seconds(phase.seconds_caching) if phase.seconds_caching else "",
            format_seconds(phase.seconds_per_epoch),
            format_seconds(phase.seconds_at_most),
        ]
        for phase in result.phases
    ]
    return render_table(columns, rows)


def lr(
    recipe: Recipe,
    phase: Annotated[
        str | None, typer.Option("--phase", help="Name of the phase; default: the first.")
    ] = None,
    lowest: Annotated[float, typer.Option("--lowest", help="The first learning rate.")] = 1e-7,
    highest: Annotated[float, typer.Option("--highest", help="The last one.")] = 1.0,
    steps: Annotated[int, typer.Option("--steps", help="Updates.")] = 100,
    set: Set = None,
    columns: Columns = None,
    backbone: Backbone = None,
    image_size: ImageSize = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write; default: lr.html.")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Raise the learning rate from update to update, and read off a good one."""
    result = call(api.lr, locals())
    show(_render_lr(result, as_json=as_json))


def _render_lr(result: LrResult, *, as_json: bool) -> str:
    """Write what a range test suggests."""
    test = result.test
    if as_json:
        content = {"phase": result.phase, "key": result.key, **vars(test)}
        content |= {"caution": result.caution, "report": result.report}
        from tfclassify.files import to_plain

        return to_json(to_plain(content))
    lines = [f"{result.phase}: {count_of(len(test.rates), 'update')}"]
    if test.suggestion is not None:
        told = "a tenth of the rate with the lowest loss"
        lines.append(f"{result.key}  {test.suggestion:.2g}  ({told})")
    lines += [result.caution] if result.caution else []
    return "\n".join([*lines, f"report  {result.report}"])


def preview(
    recipe: Recipe,
    set: Set = None,
    columns: Columns = None,
    out: Annotated[Path, typer.Option("--out", help="PNG to write.")] = Path("preview.png"),
    images: Annotated[int, typer.Option("--images", min=1, max=64, help="Images shown.")] = 8,
    versions: Annotated[int, typer.Option("--versions", min=1, max=16, help="Versions each.")] = 6,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Draw what the model will see in training."""
    call(api.preview, locals())
    typer.echo(out)
