"""``tune``: many trainings of one recipe, each with other values, and an honest choice.

Owns: what may be asked for, what is prepared, what the search leaves. Does not own: the
course of a search (``search``), nested folds (``nested_folds``), what is proposed and what
the choice is worth (``tuning``), where trials run (``executors``).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData, prepare_data
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions, open_executor
from tfclassify.files import sweep_unfinished, write_text
from tfclassify.pages.tune_page import render_tune_page
from tfclassify.recipe.loading import dump_recipe, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.documents import MOST_FOLDS
from tfclassify.tuning.folder import SearchFacts, SearchFolder
from tfclassify.tuning.proposals import import_optuna
from tfclassify.tuning.results import TuneResult, describe_search, write_table
from tfclassify.tuning.selection import NestedChoice
from tfclassify.tuning.trials import find_front
from tfclassify.workflows.batch_fitting import resolve_batches
from tfclassify.workflows.material import anchor_images
from tfclassify.workflows.nested_folds import deal_folds, search_folds
from tfclassify.workflows.recipes import Given, open_recipe
from tfclassify.workflows.resuming import explain_interruption
from tfclassify.workflows.search import Search, TrialProgress, choose
from tfclassify.workflows.shared_parts import close_shared
from tfclassify.workflows.start import verb
from tfclassify.workflows.trial import make_trial_recipe

_TRIALS = 50
_MANY_TRIALS = 10_000


@dataclass(frozen=True)
class TuneRequest:
    """What to search.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        overrides: ``key=value`` texts, as after ``--set``.
        trials: Trials at most, the start included; None: 50, or what the time allows.
        seconds: Time at most; None for no bound.
        sampler: tpe, random, grid or cma_es.
        pruner: none, median or hyperband.
        seed: Of the proposals.
        also: A second aim: macs, size, parameters or latency.
        max_macs: Multiply-accumulates an image at most.
        folds: Nested folds that judge the whole search; 0 for none.
        executor: Where the trials run.
        out: The folder; None makes ``reports/<name>/search-<number>``.
        reports: Where numbered folders are made.
        columns: Which column of a table holds what, for images without a recipe.
    """

    recipe: Given
    overrides: tuple[str, ...] = ()
    trials: int | None = None
    seconds: float | None = None
    sampler: str = "tpe"
    pruner: str = "none"
    seed: int = 0
    also: str | None = None
    max_macs: float | None = None
    folds: int = 0
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    out: Path | None = None
    reports: Path = Path("reports")
    columns: Mapping[str, str | None] = field(default_factory=dict)


@verb
def tune_recipe(request: TuneRequest, observer: Observer = SILENT) -> TuneResult:
    """Search for better values of a recipe's keys in a new folder.

    Raises:
        MissingExtraError: If Optuna is not installed.
        RequestError: If a bound makes no sense, or no validation image would be held out.
        RecipeError: If the recipe or its search is wrong; nothing is made then.
        TfclassifyError: If the data fails, or the start cannot be trained.
    """
    import_optuna()
    recipe = open_recipe(request.recipe, request.overrides, observer, columns=request.columns)
    recipe = resolve_batches(recipe, observer)
    facts = _make_facts(request)
    folder = SearchFolder.create(
        request.reports, recipe.name, request.out, dump_recipe(recipe), facts
    )
    observer.on_note(f"search {folder.path}")
    return _search(folder, recipe, request.executor, observer)


@verb
def resume_tune(
    given: Path,
    *,
    trials: int | None = None,
    seconds: float | None = None,
    executor: ExecutorOptions | None = None,
    observer: Observer = SILENT,
) -> TuneResult:
    """Resume a search: the trials that were begun are ended, then come the next ones.

    Args:
        given: The search's folder.
        trials: Another bound, to resume a search that has ended.
        seconds: Likewise.
        executor: Where the trials run; None: one after the other in this process.
        observer: Told of progress.

    Raises:
        TargetError: If the folder is no search.
        RunError: If its journal is damaged.
    """
    import_optuna()
    folder = SearchFolder.open(given)
    changes = {"trials": trials, "seconds": seconds}
    wanted = {name: value for name, value in changes.items() if value is not None}
    if wanted:
        facts = folder.facts.model_copy(update=wanted)
        folder = SearchFolder(folder.path, facts)
    recipe = load_recipe(folder.recipe_path)
    return _search(folder, recipe, executor or ExecutorOptions(), observer)


def parse_time(text: str | float | None) -> float | None:
    """Read a time as seconds.

    >>> parse_time("90"), parse_time("30m"), parse_time("1.5h"), parse_time(None)
    (90.0, 1800.0, 5400.0, None)

    Raises:
        RequestError: If it is no time.
    """
    return _parse_unit(text, {"s": 1, "m": 60, "h": 3600, "d": 86400}, "--time", "30m or 2h")


def parse_amount(text: str | float | None) -> float | None:
    """Read a number of operations.

    >>> parse_amount("300M"), parse_amount("1.2G"), parse_amount(5)
    (300000000.0, 1200000000.0, 5.0)

    Raises:
        RequestError: If it is no number.
    """
    return _parse_unit(text, {"k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}, "--max-macs", "300M")


def _parse_unit(
    text: str | float | None, units: Mapping[str, float], option: str, example: str
) -> float | None:
    if text is None or isinstance(text, (int, float)):
        return None if text is None else float(text)
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*([a-zA-Z]?)\s*", text)
    if found is None or found[2].lower() not in ("", *units):
        raise RequestError(f"{option}: must be a number such as {example}, got {text!r}")
    return float(found[1]) * units.get(found[2].lower(), 1)


def _make_facts(request: TuneRequest) -> SearchFacts:
    """Check what was asked for beside the recipe."""
    bounded = request.trials or (_MANY_TRIALS if request.seconds else _TRIALS)
    allowed = {
        "--sampler": (request.sampler, ("tpe", "random", "grid", "cma_es")),
        "--pruner": (request.pruner, ("none", "median", "hyperband")),
        "--also": (request.also, (None, "macs", "size", "parameters", "latency")),
    }
    for option, (value, names) in allowed.items():
        if value not in names:
            known = ", ".join(str(name) for name in names if name)
            raise RequestError(f"{option}: must be one of {known}, got {value!r}")
    for option, number in (
        ("--trials", bounded),
        ("--time", request.seconds),
        ("--max-macs", request.max_macs),
    ):
        if number is not None and not number > 0:
            raise RequestError(f"{option}: must be above 0, got {number}")
    if request.folds and not 2 <= request.folds <= MOST_FOLDS:
        raise RequestError(f"--folds: must be from 2 to {MOST_FOLDS}, got {request.folds}")
    return SearchFacts.model_validate(
        {
            "trials": bounded,
            "seconds": request.seconds,
            "sampler": request.sampler,
            "pruner": request.pruner,
            "seed": request.seed,
            "also": request.also,
            "max_macs": request.max_macs,
            "folds": request.folds,
        }
    )


def _search(
    folder: SearchFolder, recipe: Recipe, executor: ExecutorOptions, observer: Observer
) -> TuneResult:
    with folder.lock(), explain_interruption(folder.path, folder.describe_kept, folder.command):
        sweep_unfinished(folder.path)
        data = _prepare(folder, recipe, observer)
        nested = None
        try:
            with open_executor(executor, TrialProgress(observer)) as place:
                search = Search(folder, recipe, place, observer)
                search.run()
                shutil.rmtree(folder.features_dir, ignore_errors=True)
                if folder.facts.folds:
                    nested = search_folds(folder, recipe, data, place, observer)
        finally:
            close_shared()
        return _gather(search, data.index, nested)


def _prepare(folder: SearchFolder, recipe: Recipe, observer: Observer) -> PreparedData:
    """Read and split the images, once for all trials."""
    if folder.index_path.exists() and folder.integrity_path.exists():
        return PreparedData.load(folder.index_path, folder.integrity_path)
    data = anchor_images(prepare_data(recipe, observer=observer))
    if not len(data.index.in_split("validation")):
        raise RequestError(
            "tune: needs validation images to compare trials on, but the recipe holds none out; "
            "set data.validation, such as --set data.validation=0.2"
        )
    if folder.facts.folds:
        deal_folds(data.index, recipe, folder.facts)  # fails before anything is trained
    data.save(folder.index_path, folder.integrity_path)
    return data


def _gather(search: Search, index: Index, nested: NestedChoice | None) -> TuneResult:
    """Choose the best trial, and write what the search leaves."""
    folder, recipe, journal = search.folder, search.recipe, search.journal
    selection = choose(search, index)
    complete = journal.list_complete()
    best = selection.best if selection is not None else complete[0].number if complete else 0
    write_text(folder.best_path, dump_recipe(make_trial_recipe(recipe, journal.trials[best])))
    front = find_front(complete, higher_is_better=search.goal.higher_is_better)
    result = TuneResult(
        folder.path,
        recipe,
        tuple(journal.trials.values()),
        selection,
        nested,
        tuple(front) if search.goal.has_cost else (),
        folder.best_path,
        folder.report_path,
        search.seconds,
        search.is_exhausted,
    )
    write_table(folder, result)
    write_text(folder.report_path, render_tune_page(describe_search(result, folder.facts)))
    return result
