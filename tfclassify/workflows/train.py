"""``train``: from a recipe to a run that is judged and reported.

Owns: the order of the steps and what an interruption leaves behind.
Does not own: any of the steps.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData, prepare_data
from tfclassify.errors import RequestError, RunError, TargetError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.files import sweep_unfinished, write_text
from tfclassify.judging.answers import ask_bundle, write_predictions
from tfclassify.judging.seen import save_thumbnails
from tfclassify.judging.verdicts import calibrate, judge_answers, write_metrics
from tfclassify.recipe.loading import dump_recipe, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.runs.documents import Choice, RunMetrics, read_document
from tfclassify.scoring.tasks import get_task
from tfclassify.scoring.verdicts import Verdict
from tfclassify.training.mining import write_hard_examples
from tfclassify.training.workers import Workers, find_workers
from tfclassify.workflows.batch_fitting import keep_batches, resolve_batches
from tfclassify.workflows.material import (
    anchor_images,
    build_network,
    count_trainable,
    open_material,
)
from tfclassify.workflows.preview import list_preview
from tfclassify.workflows.recipes import Given, is_source, open_recipe
from tfclassify.workflows.resuming import (
    check_unchanged,
    explain_interruption,
    find_recipe_changes,
    note_beginning,
    refuse_changes,
)
from tfclassify.workflows.start import set_up_keras, verb
from tfclassify.workflows.together import confirm, explain_loss, follow, join, say_how

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.model.bundle import Bundle
    from tfclassify.scoring.epochs import EpochRecord
    from tfclassify.training.replicas import Replicas
    from tfclassify.training.sources import Material
    from tfclassify.tuning.budget import Pace


@dataclass(frozen=True)
class TrainRequest:
    """What to train.

    Attributes:
        recipe: A recipe, or images that one is fitted to; see ``open_recipe``.
        overrides: ``key=value`` texts, as after ``--set``.
        out: The run's folder; None makes ``reports/<name>/<number>``.
        reports: Where numbered runs are made.
        keep_state: Whether a finished run keeps what only resuming needs.
        columns: Which column of a table holds what, for images without a recipe.
        seconds: What all of it may take; epochs are fitted to it, and for images without a
            recipe backbone and image size are chosen by it. None leaves the recipe alone.
        workers: ``host:port,host:port`` of the processes that train together, this one among
            them; None leaves it to the recipe and the environment.
    """

    recipe: Given
    overrides: tuple[str, ...] = ()
    out: Path | None = None
    reports: Path = Path("reports")
    columns: Mapping[str, str | None] = field(default_factory=dict)
    keep_state: bool = False
    seconds: float | None = None
    workers: str | None = None


@dataclass(frozen=True)
class TrainResult:
    """What a training left.

    Attributes:
        run: The run's folder.
        recipe: The recipe as trained.
        verdicts: Judgements of the held-out splits; none in whole-dataset mode.
        epochs: Epochs trained.
        seconds: Wall time of this call.
        report: The page.
        kept_phase: Name of the phase whose weights the run has.
        worker: Which worker this process was, where it was not the one that writes the run.
    """

    run: Path
    recipe: Recipe
    verdicts: tuple[Verdict, ...]
    epochs: int
    seconds: float
    report: Path
    kept_phase: str
    worker: str = ""


@verb
def train_recipe(request: TrainRequest, observer: Observer = SILENT) -> TrainResult:
    """Train by a recipe in a new run folder.

    Raises:
        RecipeError: If the recipe is wrong; nothing is made then.
        RequestError: If the time is too short for one epoch of each phase.
        TfclassifyError: If the data, the model or the training fails.
    """
    started = time.perf_counter()
    recipe = open_recipe(request.recipe, request.overrides, observer, request.columns)
    workers = find_workers(recipe.runtime.strategy, request.workers)
    if workers is not None and request.seconds is not None:
        _refuse_time(workers)
    if workers is not None and not workers.is_chief:
        data = anchor_images(prepare_data(recipe, observer=observer))
        return _follow(workers, recipe, data, None, started, observer)
    if workers is None:  # which refuse what is not the same for all
        recipe = resolve_batches(recipe, observer)
    choice, pace = None, None
    if request.seconds is not None:
        recipe, choice, pace = _fit(request, request.seconds, recipe, started, observer)
    run = _create(request, recipe)
    observer.on_note(f"run {run.path}")
    with run.lock(), _explain_interruption(run), _remove_unstarted(run):
        if choice is not None:
            choice.write(run.choice_path)
        data = _prepare(run, recipe, observer)
        replicas = None
        if workers is not None:
            where, how = str(run.path.absolute()), say_how(None)
            replicas, _ = join(workers, recipe, data, where, how, observer)
        with explain_loss(workers, str(run.path), run.describe_kept):
            result = train_prepared(
                run,
                recipe,
                data,
                observer,
                resume=False,
                started=started,
                pace=pace,
                replicas=replicas,
            )
        if not request.keep_state:
            run.drop_state()
        return result


def _refuse_time(workers: Workers) -> NoReturn:
    with workers.listener:
        raise RequestError(
            "--time: fits a training to one machine, and several workers are to train "
            "together; leave one of them out"
        )


def _create(request: TrainRequest, recipe: Recipe) -> RunDirectory:
    if request.out is not None:
        return RunDirectory.create_at(request.out, dump_recipe(recipe))
    return RunDirectory.create(request.reports, recipe.name, dump_recipe(recipe))


def _fit(
    request: TrainRequest, seconds: float, recipe: Recipe, started: float, observer: Observer
) -> tuple[Recipe, Choice, Pace]:
    """Fit the recipe to a time."""
    from tfclassify.workflows.fitting import Fitting, fit_recipe

    return fit_recipe(
        Fitting(
            recipe,
            seconds,
            lambda: time.perf_counter() - started,
            is_source(request.recipe),
            request.overrides,
            observer,
        )
    )


def _follow(
    workers: Workers,
    recipe: Recipe,
    data: PreparedData,
    state: Path | None,
    started: float,
    observer: Observer,
) -> TrainResult:
    """Be one of the workers that the first one trains with."""
    path, epochs, kept = follow(workers, recipe, data, state, observer)
    seconds = time.perf_counter() - started
    run = RunDirectory(path)
    return TrainResult(path, recipe, (), epochs, seconds, run.report_path, kept, str(workers))


@verb
def resume_training(
    given: Path | None,
    out: Path | None,
    overrides: Sequence[str],
    observer: Observer = SILENT,
    *,
    force: bool = False,
    keep_state: bool = False,
    workers: str | None = None,
) -> TrainResult:
    """Resume a run: ``--resume RUN``, ``--resume --out RUN`` or ``RECIPE --resume --out RUN``.

    Args:
        given: A run, or a recipe that must be the run's own.
        out: The run, where ``given`` is not it.
        overrides: Must be empty.
        observer: Told of progress.
        force: Resume though recipe, images or versions are no longer those of the beginning.
        keep_state: Whether a finished run keeps what only resuming needs.
        workers: The processes that resume it together, as in a request.

    Raises:
        RequestError: If no run is named, or overrides are given.
        TargetError: If the folder is not a run.
        RunError: If it would not end as it would have; every difference is listed.
    """
    run = _open_resumable(out or given, overrides)
    own = load_recipe(run.recipe_path)
    group = None if run.is_finished else find_workers(own.runtime.strategy, workers)
    if group is not None and not group.is_chief:
        data = PreparedData.load(run.index_path, run.integrity_path)
        return _follow(group, own, data, run.state_dir, time.perf_counter(), observer)
    with run.lock(), _explain_interruption(run):
        sweep_unfinished(run.path)
        recipe = _choose_recipe(run, own, given if out is not None else None, force=force)
        is_finished, seconds = run.is_finished, None
        if is_finished:
            observer.on_note(f"{run.path}: trained already; judging it again")
            scores = read_document(RunMetrics, run.metrics_path, "train the run anew")
            seconds = scores.seconds
            if not (run.state_dir / "last.npz").exists():
                return _judge_again(run, recipe, scores, observer)
        if run.index_path.exists() and run.integrity_path.exists():
            data = PreparedData.load(run.index_path, run.integrity_path)
        else:
            data = _prepare(run, recipe, observer)
        replicas = None
        if group is not None:
            how = say_how(run.state_dir)
            replicas, _ = join(group, recipe, data, str(run.path.absolute()), how, observer)
        check_unchanged(run, recipe, data.index, _command(run), observer, force=force)
        with explain_loss(group, str(run.path), run.describe_kept):
            result = train_prepared(
                run, recipe, data, observer, resume=True, seconds=seconds, replicas=replicas
            )
        if not keep_state and not is_finished:
            run.drop_state()
        return result


def _open_resumable(folder: Path | None, overrides: Sequence[str]) -> RunDirectory:
    """Open the run that is to be resumed, by its own recipe."""
    if folder is None:
        raise RequestError("train --resume: name the run to resume, such as reports/plants/001")
    if overrides:
        raise RequestError(
            "train --resume: a run resumes with its own recipe, so --set cannot be given; "
            "train the changed recipe anew"
        )
    run = RunDirectory.open(folder)
    if run.ensemble_path.exists():
        raise TargetError(
            f"{run.path}: is an ensemble, which was not trained itself; {run.describe_way_on()}"
        )
    return run


def _judge_again(
    run: RunDirectory, recipe: Recipe, scores: RunMetrics, observer: Observer
) -> TrainResult:
    """Judge a finished run by its model alone; nothing in it is written anew."""
    from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run

    verdicts: tuple[Verdict, ...] = ()
    if scores.splits:
        verdicts = evaluate_run(EvaluateRequest(run.path), observer).verdicts
    kept = scores.kept_phase or recipe.phases[-1].name
    epochs, seconds = scores.epochs or 0, scores.seconds or 0.0
    return TrainResult(run.path, recipe, verdicts, epochs, seconds, run.report_path, kept)


def _choose_recipe(run: RunDirectory, own: Recipe, given: Path | None, *, force: bool) -> Recipe:
    """Return the run's own recipe; one that was given beside it must be the same, or is forced."""
    if given is None or not given.is_file():
        return own
    other = keep_batches(load_recipe(given), own)
    changes = find_recipe_changes(own, other)
    if not force:
        refuse_changes(run.path, changes, _command(run))
    elif changes:
        write_text(run.recipe_path, dump_recipe(other))
    return other


def _command(run: RunDirectory) -> str:
    return f"tfclassify train --resume {shlex.quote(str(run.path))}"


def _explain_interruption(run: RunDirectory) -> AbstractContextManager[None]:
    return explain_interruption(run.path, run.describe_kept, _command(run))


@contextmanager
def _remove_unstarted(run: RunDirectory) -> Iterator[None]:
    """Remove a new run that failed before its first epoch: there is nothing to go on with."""
    try:
        yield
    except TfclassifyError:
        if not (run.state_dir / "last.npz").exists():
            run.discard()
        raise


def _prepare(run: RunDirectory, recipe: Recipe, observer: Observer) -> PreparedData:
    data = anchor_images(prepare_data(recipe, observer=observer))
    data.save(run.index_path, run.integrity_path)
    save_thumbnails(run, data.thumbnails)
    return data


def train_prepared(
    run: RunDirectory,
    recipe: Recipe,
    data: PreparedData,
    observer: Observer,
    *,
    resume: bool,
    started: float | None = None,
    seconds: float | None = None,
    pace: Pace | None = None,
    replicas: Replicas | None = None,
) -> TrainResult:
    """Train on prepared data in a run that is locked already, judge and report it.

    Args:
        run: Its folder, with the recipe and the index in it.
        recipe: The recipe.
        data: The images, split.
        observer: Told of progress.
        resume: Begin behind the last finished epoch, where there is one.
        started: ``time.perf_counter`` at the start of the command; None means now.
        seconds: Wall time of the training, where it was finished before.
        pace: What keeps it within a time. A training that is resumed has none: it keeps the
            epochs that were decided on.
        replicas: The devices of all processes that train together; None opens those of this
            one that the recipe asks for.

    Raises:
        TfclassifyError: If the model cannot be built or trained.
    """
    started = time.perf_counter() if started is None else started
    set_up_keras(recipe)
    trained = _train(run, recipe, data.index, observer, resume=resume, pace=pace, replicas=replicas)
    bundle, verdicts = _judge_run(run, recipe, data.index, trained, observer)
    seconds = time.perf_counter() - started if seconds is None else seconds
    _write_results(run, recipe, data, trained, verdicts, seconds, bundle)
    return TrainResult(
        run.path,
        recipe,
        tuple(verdicts),
        len(trained.records),
        seconds,
        run.report_path,
        trained.kept_phase,
    )


@dataclass(frozen=True)
class _Trained:
    """What a training leaves in memory.

    Attributes:
        classifier: The network, with the weights that were kept.
        material: What it was trained on.
        records: Every epoch.
        kept_phase: Name of the phase whose weights it has.
        caution: What is to be said beside its scores; empty for nothing.
    """

    classifier: Classifier
    material: Material
    records: Sequence[EpochRecord]
    kept_phase: str
    caution: str


def _train(
    run: RunDirectory,
    recipe: Recipe,
    index: Index,
    observer: Observer,
    *,
    resume: bool,
    pace: Pace | None,
    replicas: Replicas | None,
) -> _Trained:
    """Build the network and train it; the journal is written epoch by epoch."""
    from tfclassify.training.devices import open_replicas
    from tfclassify.training.tensorboard import TensorBoardLog
    from tfclassify.training.trainer import Trainer

    if replicas is None:
        replicas = open_replicas(recipe)
    if replicas.count > 1:
        observer.on_note(f"{replicas.count} devices train together, each a part of every batch")
    note_beginning(run, recipe, index)
    classifier = build_network(recipe, index)
    material = open_material(recipe, index, observer)
    confirm(replicas, classifier, material)
    log = TensorBoardLog(run.tensorboard_dir) if recipe.runtime.tensorboard else None

    def keep(records: Sequence[EpochRecord]) -> None:
        run.write_journal([record.to_dict() for record in records])
        if log is not None:
            log.write(records)

    trainer = Trainer(
        recipe,
        classifier,
        material,
        run.state_dir,
        on_record=keep,
        observer=observer,
        replan=None if pace is None else pace.replan,
        replicas=replicas,
    )
    records = trainer.run(resume=resume)
    replicas.close()
    if log is not None:
        log.close()
    if trainer.hard_examples is not None:
        write_hard_examples(run.mining_path, index.in_split("train"), trainer.hard_examples)
    taught = material.teacher.caution if material.teacher else ""
    caution = " ".join(filter(None, (trainer.caution, taught)))
    return _Trained(classifier, material, records, trainer.kept_phase, caution)


def _judge_run(
    run: RunDirectory, recipe: Recipe, index: Index, trained: _Trained, observer: Observer
) -> tuple[Bundle, list[Verdict]]:
    """Save the bundle, check it against what was trained, and judge what was saved."""
    from tfclassify.model.bundle import load_bundle, save_bundle, store_calibration
    from tfclassify.model.prediction import predict_store
    from tfclassify.training.steps import ForwardPass

    validation, before = trained.material.validation, None
    if validation is not None:
        network = ForwardPass(trained.classifier.network)
        logits = predict_store(network, validation, recipe.step_images)
        before = get_task(recipe.task).activate(logits)
    save_bundle(run.bundle_dir, trained.classifier, classes=index.classes, recipe=recipe)
    bundle = load_bundle(run.bundle_dir)
    answers = {}
    for split, images in (("validation", validation), ("test", None)):
        held_out = index.in_split(split)
        if len(held_out):
            answers[split] = ask_bundle(bundle, held_out, recipe.data, recipe.tta, observer, images)
    if before is not None:
        _check_agreement(run, before, answers["validation"].plain)
    calibrated = calibrate(answers.get("validation"), recipe, index.classes)
    store_calibration(bundle, **asdict(calibrated))
    return bundle, [
        judge_answers(own, split, recipe, calibrated, trained.caution)
        for split, own in answers.items()
    ]


def _check_agreement(run: RunDirectory, before: np.ndarray, after: np.ndarray) -> None:
    gap = float(np.abs(before - after).max())
    if gap > 1e-5:
        raise RunError(
            f"{run.bundle_dir}: the saved model differs from the trained one by {gap:.2g} in "
            f"probability, allowed 1e-5; the run's state is kept, please report this"
        )


def _write_results(
    run: RunDirectory,
    recipe: Recipe,
    data: PreparedData,
    trained: _Trained,
    verdicts: Sequence[Verdict],
    seconds: float,
    bundle: Bundle,
) -> None:
    from tfclassify.workflows.reporting import write_run_report

    write_metrics(
        run.metrics_path,
        verdicts,
        recipe.metric,
        epochs=len(trained.records),
        kept_phase=trained.kept_phase,
        training_seconds=round(sum(record.seconds for record in trained.records), 1),
        seconds=round(seconds, 1),
    )
    write_predictions(run.predictions_path, verdicts)
    write_run_report(
        run,
        recipe,
        data,
        trained.records,
        verdicts,
        parameters=trained.classifier.network.count_params(),
        trainable=count_trainable(recipe, trained.classifier),
        kept_phase=trained.kept_phase,
        preview=list_preview(recipe, data.index),
        total_seconds=seconds,
        bundle=bundle,
    )
