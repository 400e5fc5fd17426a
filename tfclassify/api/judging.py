"""Verbs that take runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.parameters import AnyPath, Source, read_path
from tfclassify.api.progress import choose_observer
from tfclassify.api.run import Run
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.inference.prediction import ImageInput, Predictions
    from tfclassify.workflows.compare import CompareResult
    from tfclassify.workflows.compress import CompressResult
    from tfclassify.workflows.evaluate import EvaluateResult
    from tfclassify.workflows.export import ExportResult
    from tfclassify.workflows.runs import RunsResult
    from tfclassify.workflows.submit import SubmitResult


def evaluate(
    run: AnyPath,
    *,
    data: Source | None = None,
    tta: bool | None = None,
    out: AnyPath | None = None,
    include_trained: bool = False,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    progress: bool | Observer = True,
) -> EvaluateResult:
    """Judge a run's model on its held-out images, or on others.

    Args:
        run: A run, such as ``reports/plants/001``; from Python also a ``Run``.
        data: Labelled images: a folder, an archive or a table; default: the run's held-out.
        tta: Average over the recipe's views; default: if it has any.
        out: Folder for metrics.json and report.html; default: nothing is written.
        include_trained: Judge those of ``data`` that the run knows, too.
        executor: Where the images are predicted: here, processes or ray.
        workers: Jobs at once; default: one a core.
        threads: Threads of each; default: TensorFlow's own number, which gives the same bits.
        address: Of a Ray cluster: HOST:PORT or auto; default: one on this machine.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        Scores with their intervals: ``.metrics["accuracy"].value``.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the run has no views, or held nothing out and there is no ``data``.
        DataError: If the images cannot be read, or their labels are not the model's.
    """
    from tfclassify.executors.catalogue import ExecutorOptions
    from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run

    source = None if data is None else os.fspath(data)
    observer = choose_observer(progress)
    where = ExecutorOptions(executor, workers, threads, address)
    request = EvaluateRequest(Path(run), source, tta, read_path(out), include_trained, where)
    return evaluate_run(request, observer)


def predict(
    run: AnyPath,
    images: ImageInput | Sequence[ImageInput],
    *,
    tta: bool | None = None,
    out: AnyPath | None = None,
    format: Literal["full", "simple"] = "full",
    html: AnyPath | None = None,
    save_images: AnyPath | None = None,
    top: int = 3,
    calibrated: bool = False,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    progress: bool | Observer = True,
) -> Predictions:
    """Predict the classes of images; unreadable files are listed with their fault.

    Args:
        run: A run, such as ``reports/plants/001``; from Python also a ``Run``.
        images: Images, folders of images, https addresses; from Python also PIL images and
            uint8 arrays of ``(height, width, 3)``.
        tta: Average over the recipe's views; default: if it has any.
        out: CSV to write.
        format: What the CSV holds; ``simple``: file names and labels alone.
        html: Page of the pictures with their answers to write.
        save_images: Folder to copy the images into, one folder a label.
        top: Classes named for an image.
        calibrated: Apply the temperature that was fitted on validation.
        executor: Where the images are predicted: here, processes or ray.
        workers: Jobs at once; default: one a core.
        threads: Threads of each; default: TensorFlow's own number, which gives the same bits.
        address: Of a Ray cluster: HOST:PORT or auto; default: one on this machine.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        One row an image, in input order; one that cannot be used has its ``error``, one that
        the run was trained on, or that chose its epoch, is ``known``.

    Raises:
        TargetError: If there is no such run, or a folder holds no image.
        RequestError: If views or calibration are asked for that the run does not have.
    """
    from tfclassify.executors.catalogue import ExecutorOptions
    from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run

    observer = choose_observer(progress)
    request = PredictRequest(
        Path(run),
        images,
        tta,
        read_path(out),
        top,
        calibrated,
        format == "simple",
        read_path(html),
        read_path(save_images),
        ExecutorOptions(executor, workers, threads, address),
    )
    return predict_paths_of_run(request, observer).predictions


def submit(
    run: AnyPath,
    *,
    format: Literal["codalab", "csv"],
    images: AnyPath | None = None,
    template: AnyPath | None = None,
    values: Literal["labels", "probabilities"] = "labels",
    tta: bool | None = None,
    out: AnyPath | None = None,
    progress: bool | Observer = True,
) -> SubmitResult:
    """Write a submission that was run and checked in a fresh process.

    Args:
        run: A run, such as ``reports/plants/001``, or a bundle; from Python also a ``Run``.
        format: ``codalab``: a zip with the model; ``csv``: a table of answers.
        images: csv: the folder of images to predict.
        template: csv: a sample submission to fill in.
        values: csv: what it holds.
        tta: Average over the recipe's views; default: if it has any.
        out: File to write; default: in the run's folder, or the bundle's.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the options do not go together.
        ExportError: If a fresh process does not agree; nothing is written then.
    """
    from tfclassify.workflows.submit import SubmitRequest, submit_run

    paths = (read_path(path) for path in (images, template, out))
    folder, sample, target = paths
    observer = choose_observer(progress)
    request = SubmitRequest(Path(run), format, folder, sample, values, tta, target)
    return submit_run(request, observer)


def export(
    run: AnyPath,
    *,
    format: str | Sequence[str],
    precision: Literal["float32", "float32-sparse", "float16", "int8", "int8-dynamic"] = "float32",
    batch: int | None = None,
    views: bool = False,
    images: AnyPath | None = None,
    keep_float: Sequence[str] = (),
    out: AnyPath | None = None,
    progress: bool | Observer = True,
) -> ExportResult:
    """Write the model in other forms, each compared in a fresh process before it is written.

    Args:
        run: A run, such as ``reports/plants/001``, or a bundle; from Python also a ``Run``.
        format: ``savedmodel``, ``litert``, ``onnx`` or ``keras``; repeatable.
        precision: How the numbers are stored; ``float32-sparse``: litert, without zeros.
        batch: Images a call, 0 for any number; default: 1 for litert, any for the others.
        views: Put the recipe's test-time views inside.
        images: Folder of images to compare on; default: the run's held-out ones.
        keep_float: int8: regular expression of layers that are left in float; repeatable.
        out: Folder to write into; default: ``export`` in the run.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the options do not go together.
        ExportError: If an artefact does not agree with the model; it is not written then.
    """
    from tfclassify.workflows.export import ExportRequest, export_run

    formats = (format,) if isinstance(format, str) else tuple(format)
    folder, target = (read_path(path) for path in (images, out))
    request = ExportRequest(
        Path(run), formats, precision, batch, views, folder, tuple(keep_float), target
    )
    return export_run(request, choose_observer(progress))


def compress(
    run: AnyPath,
    *,
    prune: Sequence[float] = (),
    macs: Sequence[float] = (),
    method: Sequence[Literal["magnitude", "rigl"]] = ("magnitude",),
    distribution: Literal["erk", "uniform"] = "erk",
    layers: str = "",
    sparse: bool = False,
    epochs: int | None = None,
    distil: Sequence[str] = (),
    int8: Sequence[Literal["static", "dynamic", "trained"]] = (),
    format: Sequence[Literal["litert", "onnx"]] = ("litert", "onnx"),
    rounds: int = 30,
    out: AnyPath | None = None,
    progress: bool | Observer = True,
) -> CompressResult:
    """Prune, narrow, distil and quantise the model; one table of what each variant costs.

    Args:
        run: A run, such as ``reports/plants/001``; from Python also a ``Run``.
        prune: Share of the weights set to zero, 0.8 for 80 %; repeatable, a network each.
        macs: Share of the multiply-accumulates that is left once channels are removed;
            repeatable, a network each.
        method: How weights are chosen; repeatable, a network for each sparsity and method.
        distribution: How a sparsity is shared among kernels; ``erk``: small ones stay denser.
        layers: Regular expression of the kernels that are pruned; empty for all.
        sparse: Also prune, for each sparsity, a network whose zeros LiteRT can skip.
        epochs: Epochs of each training; default: those of the run's last phase where it
            prunes, of all its phases where it distils.
        distil: A backbone, or a recipe whose network is taken, that the run teaches;
            repeatable.
        int8: Quantise every network; where the ranges of activations come from. ``trained``
            fine-tunes for it, as is done where static loses a point. Repeatable.
        format: Runtime that the variants are measured in; default: both.
        rounds: Timed runs of each variant.
        out: Folder to write into; default: ``compress`` in the run.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the options do not go together.
        TrainingError: If a sparsity leaves a layer empty.
        ModelError: If a network cannot be made so narrow.
        ExportError: If an artefact does not agree with its network.
    """
    from tfclassify.workflows.compress import CompressRequest, compress_run

    request = CompressRequest(
        Path(run),
        prune=tuple(prune),
        macs=tuple(macs),
        methods=tuple(method),
        distribution=distribution,
        layers=layers,
        is_sparse=sparse,
        epochs=epochs,
        distil=tuple(distil),
        int8=tuple(int8),
        formats=tuple(format),
        rounds=rounds,
        out=read_path(out),
    )
    return compress_run(request, choose_observer(progress))


def compare(
    *runs: AnyPath,
    out: AnyPath | None = None,
    metric: str | None = None,
    against: Literal["first", "best"] = "first",
    split: Literal["validation", "test"] | None = None,
    allow_different_images: bool = False,
    cost: bool = True,
    latency: bool = False,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    progress: bool | Observer = True,
) -> CompareResult:
    """Say which run is better on the same images, by how much, and at what cost.

    Args:
        *runs: Runs and cross-validations, two or more.
        out: Page to write, .html.
        metric: The score to compare; default: the first run's own.
        against: What the others are set against.
        split: Images judged on; default: test, if all have such images.
        allow_different_images: Compare runs that were judged on different images.
        cost: Profile the models.
        latency: Time the models as well.
        executor: Where the models are profiled: here, processes or ray.
        workers: Jobs at once; default: one a core.
        threads: Threads of each; default: TensorFlow's own number, which gives the same bits.
        address: Of a Ray cluster: HOST:PORT or auto; default: one on this machine.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If there are not two, or they cannot be compared.
        TargetError: If one is neither a run nor a cross-validation.
    """
    from tfclassify.executors.catalogue import ExecutorOptions
    from tfclassify.workflows.compare import CompareRequest, compare_runs

    observer = choose_observer(progress)
    request = CompareRequest(
        tuple(Path(run) for run in runs),
        metric,
        split,
        against,
        allow_different_images,
        cost,
        latency,
        read_path(out),
        ExecutorOptions(executor, workers, threads, address),
    )
    return compare_runs(request, observer)


def ensemble(
    *runs: AnyPath,
    weights: str | Sequence[float] = "search",
    name: str | None = None,
    out: AnyPath | None = None,
    allow_different_images: bool = False,
    executor: str = "here",
    workers: int | None = None,
    threads: int | None = None,
    address: str | None = None,
    progress: bool | Observer = True,
) -> Run:
    """Average several runs and pack them into one that is used like any other.

    Args:
        *runs: Finished runs, two or more.
        weights: ``search`` (on validation), ``equal``, or one number a run: 2,1,1.
        name: Name of the new run; default: the first one's with ``_ensemble``.
        out: Its folder; default: ``reports/NAME/NUMBER``.
        allow_different_images: Judge by the images that all of them held out.
        executor: Where the held-out images are predicted: here, processes or ray.
        workers: Jobs at once; default: one a core.
        threads: Threads of each; default: TensorFlow's own number, which gives the same bits.
        address: Of a Ray cluster: HOST:PORT or auto; default: one on this machine.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If they cannot be averaged.
        TargetError: If one is no finished run.
    """
    from tfclassify.executors.catalogue import ExecutorOptions
    from tfclassify.workflows.ensemble import EnsembleRequest, ensemble_runs

    shares = weights if isinstance(weights, str) else ",".join(map(str, weights))
    observer = choose_observer(progress)
    request = EnsembleRequest(
        tuple(Path(run) for run in runs),
        shares,
        name,
        allow_different_images,
        read_path(out),
        executor=ExecutorOptions(executor, workers, threads, address),
    )
    result = ensemble_runs(request, observer)
    return Run(result.run, result)


def runs(
    where: Source = "reports",
    *,
    sort: Literal["date", "name", "score", "time", "size"] = "date",
    clean: bool = False,
    dry_run: bool = False,
    progress: bool | Observer = True,
) -> RunsResult:
    """List runs with their scores, training times and sizes; drop what is not needed.

    Args:
        where: A folder of runs, a run, or a cross-validation.
        sort: What comes first: the newest, the best, …
        clean: Drop from finished runs what only resuming needs.
        dry_run: With ``clean``: only say what would be dropped.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        ``.rows``, one a run: ``.path``, ``.score``, ``.training_seconds``, ``.size_bytes``.

    Raises:
        TargetError: If there is no such folder.
        RunError: If a run that is to be cleaned is worked in.

    Example:
        >>> tfc.runs("reports/plants", sort="score").rows[0].path  # doctest: +SKIP
    """
    from tfclassify.workflows.runs import RunsRequest, list_runs

    return list_runs(RunsRequest(Path(where), sort, clean, dry_run), choose_observer(progress))
