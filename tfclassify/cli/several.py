"""Verbs about several trainings: ``crossval``, ``tune``, ``runs``, ``compare``, ``ensemble``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tfclassify import api
from tfclassify.cli.command import command
from tfclassify.cli.output import to_json
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import (
    count_of,
    format_bytes,
    format_difference,
    format_difference_range,
    format_range,
    format_score,
    format_seconds,
    title_of,
)

if TYPE_CHECKING:
    from tfclassify.api import Run
    from tfclassify.recipe.schema import Recipe
    from tfclassify.runs.documents import Score
    from tfclassify.scoring.intervals import Interval
    from tfclassify.tuning.results import TuneResult
    from tfclassify.tuning.selection import NestedChoice, Selection
    from tfclassify.workflows.compare import CompareResult
    from tfclassify.workflows.crossval import CrossvalResult
    from tfclassify.workflows.ensemble import EnsembleResult
    from tfclassify.workflows.runs import RunRow, RunsResult


@command(api.crossval, "tfclassify crossval recipes/clothing_lite.yaml --folds 5")
def crossval(result: CrossvalResult, *, as_json: bool) -> str:
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


@command(api.compare, "tfclassify compare reports/plants/001 reports/plants/002")
def compare(result: CompareResult, *, as_json: bool) -> str:
    """Write a comparison."""
    from tfclassify.pages.compare_page import describe_comparison

    if as_json:
        page = str(result.out) if result.out else None
        return to_json({**result.report.to_dict(), "page": page})
    page_line = f"\n\npage  {result.out}" if result.out else ""
    return describe_comparison(result.report) + page_line


@command(
    api.ensemble,
    "tfclassify ensemble reports/plants/001 reports/plants_lite/001",
    weights={"kind": str},
)
def ensemble(run: Run, *, as_json: bool) -> str:
    """Write what an ensemble is made of and what it gained."""
    result = cast("EnsembleResult", run.result)
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


def _to_search_facts(result: TuneResult) -> dict[str, Any]:
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
                name: interval.to_dict() if (interval := getattr(chosen, name)) else None
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


def _render_search(result: TuneResult) -> str:
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

    lines = [
        f"search, then choose: {title_of(metric, result.recipe.task)} {say('honest')} on images "
        "that had no part in the choice",
        f"trial {chosen.best} on the images that chose it: {say('naive')}, optimistic",
    ]
    if chosen.gain is not None:  # else a bound refused the recipe as it was
        gain = format_difference(metric, chosen.gain.value)
        ends = format_difference_range(metric, chosen.gain)
        lines.insert(1, f"above the recipe as it was, {say('start')}: {gain} ({ends}), paired")
    return [*lines, *(f"  {key}: {show_value(value)}" for key, value in values.items())]


@command(api.tune, "tfclassify tune flowers.yaml --time 30m", seed={"min": 0}, folds={"min": 0})
def tune(result: TuneResult, *, as_json: bool) -> str:
    """Write what the search found."""
    return to_json(_to_search_facts(result)) if as_json else _render_search(result)


def _tabulate_runs(result: RunsResult, where: str) -> str:
    if not result.rows:
        return f"{where}: no runs yet; `tfclassify train` makes one"
    columns = [
        Column("run"),
        Column("begun"),
        Column("score"),
        Column("on"),
        Column("epochs", "right"),
        Column("training", "right"),
        Column("size", "right"),
    ]
    table = render_table(columns, [_to_run_cells(row) for row in result.rows])
    odd = [f"{row.path}: {row.status}" for row in result.rows if row.status != "finished"]
    lines = [table, *odd]
    if result.shown is not None:
        for split, scores in result.shown.splits.items():
            for name, score in scores.headline.metrics.items():
                lines.append(f"{split}: {title_of(name)} {_say(name, score)}")
    return "\n".join(lines)


def _to_run_cells(row: RunRow) -> tuple[object, ...]:
    seconds = None if row.training_seconds is None else format_seconds(row.training_seconds)
    score, judged_on = "–", ""
    if row.score is not None:
        score = f"{title_of(row.score.metric)} {_say(row.score.metric, row.score)}"
        judged_on = f"{row.score.split}, {count_of(row.score.n, 'image')}"
    begun = row.date.strftime("%Y-%m-%d %H:%M")
    return row.path, begun, score, judged_on, row.epochs, seconds, format_bytes(row.size_bytes)


def _say(name: str, score: Score) -> str:
    from tfclassify.scoring.intervals import Interval

    value = format_score(name, score.value)
    if score.value is None or score.low is None or score.high is None:
        return value
    return f"{value} ({format_range(name, Interval(score.value, score.low, score.high, score.n))})"


def _to_run_facts(row: RunRow) -> dict[str, Any]:
    return {
        "path": str(row.path),
        "kind": row.kind,
        "status": row.status,
        "date": row.date.isoformat(timespec="seconds"),
        "score": None if row.score is None else row.score.model_dump(),
        "epochs": row.epochs,
        "training_seconds": row.training_seconds,
        "size_bytes": row.size_bytes,
        "state_bytes": row.state_bytes,
    }


@command(api.runs, "tfclassify runs reports/plants --sort score")
def runs(result: RunsResult, *, where: str, clean: bool, dry_run: bool, as_json: bool) -> str:
    """Write a row a run, and what was freed."""
    if as_json:
        facts = [_to_run_facts(row) for row in result.rows]
        return to_json({"runs": facts, "freed_bytes": result.freed_bytes})
    text = _tabulate_runs(result, where)
    if clean:
        verb = "would be freed" if dry_run else "freed"
        text += f"\n{format_bytes(result.freed_bytes)} {verb}"
    return text
