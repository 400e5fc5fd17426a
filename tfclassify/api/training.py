"""Verbs that take a recipe, or images that one is fitted to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

#: What ``set`` takes: key to value, or ``key=value`` texts as after ``--set``.
Changes = Mapping[str, Any] | Sequence[str]
#: What ``columns`` takes: ``{"file": "Id"}``, or ``file=Id`` as after ``--columns``.
Columns = Mapping[str, str | None] | str | None


def train(
    recipe: Given | None = None,
    *,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: str | int | tuple[int, int] | None = None,
    epochs: int | None = None,
    time: str | float | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    keep_state: bool = False,
    progress: bool | Observer = True,
) -> Run:
    """Train, judge the model on held-out images, and write the run's report.

    Args:
        recipe: A folder, zip, tar or table of images, a recipe file, a mapping like one,
            or a ``Recipe``. Images without a recipe get one that fits them, which is
            written into the run. With ``resume``, a run may stand here.
        set: Changes of the recipe, such as ``{"phases[1].epochs": 3}``.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``{"file": "Id", "label": "Genre"}``.
        backbone: Short for ``set={"model.backbone": …}``.
        image_size: Short for ``set={"data.image_size": …}``: 224, or (height, width).
        epochs: Short for ``set={"phases[].epochs": …}``: at most so many in each phase.
        time: What all of it may take: seconds, or a text such as ``30m``. Epochs and schedules
            are fitted to it; for images without a recipe, backbone and image size are chosen.
        out: The run's folder; None makes ``reports/<name>/<number>``.
        resume: Resume an interrupted run.
        force: With ``resume``: resume although recipe, images or versions have changed.
        keep_state: Keep what only resuming needs, though the run is finished.
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
    folder = None if out is None else Path(out)
    observer = choose_observer(progress)
    if resume:
        given = None if recipe is None else Path(_need_path(recipe, "train"))
        result = resume_training(
            given, folder, changes, observer, force=force, keep_state=keep_state
        )
    else:
        request = TrainRequest(
            _need(recipe, "train"),
            changes,
            folder,
            columns=read_columns(columns),
            keep_state=keep_state,
            seconds=seconds,
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
    image_size: str | int | tuple[int, int] | None = None,
    epochs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    force: bool = False,
    progress: bool | Observer = True,
) -> CrossvalResult:
    """Train on every fold and judge each image by a model that did not train on it.

    Args:
        recipe: As in ``train``; with ``resume``, a cross-validation may stand here.
        folds: Parts that the images are dealt into.
        repeat: Times that the images are dealt anew.
        executor: Where the folds are trained: here, processes or ray.
        workers: Folds at once; None: one a core.
        threads: Threads of each fold; None leaves TensorFlow's own number, with which every
            executor gives the same bits.
        address: Of a Ray cluster; None starts one on this machine.
        set: Changes of the recipe.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``{"file": "Id", "label": "Genre"}``.
        backbone: Short for ``set={"model.backbone": …}``.
        image_size: Short for ``set={"data.image_size": …}``.
        epochs: Short for ``set={"phases[].epochs": …}``.
        out: The folder; None makes ``reports/<name>/cv-<number>``.
        resume: Resume an interrupted cross-validation.
        force: With ``resume``: resume although recipe, images or versions have changed.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If what was asked for is wrong.
        TfclassifyError: If the data, the model or a training fails.
    """
    from tfclassify.executors.jobs import ExecutorOptions
    from tfclassify.workflows.crossval import CrossvalRequest, crossval_recipe, resume_crossval
    from tfclassify.workflows.recipes import list_overrides

    changes = list_overrides(set, backbone=backbone, image_size=image_size, epochs=epochs)
    folder = None if out is None else Path(out)
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
    sampler: str = "tpe",
    pruner: str = "none",
    seed: int = 0,
    also: str | None = None,
    max_macs: str | float | None = None,
    folds: int = 0,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    set: Changes = (),
    columns: Columns = None,
    backbone: str | None = None,
    image_size: str | int | tuple[int, int] | None = None,
    epochs: int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool | Observer = True,
) -> TuneResult:
    """Search for better values of a recipe's keys, and say what the choice is worth.

    Args:
        recipe: As in ``train``; its section ``search`` says what may change. With
            ``resume``, a search may stand here.
        trials: Trials at most, the recipe as it is included; None: 50, or what fits ``time``.
        time: Time at most: seconds, or a text such as ``30m`` or ``2h``.
        sampler: tpe, random, grid or cma_es.
        pruner: none, median or hyperband.
        seed: Of the proposals.
        also: A second aim, made small: macs, size (bytes of the weights), parameters or latency.
        max_macs: Multiply-accumulates an image at most: a number, or a text such as ``300M``.
        folds: Judge the whole search by so many nested folds, each with a search of its own
            (whose ``trials`` are as many, and which shares ``time``); 0 for none.
        executor: Where the trials run: here, processes or ray.
        workers: Trials at once.
        threads: Threads of each; None leaves TensorFlow's own, which gives the same bits.
        address: Of a Ray cluster.
        set: Changes of the recipe.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``{"file": "Id", "label": "Genre"}``.
        backbone: Short for ``set={"model.backbone": …}``.
        image_size: Short for ``set={"data.image_size": …}``.
        epochs: Short for ``set={"phases[].epochs": …}``.
        out: The folder; None makes ``reports/<name>/search-<number>``.
        resume: Resume a search; ``trials`` and ``time`` are then new bounds.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        Every trial, the best recipe's path, and the score of choosing it.

    Raises:
        MissingExtraError: If Optuna is not installed.
        RequestError: If what was asked for is wrong.
        TfclassifyError: If the data fails, or the recipe as it is cannot be trained.
    """
    from tfclassify.executors.jobs import ExecutorOptions
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
    folder = None if out is None else Path(out)
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
    image_size: str | int | tuple[int, int] | None = None,
    epochs: int | None = None,
    progress: bool | Observer = True,
) -> CheckResult:
    """Check a recipe and its images, and say what would be trained and for how long.

    Args:
        recipe: As in ``train``.
        set: Changes of the recipe.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``{"file": "Id", "label": "Genre"}``.
        backbone: Short for ``set={"model.backbone": …}``.
        image_size: Short for ``set={"data.image_size": …}``.
        epochs: Short for ``set={"phases[].epochs": …}``.
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
    out: str | os.PathLike[str] | None = None,
    images: int = 8,
    versions: int = 6,
    progress: bool | Observer = True,
) -> Image:
    """Draw what the model will see in training.

    Args:
        recipe: As in ``train``.
        set: Changes of the recipe.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``{"file": "Id", "label": "Genre"}``.
        out: PNG to write; None writes nothing.
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

    path = None if out is None else Path(out)
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
    image_size: str | int | tuple[int, int] | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool | Observer = True,
) -> LrResult:
    """Raise the learning rate of a phase from update to update, and read off a good one.

    Args:
        recipe: As in ``train``.
        phase: Name of the phase; None tests the first.
        lowest: The first learning rate.
        highest: The last one.
        steps: Updates; the test ends earlier where the loss diverges.
        set: Changes of the recipe.
        columns: Which column of a table holds what, where it is taken wrongly:
            ``{"file": "Id", "label": "Genre"}``.
        backbone: Short for ``set={"model.backbone": …}``.
        image_size: Short for ``set={"data.image_size": …}``.
        out: The page to write; None writes ``lr.html``.
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


def _need_path(recipe: Given, verb: str) -> str | os.PathLike[str]:
    if isinstance(recipe, str | os.PathLike):
        return recipe
    raise RequestError(
        f"{verb}: with resume, name the folder to resume, got a {type(recipe).__name__}"
    )


def read_columns(columns: Columns) -> dict[str, str | None]:
    """Return which column holds what, however it was said."""
    from tfclassify.workflows.create import parse_columns

    return parse_columns(columns) if isinstance(columns, str) else dict(columns or {})
