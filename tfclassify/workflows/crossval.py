"""``crossval``: each image is judged by a model that did not train on it.

Owns: the order of the folds, what an interruption leaves, what they add up to:
``metrics.json``, ``predictions.csv``, the content of the page.
Does not own: dealing the folds (``data.splits``), a training (``train``), reading folds back
(``judging.folds``), the look of the page.
"""

from __future__ import annotations

import gc
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData, prepare_data
from tfclassify.data.scan import find_changed_files
from tfclassify.data.splits import make_folds
from tfclassify.errors import RequestError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions, open_executor
from tfclassify.executors.jobs import Job, run_jobs
from tfclassify.files import sweep_unfinished, write_json, write_text
from tfclassify.judging.folds import (
    OUT_OF_FOLD,
    FoldAnswers,
    find_units,
    read_fold,
    read_folds,
    render_answers,
)
from tfclassify.judging.seen import load_thumbnails, save_thumbnails
from tfclassify.pages.crossval_page import (
    CrossvalReport,
    FoldRow,
    FoldSpread,
    draw_crossval_figures,
    find_spreads,
    render_crossval_page,
)
from tfclassify.pages.data_page import summarise_data
from tfclassify.pages.drawing import save_figures
from tfclassify.pages.rendering import Command, format_now
from tfclassify.recipe.loading import dump_recipe, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory, FoldPlan
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.runs.documents import MOST_FOLDS, MOST_REPEATS
from tfclassify.runs.environment import describe_environment
from tfclassify.scoring.judgement import Judgement, judge
from tfclassify.scoring.tasks import get_task
from tfclassify.scoring.thresholds import fit_thresholds
from tfclassify.scoring.verdicts import Verdict
from tfclassify.workflows import reporting
from tfclassify.workflows.batch_fitting import resolve_batches
from tfclassify.workflows.material import anchor_images
from tfclassify.workflows.recipes import Given, open_recipe
from tfclassify.workflows.resuming import (
    accept_changes,
    explain_interruption,
    find_changes,
    refuse_changes,
)
from tfclassify.workflows.start import start_tensorflow, verb
from tfclassify.workflows.train import train_prepared

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle


@dataclass(frozen=True)
class CrossvalRequest:
    """What to cross-validate.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        folds: Parts that the images are dealt into.
        repeats: How many times they are dealt anew.
        overrides: ``key=value`` texts, as after ``--set``.
        out: The folder; None makes ``reports/<name>/cv-<number>``.
        reports: Where numbered folders are made.
        columns: Which column of a table holds what, for images without a recipe.
        executor: Where the folds are trained.
    """

    recipe: Given
    folds: int = 5
    repeats: int = 1
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    reports: Path = Path("reports")
    columns: Mapping[str, str | None] = field(default_factory=dict)
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)


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
    judgement: Judgement
    folds: tuple[FoldRow, ...]
    spreads: dict[str, FoldSpread]
    images: int
    seconds: float
    report: Path


@verb
def crossval_recipe(request: CrossvalRequest, observer: Observer = SILENT) -> CrossvalResult:
    """Cross-validate a recipe in a new folder.

    Raises:
        RequestError: If the number of folds or repeats makes no sense.
        RecipeError: If the recipe is wrong; nothing is made then.
        JobError: If folds fail that an executor trains; each is named, the others are kept.
        TfclassifyError: If the data, the model or a training fails.
    """
    for option, value, least, most in (
        ("--folds", request.folds, 2, MOST_FOLDS),
        ("--repeat", request.repeats, 1, MOST_REPEATS),
    ):
        if not least <= value <= most:
            raise RequestError(f"{option}: must be from {least} to {most:,}, got {value}")
    recipe = open_recipe(request.recipe, request.overrides, observer, request.columns)
    recipe = resolve_batches(recipe, observer)
    text, plan = dump_recipe(recipe), FoldPlan(request.folds, request.repeats)
    if request.out is not None:
        place = CrossvalDirectory.create_at(request.out, text, plan)
    else:
        place = CrossvalDirectory.create(request.reports, recipe.name, text, plan)
    observer.on_note(f"cross-validation {place.path}")
    with place.lock(), _explain_interruption(place), _remove_unstarted(place):
        return _run(place, recipe, _prepare(place, recipe, observer), request.executor, observer)


@verb
def resume_crossval(
    given: Path | None,
    out: Path | None,
    overrides: Sequence[str],
    observer: Observer = SILENT,
    *,
    force: bool = False,
    executor: ExecutorOptions | None = None,
) -> CrossvalResult:
    """Resume a cross-validation: finished folds are kept, the broken one goes on.

    Args:
        given: The cross-validation.
        out: The same, where ``given`` is not it.
        overrides: Must be empty.
        observer: Told of progress.
        force: Resume though recipe, images or versions are no longer those of the beginning.
        executor: Where the folds are trained; None: one after the other in this process.

    Raises:
        RequestError: If none is named, or overrides are given.
        TargetError: If the folder is no cross-validation.
        RunError: If it would not end as it would have; every difference is listed.
    """
    folder = out or given
    if folder is None:
        raise RequestError("crossval --resume: name what to resume, such as reports/plants/cv-001")
    if overrides:
        raise RequestError(
            "crossval --resume: it resumes with its own recipe, so --set cannot be given; "
            "cross-validate the changed recipe anew"
        )
    place = CrossvalDirectory.open(folder)
    with place.lock(), _explain_interruption(place):
        sweep_unfinished(place.path)
        recipe = load_recipe(place.recipe_path)
        data = _prepare(place, recipe, observer)
        _check_unchanged(place, recipe, data.index, force=force)
        return _run(place, recipe, data, executor or ExecutorOptions(), observer)


def _explain_interruption(place: CrossvalDirectory) -> AbstractContextManager[None]:
    return explain_interruption(place.path, place.describe_kept, _command(place))


def _command(place: CrossvalDirectory) -> str:
    return f"tfclassify crossval --resume {shlex.quote(str(place.path))}"


def _check_unchanged(
    place: CrossvalDirectory, recipe: Recipe, index: Index, *, force: bool
) -> None:
    """Refuse to go on where any fold began with something else, unless that is forced."""
    images = find_changed_files(index)
    begun = [fold for fold in _list_folds(place, recipe, index) if is_run(fold.run.path)]
    changes = [find_changes(fold.run, fold.recipe, fold.index) for fold in begun]
    if not force:
        lines = [line for found in changes for line in found]
        refuse_changes(place.path, [*dict.fromkeys([*lines, *images])], _command(place))
        return
    for fold, found in zip(begun, changes, strict=True):
        accept_changes(fold.run, fold.recipe, fold.index, [*found, *images])


@contextmanager
def _remove_unstarted(place: CrossvalDirectory) -> Iterator[None]:
    """Remove a new folder whose data could not be used: there is nothing to go on with."""
    try:
        yield
    except TfclassifyError:
        if not any(place.path.rglob("journal.jsonl")) and not any(place.path.rglob("last.npz")):
            place.discard()
        raise


def _run(
    place: CrossvalDirectory,
    recipe: Recipe,
    data: PreparedData,
    where: ExecutorOptions,
    observer: Observer,
) -> CrossvalResult:
    started = time.perf_counter()
    if where.name == "here":
        _train_here(place, recipe, data, observer)
    else:
        _train_elsewhere(place, where, observer)
    return _gather_results(place, recipe, data, time.perf_counter() - started)


def _train_here(
    place: CrossvalDirectory, recipe: Recipe, data: PreparedData, observer: Observer
) -> None:
    """Train fold after fold, with all of their progress shown; the first failure ends it."""
    folds = _list_folds(place, recipe, data.index)
    for (repeat, number), fold in zip(place.plan.places(), folds, strict=True):
        observer.on_note(_name_fold(place.plan, repeat, number))
        finish_fold(fold, data, observer)


def _train_elsewhere(place: CrossvalDirectory, where: ExecutorOptions, observer: Observer) -> None:
    """Train several folds at once; one that fails does not stop the others.

    Raises:
        JobError: If any failed; each is named.
    """
    call = f"{train_fold.__module__}:{train_fold.__name__}"
    jobs = [
        Job(
            _name_fold(place.plan, repeat, number),
            call,
            {"place": str(place.path), "repeat": repeat, "number": number},
        )
        for repeat, number in place.plan.places()
    ]
    with open_executor(where, observer) as executor:
        run_jobs(
            executor, jobs, observer, way_on=f"What is done is kept. Resume with: {_command(place)}"
        )


def train_fold(place: str, repeat: int, number: int, observer: Observer = SILENT) -> None:
    """Train one fold, or what is left of it, by what the cross-validation's folder says.

    Args:
        place: The cross-validation's folder, with its images prepared.
        repeat: From 1.
        number: The fold's, from 1.
        observer: Told of progress.
    """
    folder = CrossvalDirectory.open(Path(place))
    recipe = load_recipe(folder.recipe_path)
    data = _prepare(folder, recipe, observer)
    folds = _list_folds(folder, recipe, data.index)
    places = zip(folder.plan.places(), folds, strict=True)
    finish_fold(dict(places)[repeat, number], data, observer)


@dataclass(frozen=True, eq=False)
class Fold:
    """One training: its folder, its recipe and its images."""

    run: RunDirectory
    recipe: Recipe
    index: Index


def _list_folds(place: CrossvalDirectory, recipe: Recipe, index: Index) -> Iterator[Fold]:
    for repeat in range(1, place.plan.repeats + 1):
        # Another deal needs another seed; the trainings of a repeat share it.
        own = recipe.model_copy(update={"seed": recipe.seed + repeat - 1})
        dealt = make_folds(
            index, folds=place.plan.folds, seed=own.seed, watch=recipe.data.validation
        )
        for number, part in enumerate(dealt, start=1):
            yield Fold(place.fold(repeat, number), _describe(own, place, number), part)


def _prepare(place: CrossvalDirectory, recipe: Recipe, observer: Observer) -> PreparedData:
    """Read the images, once for all folds; only test images are set apart."""
    if place.index_path.exists() and place.integrity_path.exists():
        data = PreparedData.load(place.index_path, place.integrity_path)
        return replace(data, thumbnails=load_thumbnails(place, data.index))
    data = anchor_images(prepare_data(recipe, observer=observer, folds=place.plan.folds))
    save_thumbnails(place, data.thumbnails)
    data.save(place.index_path, place.integrity_path)
    return data


def _name_fold(plan: FoldPlan, repeat: int, number: int) -> str:
    again = f"repeat {repeat} of {plan.repeats}, " if plan.repeats > 1 else ""
    return f"{again}fold {number} of {plan.folds}"


def _describe(recipe: Recipe, place: CrossvalDirectory, number: int) -> Recipe:
    own = f"{recipe.description} " if recipe.description else ""
    fold = f"Fold {number} of {place.plan.folds} of the cross-validation {place.path.name}."
    return recipe.model_copy(update={"description": f"{own}{fold}"})


def finish_fold(fold: Fold, data: PreparedData, observer: Observer) -> None:
    """Train one fold, or what is left of it."""
    run, recipe = fold.run, fold.recipe
    if run.report_path.exists():
        observer.on_note(f"{run.path}: trained already")
        run.drop_state()  # where it was killed just before
        return
    is_begun = is_run(run.path)
    if not is_begun:
        # What was killed while its folder was being made holds nothing yet.
        shutil.rmtree(run.path, ignore_errors=True)
        run = RunDirectory.create_at(run.path, dump_recipe(recipe))
    own = PreparedData(fold.index, data.integrity)
    with run.lock():
        if data.thumbnails is not None:
            row_of = {image: row for row, image in enumerate(data.index.frame["image"])}
            rows = [row_of[image] for image in fold.index.frame["image"]]
            save_thumbnails(run, data.thumbnails[rows])
        own.save(run.index_path, run.integrity_path)
        train_prepared(run, recipe, own, observer, resume=is_begun)
        run.drop_state()
    _forget_network()


def _forget_network() -> None:
    """Give back what a network holds, before the next one is built."""
    import keras

    keras.backend.clear_session()
    gc.collect()


def _gather_results(
    place: CrossvalDirectory, recipe: Recipe, data: PreparedData, seconds: float
) -> CrossvalResult:
    """Gather the finished folds, judge all images out of fold, and write it all down.

    Raises:
        RunError: If a fold's files are incomplete.
    """
    answers = read_folds(place)
    rows = tuple(read_fold(place, repeat, fold) for repeat, fold in place.plan.places())
    verdict = _judge_folds(place, recipe, answers)
    judgement = verdict.headline
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
    write_text(place.predictions_path, render_answers(place, answers))
    _write_page(place, result, data, verdict, answers)
    return result


def _judge_folds(place: CrossvalDirectory, recipe: Recipe, answers: FoldAnswers) -> Verdict:
    """Judge every answer by the model that did not see the image in its training."""
    everything = answers.all
    units = find_units(everything, place.plan.repeats)
    thresholds = None
    if everything.thresholds is not None:
        thresholds = fit_thresholds(
            everything.targets,
            everything.probabilities,
            recipe.thresholds,
            seed=recipe.seed,
            groups=units,
        ).stored

    def judge_view(probabilities: np.ndarray) -> Judgement:
        return judge(
            everything.task.make_outcome(everything.targets, probabilities, everything.thresholds),
            everything.classes,
            seed=recipe.seed,
            groups=units,
            thresholds=thresholds,
        )

    tta = None if everything.averaged is None else judge_view(everything.averaged)
    return Verdict(OUT_OF_FOLD, everything, judge_view(everything.plain), tta)


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
        "headline": {"split": OUT_OF_FOLD, "metric": metric, **headline.to_dict()},
        "images": result.images,
        "folds": place.plan.folds,
        "repeats": place.plan.repeats,
        "seconds": round(result.seconds, 1),
        "over_folds": {name: describe_spread(each) for name, each in result.spreads.items()},
        "out_of_fold": result.judgement.to_dict(),
        "each_fold": folds,
    }
    write_json(place.metrics_path, content)


def describe_spread(spread: FoldSpread) -> dict[str, Any]:
    """Return a spread as plain values for JSON."""
    return {"mean": spread.mean, "deviation": spread.deviation, "values": list(spread.values)}


def _write_page(
    place: CrossvalDirectory,
    result: CrossvalResult,
    data: PreparedData,
    verdict: Verdict,
    answers: FoldAnswers,
) -> None:
    recipe = result.recipe
    shown = replace(verdict, answers=answers.first)
    described = reporting.describe_parts(shown, recipe, _list_models(place, answers))
    report = CrossvalReport(
        name=recipe.name,
        place=place.path.name,
        description=recipe.description,
        metric=recipe.metric,
        shown=list_shown(recipe),
        folds=place.plan.folds,
        repeats=place.plan.repeats,
        images=result.images,
        created=format_now(),
        rows=result.folds,
        judged=described,
        data=summarise_data(data.index, recipe.data.source, is_split=False),
        integrity=data.integrity,
        environment=reporting.describe_machine(describe_environment()),
        commands=_list_next(place),
        recipe_text=dump_recipe(recipe),
    )
    figures = draw_crossval_figures(report)
    save_figures(figures, place.figures_dir)
    write_text(place.report_path, render_crossval_page(report, figures))


def _list_models(place: CrossvalDirectory, answers: FoldAnswers) -> list[reporting.PartModel]:
    """List the models of the first repeat, whose answers are shown: each looked at its own fold."""

    def open_fold(run: RunDirectory) -> Bundle | None:
        if not run.bundle_dir.is_dir():
            return None
        start_tensorflow()
        from tfclassify.model.bundle import load_bundle

        _forget_network()
        return load_bundle(run.bundle_dir)

    runs = [place.fold(1, fold) for fold in range(1, place.plan.folds + 1)]
    parts = zip(runs, answers.parts[: place.plan.folds], strict=True)
    return [(len(part), partial(open_fold, run)) for run, part in parts]


def _list_next(place: CrossvalDirectory) -> tuple[Command, ...]:
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
