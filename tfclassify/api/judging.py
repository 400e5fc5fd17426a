"""Verbs that take runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tfclassify.api.progress import choose_observer
from tfclassify.api.run import Run
from tfclassify.events import Observer

if TYPE_CHECKING:
    from tfclassify.inference.prediction import ImageInput, Predictions
    from tfclassify.workflows.compare import CompareResult
    from tfclassify.workflows.compress import CompressResult
    from tfclassify.workflows.evaluate import EvaluateResult
    from tfclassify.workflows.export import ExportResult
    from tfclassify.workflows.submit import SubmitResult

    RunPath = str | os.PathLike[str]


def evaluate(
    run: RunPath,
    *,
    data: str | os.PathLike[str] | None = None,
    tta: bool | None = None,
    out: str | os.PathLike[str] | None = None,
    include_trained: bool = False,
    progress: bool | Observer = True,
) -> EvaluateResult:
    """Judge a run's model on its held-out images, or on others.

    Args:
        run: A run, or its folder.
        data: Labelled images: a folder, an archive or a table; None for the held-out ones.
        tta: Whether to average over the recipe's views; None: if it has any.
        out: Folder for ``metrics.json`` and ``report.html``; None writes nothing.
        include_trained: Whether to judge also those of ``data`` that the run knows.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        Scores with their intervals: ``.metrics["accuracy"].value``.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the run has no views, or held nothing out and there is no ``data``.
        DataError: If the images cannot be read, or their labels are not the model's.
    """
    from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run

    source = None if data is None else os.fspath(data)
    observer = choose_observer(progress)
    request = EvaluateRequest(
        Path(run), source, tta, None if out is None else Path(out), include_trained
    )
    return evaluate_run(request, observer)


def predict(
    run: RunPath,
    images: ImageInput | Sequence[ImageInput],
    *,
    tta: bool | None = None,
    out: str | os.PathLike[str] | None = None,
    format: Literal["full", "simple"] = "full",
    html: str | os.PathLike[str] | None = None,
    save_images: str | os.PathLike[str] | None = None,
    top: int = 3,
    calibrated: bool = False,
    progress: bool | Observer = True,
) -> Predictions:
    """Predict the classes of images.

    Args:
        run: A run, or its folder.
        images: Files, folders, https addresses, PIL images and uint8 arrays of
            ``(height, width, 3)``, in any mixture.
        tta: Whether to average over the recipe's views; None: if it has any.
        out: CSV to write; None writes nothing.
        format: What the CSV holds; ``simple``: file names and labels alone.
        html: Page of the pictures with their answers to write; None writes none.
        save_images: Folder to copy the images into, one folder a label; None copies none.
        top: Classes named for an image.
        calibrated: Whether to apply the temperature that was fitted on validation.
        progress: Whether to show any, or an ``Observer`` of your own.

    Returns:
        One row an image, in input order; one that cannot be used has its ``error``.

    Raises:
        TargetError: If there is no such run, or a folder holds no image.
        RequestError: If views or calibration are asked for that the run does not have.
    """
    from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run

    observer = choose_observer(progress)
    request = PredictRequest(
        Path(run),
        images,
        tta,
        None if out is None else Path(out),
        top,
        calibrated,
        format == "simple",
        None if html is None else Path(html),
        None if save_images is None else Path(save_images),
    )
    return predict_paths_of_run(request, observer).predictions


def submit(
    run: RunPath,
    *,
    format: Literal["codalab", "csv"],
    images: str | os.PathLike[str] | None = None,
    template: str | os.PathLike[str] | None = None,
    values: Literal["labels", "probabilities"] = "labels",
    tta: bool | None = None,
    out: str | os.PathLike[str] | None = None,
    progress: bool | Observer = True,
) -> SubmitResult:
    """Write a submission that was run and checked in a fresh process.

    Args:
        run: A run, or its folder, or a bundle's.
        format: ``codalab``: a zip with the model; ``csv``: a table of answers.
        images: csv: the folder of images to predict.
        template: csv: a sample submission to fill in.
        values: csv: what it holds.
        tta: Whether to average over the recipe's views; None: if it has any.
        out: File to write; None writes into the run's folder, or the bundle's.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the options do not go together.
        ExportError: If a fresh process does not agree; nothing is written then.
    """
    from tfclassify.workflows.submit import SubmitRequest, submit_run

    paths = (None if path is None else Path(path) for path in (images, template, out))
    folder, sample, target = paths
    observer = choose_observer(progress)
    request = SubmitRequest(Path(run), format, folder, sample, values, tta, target)
    return submit_run(request, observer)


def export(
    run: RunPath,
    *,
    format: str | Sequence[str],
    precision: Literal["float32", "float32-sparse", "float16", "int8", "int8-dynamic"] = "float32",
    batch: int | None = None,
    views: bool = False,
    images: str | os.PathLike[str] | None = None,
    keep_float: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
    progress: bool | Observer = True,
) -> ExportResult:
    """Write the model in other forms, each compared in a fresh process before it is written.

    Args:
        run: A run, or its folder, or a bundle's.
        format: ``savedmodel``, ``litert``, ``onnx`` or ``keras``, or several of them.
        precision: How the numbers are stored.
        batch: Images a call, 0 for any number; None: 1 for litert, any for the others.
        views: Whether to put the recipe's test-time views inside.
        images: Folder of images to compare on; None for the run's held-out ones.
        keep_float: int8: regular expressions of layers that are left in float.
        out: Folder to write into; None for ``export/`` in the run.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        TargetError: If there is no such run.
        RequestError: If the options do not go together.
        ExportError: If an artefact does not agree with the model; it is not written then.
    """
    from tfclassify.workflows.export import ExportRequest, export_run

    formats = (format,) if isinstance(format, str) else tuple(format)
    folder, target = (None if path is None else Path(path) for path in (images, out))
    request = ExportRequest(
        Path(run), formats, precision, batch, views, folder, tuple(keep_float), target
    )
    return export_run(request, choose_observer(progress))


def compress(
    run: RunPath,
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
    out: str | os.PathLike[str] | None = None,
    progress: bool | Observer = True,
) -> CompressResult:
    """Prune, narrow, distil and quantise the model; one table of what each variant costs.

    Args:
        run: A run, or its folder.
        prune: Shares of the weights set to zero, such as ``[0.5, 0.8]``; a network each.
        macs: Shares of the multiply-accumulates, such as ``[0.5]``, that are left once
            channels are removed; a network each.
        method: How weights are chosen; a network for each sparsity and each method.
        distribution: How a sparsity is shared among kernels.
        layers: Regular expression of the kernels that are pruned; empty for all.
        sparse: Whether to prune, for each sparsity, also a network whose zeros LiteRT can skip.
        epochs: Epochs of each training; None for those of the run's last phase where it
            prunes, of all its phases where it distils.
        distil: Backbones, or recipes whose network is taken; the run teaches each.
        int8: Where the ranges of 8-bit activations come from; a variant each. ``trained``
            fine-tunes the network for it, which is also done where static loses a point.
        format: Runtimes that the variants are measured in.
        rounds: Timed runs of each variant.
        out: Folder to write into; None for ``compress/`` in the run.
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
        out=None if out is None else Path(out),
    )
    return compress_run(request, choose_observer(progress))


def compare(
    *runs: RunPath,
    out: str | os.PathLike[str] | None = None,
    metric: str | None = None,
    against: Literal["first", "best"] = "first",
    split: Literal["validation", "test"] | None = None,
    allow_different_images: bool = False,
    cost: bool = True,
    latency: bool = False,
    progress: bool | Observer = True,
) -> CompareResult:
    """Say which run is better on the same images, by how much, and at what cost.

    Args:
        *runs: Runs and cross-validations, or their folders, two or more.
        out: Page to write; None writes nothing.
        metric: The score to compare; None for the first run's own.
        against: What the others are set against.
        split: Images judged on; None for test, if all have such images.
        allow_different_images: Whether they may have been judged on different images.
        cost: Whether to profile the models.
        latency: Whether to time them as well.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If there are not two, or they cannot be compared.
        TargetError: If one is neither a run nor a cross-validation.
    """
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
        None if out is None else Path(out),
    )
    return compare_runs(request, observer)


def ensemble(
    *runs: RunPath,
    weights: str | Sequence[float] = "search",
    name: str | None = None,
    out: str | os.PathLike[str] | None = None,
    allow_different_images: bool = False,
    progress: bool | Observer = True,
) -> Run:
    """Average several runs and pack them into one that is used like any other.

    Args:
        *runs: Finished runs, or their folders, two or more.
        weights: ``search`` (on validation), ``equal``, or one number a run.
        name: Name of the new run; None for the first one's with ``_ensemble``.
        out: Its folder; None makes ``reports/<name>/<number>``.
        allow_different_images: Whether to judge by the images that all of them held out.
        progress: Whether to show any, or an ``Observer`` of your own.

    Raises:
        RequestError: If they cannot be averaged.
        TargetError: If one is no finished run.
    """
    from tfclassify.workflows.ensemble import EnsembleRequest, ensemble_runs

    shares = weights if isinstance(weights, str) else ",".join(map(str, weights))
    observer = choose_observer(progress)
    request = EnsembleRequest(
        tuple(Path(run) for run in runs),
        shares,
        name,
        allow_different_images,
        None if out is None else Path(out),
    )
    result = ensemble_runs(request, observer)
    return Run(result.run, result)
