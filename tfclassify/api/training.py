"""Verbs that take a recipe, or images that one is fitted to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.parameters import AnyPath, Changes, Columns, Size, read_columns, read_path
from tfclassify.api.progress import choose_observer
from tfclassify.api.run import Run
from tfclassify.errors import RequestError
from tfclassify.events import Observer

if TYPE_CHECKING:
    from PIL.Image import Image

    from tfclassify.tuning.results import TuneResult
    from tfclassify.workflows.check import CheckResult
    from tfclassify.workflows.crossval import CrossvalResult
    from tfclassify.workflows.lr import LrResult
    from tfclassify.workflows.recipes import Given


def train(
    recipe: Given | None = None,
    *,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: Size | None = None,
    epochs: int | None = None,
    time: str | float | None = None,
    out: AnyPath | None = None,
    resume: bool = False,
    force: bool = False,
    keep_state: bool = False,
    workers: str | None = None,
    progress: bool | Observer = True,
) -> Run:
    """Train, judge the model on held-out images, and write the run's report.

    Args:
        recipe: A recipe, or images: a folder, an archive or a table, which get a recipe that
            fits them and is written into the run. With ``resume``, a run may stand here.
        set: Changes of the recipe: ``phases[1].epochs=3``; from Python also a mapping.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        backbone: Short for ``model.backbone`` in ``set``.
        image_size: Short for ``data.image_size`` in ``set``: 224, or 160x192, height first.
        epochs: At most so many in each phase; short for ``phases[].epochs`` in ``set``.
        time: What all of it may take, such as 30m, or seconds: epochs and schedules are fitted
            to it; for images without a recipe, backbone and image size are chosen.
        out: The run's folder; default: ``reports/NAME/NUMBER``.
        resume: Resume an interrupted run.
        force: With ``resume``: resume although recipe, images or versions have changed.
        keep_state: Keep what only resuming needs, though the run is finished.
        workers: Processes that train together, ``host:port,host:port``, the same on every
            machine; the first one writes the run.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The finished run.

    Raises:
        RequestError: If what was asked for is wrong; a ``RecipeError`` lists every problem.
        TfclassifyError: If the data, the model or the training fails.

    Example:
        >>> run = tfc.train("photos/", epochs=3)  # doctest: +SKIP
    """
    from tfclassify.workflows.recipes import list_overrides
    from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe
    from tfclassify.workflows.tune import parse_time

    seconds = parse_time(time)
    if seconds is not None and (resume or seconds <= 0):
        raise RequestError(
            f"--time: must be above 0 and belongs to a new training, got {time!r}"
            f"{' with --resume, which resumes with the recipe as it was fitted' * resume}"
        )
    changes = list_overrides(set, backbone=backbone, image_size=image_size, epochs=epochs)
    folder = read_path(out)
    observer = choose_observer(progress)
    if resume:
        given = None if recipe is None else Path(_need_path(recipe, "train"))
        result = resume_training(
            given,
            folder,
            changes,
            observer,
            force=force,
            keep_state=keep_state,
            workers=workers,
        )
    else:
        request = TrainRequest(
            _need(recipe, "train"),
            changes,
            folder,
            columns=read_columns(columns),
            keep_state=keep_state,
            seconds=seconds,
            workers=workers,
        )
        result = train_recipe(request, observer)
    return Run(result.run, result)


def crossval(
    recipe: Given | None = None,
    *,
    folds: int = 5,
    repeat: int = 1,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: Size | None = None,
    epochs: int | None = None,
    out: AnyPath | None = None,
    resume: bool = False,
    force: bool = False,
    progress: bool | Observer = True,
) -> CrossvalResult:
    """Train on every fold and judge each image by a model that did not train on it.

    Args:
        recipe: A recipe, or images: a folder, an archive or a table. With ``resume``, a
            cross-validation may stand here.
        folds: Parts that the images are dealt into.
        repeat: Times that the images are dealt anew.
        executor: Where the folds are trained: here, processes or ray.
        workers: Folds at once; default: one a core.
        threads: Threads of each fold; default: TensorFlow's own number, with which every
            executor gives the same bits.
        address: Of a Ray cluster: HOST:PORT or auto; default: one on this machine.
        set: Changes of the recipe: ``phases[1].epochs=3``; from Python also a mapping.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        backbone: Short for ``model.backbone`` in ``set``.
        image_size: Short for ``data.image_size`` in ``set``: 224, or 160x192, height first.
        epochs: At most so many in each phase; short for ``phases[].epochs`` in ``set``.
        out: The folder; default: ``reports/NAME/cv-NUMBER``.
        resume: Resume an interrupted cross-validation.
        force: With ``resume``: resume although recipe, images or versions have changed.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If what was asked for is wrong.
        TfclassifyError: If the data, the model or a training fails.
    """
    from tfclassify.executors.catalogue import ExecutorOptions
    from tfclassify.workflows.crossval import CrossvalRequest, crossval_recipe, resume_crossval
    from tfclassify.workflows.recipes import list_overrides

    changes = list_overrides(set, backbone=backbone, image_size=image_size, epochs=epochs)
    folder = read_path(out)
    observer = choose_observer(progress)
    where = ExecutorOptions(executor, workers, threads, address)
    if resume:
        given = None if recipe is None else Path(_need_path(recipe, "crossval"))
        return resume_crossval(given, folder, changes, observer, force=force, executor=where)
    request = CrossvalRequest(
        _need(recipe, "crossval"),
        folds,
        repeat,
        changes,
        folder,
        columns=read_columns(columns),
        executor=where,
    )
    return crossval_recipe(request, observer)


def tune(
    recipe: Given | None = None,
    *,
    trials: int | None = None,
    time: str | float | None = None,
    sampler: Literal["tpe", "random", "grid", "cma_es"] = "tpe",
    pruner: Literal["none", "median", "hyperband"] = "none",
    seed: int = 0,
    also: Literal["macs", "size", "parameters", "latency"] | None = None,
    max_macs: str | float | None = None,
    folds: int = 0,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: Size | None = None,
    epochs: int | None = None,
    out: AnyPath | None = None,
    resume: bool = False,
    progress: bool | Observer = True,
) -> TuneResult:
    """Search for better values of a recipe's keys, and say what the choice is worth.

    Args:
        recipe: A recipe, or images: a folder, an archive or a table; the recipe's section
            ``search`` says what may change. With ``resume``, a search may stand here.
        trials: Trials at most, the recipe as it is included; default: 50, or what fits
            ``time``.
        time: Time at most, such as 30m or 2h, or seconds.
        sampler: Who proposes the values.
        pruner: Who stops trials that fall behind.
        seed: Of the proposals.
        also: A second aim, which is made small; ``size``: bytes of the weights.
        max_macs: Multiply-accumulates an image at most, such as 300M; networks that cost more
            are not trained.
        folds: Judge the whole search by so many nested folds, each with a search of its own
            (whose ``trials`` are as many, and which shares ``time``); 0 for none.
        executor: Where the trials run: here, processes or ray.
        workers: Trials at once; default: one a core.
        threads: Threads of each; default: TensorFlow's own number, which gives the same bits.
        address: Of a Ray cluster: HOST:PORT or auto; default: one on this machine.
        set: Changes of the recipe: ``phases[1].epochs=3``; from Python also a mapping.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        backbone: Short for ``model.backbone`` in ``set``.
        image_size: Short for ``data.image_size`` in ``set``: 224, or 160x192, height first.
        epochs: At most so many in each phase; short for ``phases[].epochs`` in ``set``.
        out: The folder; default: ``reports/NAME/search-NUMBER``.
        resume: Resume a search; ``trials`` and ``time`` are then new bounds.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        Every trial, the best recipe's path, and the score of choosing it.

    Raises:
        MissingExtraError: If Optuna is not installed.
        RequestError: If what was asked for is wrong.
        TfclassifyError: If the data fails, or the recipe as it is cannot be trained.
    """
    from tfclassify.executors.catalogue import ExecutorOptions
    from tfclassify.workflows.recipes import list_overrides
    from tfclassify.workflows.tune import (
        TuneRequest,
        parse_amount,
        parse_time,
        resume_tune,
        tune_recipe,
    )

    where = ExecutorOptions(executor, workers, threads, address)
    seconds, observer = parse_time(time), choose_observer(progress)
    changes = list_overrides(set, backbone=backbone, image_size=image_size, epochs=epochs)
    folder = read_path(out)
    if resume:
        given = folder or Path(_need_path(_need(recipe, "tune"), "tune"))
        return resume_tune(given, trials=trials, seconds=seconds, executor=where, observer=observer)
    request = TuneRequest(
        _need(recipe, "tune"),
        changes,
        trials=trials,
        seconds=seconds,
        sampler=sampler,
        pruner=pruner,
        seed=seed,
        also=also,
        max_macs=parse_amount(max_macs),
        folds=folds,
        executor=where,
        out=folder,
        columns=read_columns(columns),
    )
    return tune_recipe(request, observer)


def check(
    recipe: Given,
    *,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: Size | None = None,
    epochs: int | None = None,
    progress: bool | Observer = True,
) -> CheckResult:
    """Check a recipe and its images, and say what would be trained and for how long.

    Args:
        recipe: A recipe, or images: a folder, an archive or a table.
        set: Changes of the recipe: ``phases[1].epochs=3``; from Python also a mapping.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        backbone: Short for ``model.backbone`` in ``set``.
        image_size: Short for ``data.image_size`` in ``set``: 224, or 160x192, height first.
        epochs: At most so many in each phase; short for ``phases[].epochs`` in ``set``.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If the recipe is wrong.
        TfclassifyError: If the data or the model cannot be used.
    """
    from tfclassify.workflows.check import CheckRequest, check_recipe
    from tfclassify.workflows.recipes import list_overrides

    changes = list_overrides(set, backbone=backbone, image_size=image_size, epochs=epochs)
    observer = choose_observer(progress)
    return check_recipe(CheckRequest(recipe, changes, read_columns(columns)), observer)


def preview(
    recipe: Given,
    *,
    set: Changes = (),
    columns: Columns = None,
    out: AnyPath | None = None,
    images: int = 8,
    versions: int = 6,
    progress: bool | Observer = True,
) -> Image:
    """Draw what the model will see in training.

    Args:
        recipe: A recipe, or images: a folder, an archive or a table.
        set: Changes of the recipe: ``phases[1].epochs=3``; from Python also a mapping.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        out: PNG to write.
        images: Images shown, one a row.
        versions: Augmented versions of each.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        The picture, which a notebook shows by itself.

    Raises:
        RequestError: If the recipe is wrong.
        TfclassifyError: If the data cannot be used.
    """
    from tfclassify.workflows.preview import PreviewRequest, preview_recipe
    from tfclassify.workflows.recipes import list_overrides

    path = read_path(out)
    observer = choose_observer(progress)
    request = PreviewRequest(
        recipe, list_overrides(set), path, images, versions, read_columns(columns)
    )
    return preview_recipe(request, observer)


def lr(
    recipe: Given,
    *,
    phase: str | None = None,
    lowest: float = 1e-7,
    highest: float = 1.0,
    steps: int = 100,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: Size | None = None,
    out: AnyPath | None = None,
    progress: bool | Observer = True,
) -> LrResult:
    """Raise the learning rate of a phase from update to update, and read off a good one.

    Args:
        recipe: A recipe, or images: a folder, an archive or a table.
        phase: Name of the phase; default: the first.
        lowest: The first learning rate.
        highest: The last one.
        steps: Updates; the test ends earlier where the loss diverges.
        set: Changes of the recipe: ``phases[1].epochs=3``; from Python also a mapping.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``file=Id,label=Genre``; also group, split, weight, ``one_hot=A+B``.
        backbone: Short for ``model.backbone`` in ``set``.
        image_size: Short for ``data.image_size`` in ``set``: 224, or 160x192, height first.
        out: The page to write; default: lr.html.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If what was asked for is wrong.
        TfclassifyError: If the data or the model cannot be used.
    """
    from tfclassify.workflows.lr import LrRequest, find_rate
    from tfclassify.workflows.recipes import list_overrides

    request = LrRequest(
        recipe,
        phase,
        lowest,
        highest,
        steps,
        list_overrides(set, backbone=backbone, image_size=image_size),
        Path("lr.html" if out is None else out),
        read_columns(columns),
    )
    return find_rate(request, choose_observer(progress))


def _need(recipe: Given | None, verb: str) -> Given:
    if recipe is None:
        raise RequestError(
            f"{verb}: give a recipe, such as recipes/quickstart.yaml, or a folder of images"
        )
    return recipe


def _need_path(recipe: Given, verb: str) -> AnyPath:
    if isinstance(recipe, str | os.PathLike):
        return recipe
    raise RequestError(
        f"{verb}: with resume, name the folder to resume, got a {type(recipe).__name__}"
    )
