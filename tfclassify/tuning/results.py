"""What a search found, as values, as a table and as a page.

Owns: the result, ``trials.csv``, what the page says. Does not own: how the page looks
(``pages.tune_page``), the search (``workflows.tune``).
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfclassify.files import render_csv, write_text
from tfclassify.pages.rendering import Command, format_now
from tfclassify.pages.tune_page import NestedRow, TrialRow, TuneReport, show_value
from tfclassify.recipe.loading import dump_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.search_schema import DimensionRecipe, find_space
from tfclassify.scoring.tasks import get_task
from tfclassify.tuning.folder import SearchFacts, SearchFolder
from tfclassify.tuning.proposals import find_importance
from tfclassify.tuning.selection import NestedChoice, Selection
from tfclassify.tuning.trials import Ended, Trial


@dataclass(frozen=True)
class TuneResult:
    """What a search found.

    Attributes:
        search: The folder.
        recipe: What was searched from.
        trials: All of them, by number.
        selection: The best trial and what choosing it is worth; None where only the start
            is complete.
        nested: What nested folds say of the search; None without ``--folds``.
        front: The trials that none beats in score and cost; empty without a second aim.
        best: The best trial's recipe, a file.
        report: The page.
        seconds: Time over all sittings.
        is_exhausted: Whether all of a finite space was tried.
    """

    search: Path
    recipe: Recipe
    trials: tuple[Trial, ...]
    selection: Selection | None
    nested: NestedChoice | None
    front: tuple[Trial, ...]
    best: Path
    report: Path
    seconds: float
    is_exhausted: bool


def describe_search(result: TuneResult, facts: SearchFacts) -> TuneReport:
    """Return what the page of a search says."""
    space, chosen = find_space(result.recipe), result.selection
    metric = get_task(result.recipe.task).metrics[result.recipe.metric]
    complete = [trial for trial in result.trials if trial.state == "complete"]
    higher = metric.higher_is_better
    remarks = []
    if result.recipe.data.test:
        remarks.append(
            "The test images were not looked at; train the best recipe to see its score on them."
        )
    if result.is_exhausted:
        remarks.append("Every combination of the search was tried.")
    return TuneReport(
        name=result.recipe.name,
        task=result.recipe.task,
        metric=result.recipe.metric,
        is_higher_better=higher,
        cost_name=facts.also or "",
        trials=tuple(_describe_trial(trial) for trial in result.trials),
        best=chosen.best if chosen else complete[0].number if complete else 0,
        keys={key: _say_dimension(dimension) for key, dimension in space.items()},
        logarithmic=frozenset(key for key, each in space.items() if each.log is not None),
        naive=chosen.naive if chosen else None,
        honest=chosen.honest if chosen else None,
        start=chosen.start if chosen else None,
        gain=chosen.gain if chosen else None,
        chosen=chosen.chosen if chosen else {},
        nested=_describe_nested(result.nested) if result.nested else None,
        importance=find_importance(space, complete, higher_is_better=higher),
        front=tuple(trial.number for trial in result.front),
        seconds=result.seconds,
        remarks=tuple(remarks),
        created=format_now(),
        commands=(
            Command("Train the best recipe", f"tfclassify train {shlex.quote(str(result.best))}"),
            Command(
                "Search on",
                shlex.join(
                    ["tfclassify", "tune", "--resume", str(result.search), "--trials", "100"]
                ),
            ),
        ),
        recipe_text=dump_recipe(result.recipe),
    )


def _describe_nested(nested: NestedChoice) -> NestedRow:
    return NestedRow(len(nested.best), nested.honest, nested.start, nested.gain)


def _describe_trial(trial: Trial) -> TrialRow:
    ended = trial.ended or Ended(number=trial.number, state="failed", reason="was broken off")
    return TrialRow(
        trial.number,
        trial.state,
        trial.asked.values,
        ended.score,
        ended.cost,
        ended.seconds,
        ended.curve,
        ended.reason,
    )


def _say_dimension(dimension: DimensionRecipe) -> str:
    """Say in words what a key may be."""
    if dimension.choices is not None:
        words = f"one of {', '.join(show_value(choice) for choice in dimension.choices)}"
    else:
        assert dimension.bounds is not None
        low, high = (show_value(bound) for bound in dimension.bounds)
        words = f"from {low} to {high}{', logarithmic' if dimension.log else ''}"
    if dimension.step is not None:
        words += f", in steps of {show_value(dimension.step)}"
    if dimension.when:
        told = " and ".join(f"{key} is {show_value(v)}" for key, v in dimension.when.items())
        words += f", where {told}"
    return words


def write_table(folder: SearchFolder, result: TuneResult) -> None:
    """Write ``trials.csv``: one row a trial, one column a searched key."""
    import pandas as pd

    rows = []
    for trial in result.trials:
        ended = trial.ended
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state,
                result.recipe.metric: ended.score if ended else None,
                folder.facts.also or "cost": ended.cost if ended else None,
                "epochs": len(ended.curve) if ended else 0,
                "seconds": round(ended.seconds, 2) if ended else None,
                "reason": ended.reason if ended else "",
                **{key: _to_cell(value) for key, value in trial.asked.values.items()},
            }
        )
    table = pd.DataFrame(rows)
    if folder.facts.also is None:
        table = table.drop(columns="cost")
    write_text(folder.table_path, render_csv(table, "%.8g"))


def _to_cell(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) or value is None else str(value)
