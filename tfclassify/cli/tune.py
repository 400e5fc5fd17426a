"""The verb that searches: ``tune``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tfclassify import api
from tfclassify.cli.options import (
    Address,
    Backbone,
    Columns,
    Epochs,
    Executor,
    ImageSize,
    Json,
    Quiet,
    Set,
    Threads,
    Verbose,
    Workers,
)
from tfclassify.cli.output import call, to_json
from tfclassify.pages.wording import (
    count_of,
    format_difference,
    format_difference_range,
    format_range,
    format_score,
    format_seconds,
    title_of,
)

if TYPE_CHECKING:
    from tfclassify.recipe.schema import Recipe
    from tfclassify.scoring.intervals import Interval
    from tfclassify.tuning.results import TuneResult
    from tfclassify.tuning.selection import NestedChoice, Selection


class Sampler(StrEnum):
    """Who proposes."""

    tpe = "tpe"
    random = "random"
    grid = "grid"
    cma_es = "cma_es"


class Pruner(StrEnum):
    """Who stops trials that fall behind."""

    none = "none"
    median = "median"
    hyperband = "hyperband"


class Also(StrEnum):
    """What is made small besides."""

    macs = "macs"
    size = "size"
    parameters = "parameters"
    latency = "latency"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command("tune", epilog="Example: tfclassify tune flowers.yaml --time 30m")(tune)


def tune(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A recipe, or images: a folder, an archive or a table. With --resume, a search."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option("--trials", help="Trials at most; default: 50, or what fits --time."),
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Time at most, such as 30m or 2h.")
    ] = None,
    sampler: Annotated[
        Sampler, typer.Option("--sampler", help="Who proposes the values.")
    ] = Sampler.tpe,
    pruner: Annotated[
        Pruner, typer.Option("--pruner", help="Who stops trials that fall behind.")
    ] = Pruner.none,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the proposals.")] = 0,
    also: Annotated[
        Also | None, typer.Option("--also", help="A second aim, which is made small.")
    ] = None,
    max_macs: Annotated[
        str | None,
        typer.Option("--max-macs", help="Do not train networks that cost more: 300M."),
    ] = None,
    folds: Annotated[
        int,
        typer.Option(
            "--folds", min=0, help="Judge the whole search by nested folds: a search for each."
        ),
    ] = 0,
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
        Path | None, typer.Option("--out", help="Folder; default: reports/NAME/search-NUMBER.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume a search, under new bounds if given.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Search for better values of a recipe's keys, and say what the choice is worth."""
    result = call(api.tune, locals())
    typer.echo(to_json(_to_dict(result)) if as_json else _render(result))


def _to_dict(result: TuneResult) -> dict[str, Any]:
    chosen = result.selection
    return {
        "search": str(result.search),
        "best": str(result.best),
        "report": str(result.report),
        "metric": result.recipe.metric,
        "seconds": round(result.seconds, 1),
        "is_exhausted": result.is_exhausted,
        "selection": None
        if chosen is None
        else {
            "best": chosen.best,
            "chosen": {str(number): share for number, share in chosen.chosen.items()},
            **{
                name: getattr(chosen, name).to_dict()
                for name in ("honest", "gain", "naive", "start")
            },
        },
        "nested": None
        if result.nested is None
        else {
            "best": list(result.nested.best),
            **{
                name: getattr(result.nested, name).to_dict() for name in ("honest", "gain", "start")
            },
        },
        "front": [trial.number for trial in result.front],
        "trials": [
            {
                "number": trial.number,
                "state": trial.state,
                "values": trial.asked.values,
                **(trial.ended.model_dump(exclude={"event", "number"}) if trial.ended else {}),
            }
            for trial in result.trials
        ],
    }


def _render(result: TuneResult) -> str:
    states = [trial.state for trial in result.trials]
    told = [f"{states.count(state)} {state}" for state in ("failed", "refused", "pruned")]
    others = ", ".join(words for words in told if not words.startswith("0 "))
    lines = [
        f"{count_of(len(states), 'trial')} in {format_seconds(result.seconds)}"
        f"{f' ({others})' if others else ''}"
        f"{'; every combination was tried' if result.is_exhausted else ''}"
    ]
    lines += ["only one trial is complete: nothing to choose from"]
    if result.selection is not None:
        lines[1:] = _render_selection(result, result.selection)
    if result.nested is not None:
        lines[1:1] = _render_nested(result.recipe, result.nested)
    lines += [f"best    {result.best}", f"report  {result.report}"]
    return "\n".join([*lines, f"next    tfclassify train {result.best}"])


def _render_nested(recipe: Recipe, nested: NestedChoice) -> list[str]:
    """Write what nested folds say."""
    metric = recipe.metric

    def say(interval: Interval) -> str:
        return f"{format_score(metric, interval.value)} ({format_range(metric, interval)})"

    gain = format_difference(metric, nested.gain.value)
    return [
        f"the whole search, by {len(nested.best)} nested folds: {title_of(metric, recipe.task)} "
        f"{say(nested.honest)} on {count_of(nested.honest.n, 'image')} that no search saw",
        f"above the recipe as it was, {say(nested.start)}: {gain} "
        f"({format_difference_range(metric, nested.gain)}), paired",
    ]


def _render_selection(result: TuneResult, chosen: Selection) -> list[str]:
    """Write what the choice is worth, the honest number first."""
    from tfclassify.pages.tune_page import show_value

    metric = result.recipe.metric
    values = result.trials[chosen.best].asked.values

    def say(name: str) -> str:
        interval = getattr(chosen, name)
        return f"{format_score(metric, interval.value)} ({format_range(metric, interval)})"

    gain = format_difference(metric, chosen.gain.value)
    lines = [
        f"search, then choose: {title_of(metric, result.recipe.task)} {say('honest')} on images "
        "that had no part in the choice",
        f"above the recipe as it was, {say('start')}: {gain} "
        f"({format_difference_range(metric, chosen.gain)}), paired",
        f"trial {chosen.best} on the images that chose it: {say('naive')}, optimistic",
    ]
    return [*lines, *(f"  {key}: {show_value(value)}" for key, value in values.items())]
