"""``crossval``: each image is judged by a model that did not train on it.

Owns: the order of the folds, what an interruption leaves, what is gathered at the end.
Does not own: dealing the folds (``data.folds``), a training (``train``), the page.
"""

from __future__ import annotations

import gc
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tfclassify.data.folds import make_folds
from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData, prepare_data
from tfclassify.errors import InterruptedTraining, RequestError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.loading import dump_recipe, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory, FoldPlan
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.workflows.crossval_results import CrossvalResult, gather_results
from tfclassify.workflows.material import anchor_images, settle_paths
from tfclassify.workflows.train import train_prepared

_MOST_FOLDS = 100


@dataclass(frozen=True)
class CrossvalRequest:
    """What to cross-validate.

    Attributes:
        recipe: The recipe's path.
        folds: Parts that the images are dealt into.
        repeats: How many times they are dealt anew.
        overrides: ``key=value`` texts, as after ``--set``.
        out: The folder; None makes ``reports/<name>/cv-<number>``.
        reports: Where numbered folders are made.
    """

    recipe: Path
    folds: int = 5
    repeats: int = 1
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    reports: Path = Path("reports")


def crossval_recipe(request: CrossvalRequest, observer: Observer = SILENT) -> CrossvalResult:
    """Cross-validate a recipe in a new folder.

    Raises:
        RequestError: If the number of folds or repeats makes no sense.
        RecipeError: If the recipe is wrong; nothing is made then.
        TfclassifyError: If the data, the model or a training fails.
    """
    if not 2 <= request.folds <= _MOST_FOLDS:
        raise RequestError(f"--folds: must be from 2 to {_MOST_FOLDS}, got {request.folds}")
    if request.repeats < 1:
        raise RequestError(f"--repeat: must be at least 1, got {request.repeats}")
    recipe = settle_paths(load_recipe(request.recipe, request.overrides), request.recipe.parent)
    text, plan = dump_recipe(recipe), FoldPlan(request.folds, request.repeats)
    if request.out is not None:
        place = CrossvalDirectory.create_at(request.out, text, plan)
    else:
        place = CrossvalDirectory.create(request.reports, recipe.name, text, plan)
    observer.on_note(f"cross-validation {place.path}")
    with place.lock(), _explain_interruption(place), _remove_unstarted(place):
        return _run(place, recipe, observer)


def resume_crossval(
    given: Path | None, out: Path | None, overrides: Sequence[str], observer: Observer = SILENT
) -> CrossvalResult:
    """Go on with a cross-validation: finished folds are kept, the broken one goes on.

    Raises:
        RequestError: If none is named, or overrides are given.
        TargetError: If the folder is no cross-validation.
    """
    folder = out or given
    if folder is None:
        raise RequestError(
            "crossval --resume: name what to go on with, such as reports/plants/cv-001"
        )
    if overrides:
        raise RequestError(
            "crossval --resume: it goes on with its own recipe, so --set cannot be given; "
            "cross-validate the changed recipe anew"
        )
    place = CrossvalDirectory.open(folder)
    with place.lock(), _explain_interruption(place):
        return _run(place, load_recipe(place.recipe_path), observer)


@contextmanager
def _explain_interruption(place: CrossvalDirectory) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedTraining(
            f"{place.path}: stopped; finished folds and epochs are kept. Go on with: "
            f"tfclassify crossval --resume {shlex.quote(str(place.path))}"
        ) from None


@contextmanager
def _remove_unstarted(place: CrossvalDirectory) -> Iterator[None]:
    """Remove a new folder whose data could not be used: there is nothing to go on with."""
    try:
        yield
    except TfclassifyError:
        if not any(place.path.rglob("journal.jsonl")):
            shutil.rmtree(place.path, ignore_errors=True)
        raise


def _run(place: CrossvalDirectory, recipe: Recipe, observer: Observer) -> CrossvalResult:
    started = time.perf_counter()
    data = _prepare(place, recipe, observer)
    for repeat in range(1, place.plan.repeats + 1):
        # Another deal needs another seed; the trainings of a repeat share it.
        own = recipe.model_copy(update={"seed": recipe.seed + repeat - 1})
        folds = make_folds(data.index, folds=place.plan.folds, seed=own.seed)
        for number, index in enumerate(folds, start=1):
            observer.on_note(_name_fold(place.plan, repeat, number))
            run = place.fold(repeat, number)
            _train_fold(run, _describe(own, place, number), data, index, observer)
    return gather_results(place, recipe, data, time.perf_counter() - started)


def _prepare(place: CrossvalDirectory, recipe: Recipe, observer: Observer) -> PreparedData:
    """Read the images, once for all folds; only test images are set apart."""
    if place.index_path.exists() and place.integrity_path.exists():
        return PreparedData.load(place.index_path, place.integrity_path)
    data = anchor_images(prepare_data(recipe, observer=observer, folds=place.plan.folds))
    data.save(place.index_path, place.integrity_path)
    return data


def _name_fold(plan: FoldPlan, repeat: int, number: int) -> str:
    again = f"repeat {repeat} of {plan.repeats}, " if plan.repeats > 1 else ""
    return f"{again}fold {number} of {plan.folds}"


def _describe(recipe: Recipe, place: CrossvalDirectory, number: int) -> Recipe:
    own = f"{recipe.description} " if recipe.description else ""
    fold = f"Fold {number} of {place.plan.folds} of the cross-validation {place.path.name}."
    return recipe.model_copy(update={"description": f"{own}{fold}"})


def _train_fold(
    run: RunDirectory, recipe: Recipe, data: PreparedData, index: Index, observer: Observer
) -> None:
    """Train one fold, or what is left of it."""
    if run.report_path.exists():
        observer.on_note(f"{run.path}: trained already")
        return
    is_begun = is_run(run.path)
    if not is_begun:
        # What was killed while its folder was being made holds nothing yet.
        shutil.rmtree(run.path, ignore_errors=True)
        run = RunDirectory.create_at(run.path, dump_recipe(recipe))
    own = PreparedData(index, data.integrity)
    with run.lock():
        own.save(run.index_path, run.integrity_path)
        train_prepared(run, recipe, own, observer, resume=is_begun)
    _forget_network()


def _forget_network() -> None:
    """Give back what a network holds, before the next one is built."""
    import keras

    keras.backend.clear_session()
    gc.collect()
