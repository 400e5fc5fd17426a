"""What a cross-validation adds up to: out-of-fold scores and their spread over folds.

Owns: gathering the folds' answers, ``metrics.json``, ``predictions.csv``, the page.
Does not own: training the folds (``crossval``), the look of the page (``report``).
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from tfclassify import __version__
from tfclassify.data.index import load_index
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RunError
from tfclassify.files import render_csv, write_json, write_text
from tfclassify.pages.content import Command
from tfclassify.pages.crossval_content import CrossvalReport, FoldRow, Spread, find_spreads
from tfclassify.recipe.loading import dump_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.environment import describe_environment
from tfclassify.scoring.tasks import get_task
from tfclassify.scoring.verdicts import AnyJudgement
from tfclassify.workflows import reporting
from tfclassify.workflows.judging import Verdict, find_groups
from tfclassify.workflows.outcomes import (
    StoredAnswers,
    join_answers,
    judge_answers,
    read_answers,
)

#: What the images are called that no model judged had trained on.
SPLIT = "out-of-fold"


@dataclass(frozen=True)
class CrossvalResult:
    """What a cross-validation measured.

    Attributes:
        path: Its folder.
        recipe: The recipe.
        judgement: Of each image by the model that did not train on it.
        folds: How each fold fared.
        spreads: Mean and deviation over the folds, by metric.
        images: Images that were judged.
        seconds: Wall time of this call.
        report: The page.
    """

    path: Path
    recipe: Recipe
    judgement: AnyJudgement
    folds: tuple[FoldRow, ...]
    spreads: dict[str, Spread]
    images: int
    seconds: float
    report: Path


def gather_results(
    place: CrossvalDirectory, recipe: Recipe, data: PreparedData, seconds: float
) -> CrossvalResult:
    """Gather the finished folds, judge all images out of fold, and write it all down.

    Raises:
        RunError: If a fold's files are incomplete.
    """
    answers = read_folds(place)
    rows = tuple(_read_fold(place, repeat, fold) for repeat, fold in place.plan.places())
    judgement = judge_answers(answers.all, recipe, find_units(answers.all, place.plan.repeats))
    first, thresholds = answers.first, None
    if first.index.is_multi_label:
        thresholds = first.find_thresholds()
    verdict = Verdict(
        SPLIT, first.index, first.probabilities, judgement, None, (), thresholds=thresholds
    )
    spreads = find_spreads(rows)
    result = CrossvalResult(
        place.path,
        recipe,
        judgement,
        rows,
        spreads,
        len(answers.first),
        seconds,
        place.report_path,
    )
    _write_metrics(place, result)
    write_text(place.predictions_path, _join_tables(place))
    _write_page(place, result, data, verdict)
    return result


@dataclass(frozen=True)
class FoldAnswers:
    """What the folds said.

    Attributes:
        all: Every judgement, repeat by repeat.
        first: Those of the first repeat, which has every image once.
    """

    all: StoredAnswers
    first: StoredAnswers


def read_folds(place: CrossvalDirectory) -> FoldAnswers:
    """Read what every fold said about its own images.

    Raises:
        RunError: If a fold is not finished.
    """
    parts = []
    for repeat, fold in place.plan.places():
        run = place.fold(repeat, fold)
        index = load_index(run.index_path)
        parts.append(read_answers(run.predictions_path, index, "validation"))
    return FoldAnswers(join_answers(parts), join_answers(parts[: place.plan.folds]))


def find_units(answers: StoredAnswers, repeats: int) -> list[str] | None:
    """Return what is resampled together, a name for each judgement.

    Args:
        answers: From ``read_folds``.
        repeats: Times that each image was judged.

    Returns:
        Groups, and with several repeats the image itself for an image without a group;
        None where every judgement stands alone.
    """
    frame = answers.index.frame
    if repeats == 1:
        return find_groups(answers.index)
    pairs = zip(frame["group"], frame["image"], strict=True)
    return [f"group {group}" if group else f"image {image}" for group, image in pairs]


def _read_fold(place: CrossvalDirectory, repeat: int, fold: int) -> FoldRow:
    run = place.fold(repeat, fold)
    try:
        content = json.loads(run.metrics_path.read_text("utf-8"))
        split = content["splits"]["validation"]
        judged = split["tta"] or split["plain"]
        return FoldRow(
            repeat,
            fold,
            run.path.relative_to(place.path).as_posix(),
            int(judged["n"]),
            {name: score["value"] for name, score in judged["metrics"].items()},
            int(content["epochs"]),
            float(content["training_seconds"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{run.metrics_path}: the fold's scores cannot be read ({error!r}); remove "
            f"{run.path} and go on with `tfclassify crossval --resume {place.path}`"
        ) from error


def _write_metrics(place: CrossvalDirectory, result: CrossvalResult) -> None:
    metric = result.recipe.metric
    headline = result.judgement.metrics[metric]
    folds = [
        {
            "repeat": row.repeat,
            "fold": row.fold,
            "run": row.path,
            "n": row.images,
            "epochs": row.epochs,
            "training_seconds": row.seconds,
            "metrics": dict(row.metrics),
        }
        for row in result.folds
    ]
    content = {
        "headline": {"split": SPLIT, "metric": metric, **headline.to_dict()},
        "images": result.images,
        "folds": place.plan.folds,
        "repeats": place.plan.repeats,
        "seconds": round(result.seconds, 1),
        "over_folds": {name: describe_spread(each) for name, each in result.spreads.items()},
        "out_of_fold": result.judgement.to_dict(),
        "each_fold": folds,
    }
    write_json(place.metrics_path, content)


def describe_spread(spread: Spread) -> dict[str, Any]:
    """Return a spread as plain values for JSON."""
    return {"mean": spread.mean, "deviation": spread.deviation, "values": list(spread.values)}


def _join_tables(place: CrossvalDirectory) -> str:
    """Join the folds' tables: one row for each judgement of an image, as its fold wrote it."""
    parts = []
    for repeat, fold in place.plan.places():
        path = place.fold(repeat, fold).predictions_path
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        table = table[table["split"] == "validation"].assign(split=SPLIT)
        table.insert(1, "repeat", str(repeat))
        table.insert(2, "fold", str(fold))
        parts.append(table)
    return render_csv(pd.concat(parts))


def _write_page(
    place: CrossvalDirectory, result: CrossvalResult, data: PreparedData, verdict: Verdict
) -> None:
    from tfclassify.pages.crossval_page import draw_crossval_figures, render_crossval_page
    from tfclassify.pages.figures import save_figures

    recipe = result.recipe
    described = reporting.describe_verdict(verdict, recipe)
    report = CrossvalReport(
        name=recipe.name,
        place=place.path.name,
        description=recipe.description,
        metric=recipe.metric,
        shown=list_shown(recipe),
        folds=place.plan.folds,
        repeats=place.plan.repeats,
        images=result.images,
        created=reporting.format_now(),
        version=__version__,
        rows=result.folds,
        verdict=replace(described, judged_on="all folds"),
        has_chosen=any(phase.keep_best or phase.early_stopping for phase in recipe.phases),
        data=reporting.summarise_data(verdict.index, recipe.data.source, is_split=False),
        integrity=reporting.describe_integrity(data.integrity, len(data.index)),
        environment=reporting.describe_machine(describe_environment()),
        commands=_list_commands(place),
        recipe_text=dump_recipe(recipe),
    )
    figures = draw_crossval_figures(report)
    save_figures(figures, place.figures_dir)
    write_text(place.report_path, render_crossval_page(report, figures))


def _list_commands(place: CrossvalDirectory) -> tuple[Command, ...]:
    recipe, folder = shlex.quote(str(place.recipe_path)), shlex.quote(str(place.path))
    return (
        Command("Repeat it", place.command),
        Command("Train on all images", f"tfclassify train {recipe}"),
        Command("Set it against another", f"tfclassify compare {folder} OTHER"),
    )


def list_shown(recipe: Recipe) -> tuple[str, ...]:
    """Return the metrics worth a column, the recipe's own first."""
    watched = get_task(recipe.task).watched
    return tuple(dict.fromkeys([recipe.metric, *watched[1:], watched[0]]))
