"""Verbs that take a recipe: ``train``, ``check``, ``lr``, ``preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from tfclassify import api
from tfclassify.cli.command import command
from tfclassify.cli.output import list_score_facts, say_scores, to_json
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import count_of, format_seconds

if TYPE_CHECKING:
    from PIL.Image import Image

    from tfclassify.api import Run
    from tfclassify.workflows.check import CheckResult
    from tfclassify.workflows.lr import LrResult
    from tfclassify.workflows.train import TrainResult


@command(api.train, "tfclassify train recipes/plants.yaml --set seed=1")
def train(run: Run, *, as_json: bool) -> str:
    """Write what a training left."""
    result = cast("TrainResult", run.result)
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
    if result.worker:
        done = f"{result.worker}: {count_of(result.epochs, 'epoch')} done"
        return f"{done}; the first worker judges and writes {result.run}"
    lines = say_scores(result.verdicts, result.recipe.metric)
    if not lines:
        lines = ["trained on all images; none was held out to judge by"]
    lines += [
        f"{count_of(result.epochs, 'epoch')} in {format_seconds(result.seconds)}",
        f"run     {result.run}",
        f"report  {result.report}",
    ]
    return "\n".join(lines)


@command(api.check, "tfclassify check recipes/plants.yaml")
def check(result: CheckResult, *, as_json: bool) -> str:
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
            "pixels",
            "batch",
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
            "x".join(map(str, phase.image_size)),
            phase.batch_size,
            phase.steps,
            f"{phase.trainable_parameters:,}",
            format_seconds(phase.seconds_caching) if phase.seconds_caching else "",
            format_seconds(phase.seconds_per_epoch),
            format_seconds(phase.seconds_at_most),
        ]
        for phase in result.phases
    ]
    return render_table(columns, rows)


@command(api.lr, "tfclassify lr recipes/plants_lite.yaml --phase whole")
def lr(result: LrResult, *, as_json: bool) -> str:
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


@command(
    api.preview,
    "tfclassify preview recipes/plants.yaml --out seen.png",
    out={"default": Path("preview.png")},
    images={"min": 1, "max": 64},
    versions={"min": 1, "max": 16},
)
def preview(picture: Image, *, out: Path) -> str:
    """Say where the picture is."""
    return str(out)
