"""``predict``: what a run's model says about files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.workflows.evaluate import choose_views
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.inference.prediction import ImageInput, Predictions


@dataclass(frozen=True)
class PredictRequest:
    """What to predict.

    Attributes:
        run: The run, a bundle, or an artefact.
        images: Files, folders, addresses, PIL images and arrays.
        use_tta: Whether to average over views; None: if the recipe has any.
        out: CSV to write, or None.
        top_k: Labels shown for an image.
        is_calibrated: Whether the temperature fitted on validation is applied: that of the
            plain image, or that of the averaged views.
        is_simple: Whether ``out`` holds file names and labels alone.
    """

    run: Path
    images: ImageInput | Sequence[ImageInput]
    use_tta: bool | None = None
    out: Path | None = None
    top_k: int = 3
    is_calibrated: bool = False
    is_simple: bool = False


@dataclass(frozen=True)
class PredictResult:
    """What was predicted.

    Attributes:
        predictions: One row a file, in input order, failures included.
        out: The CSV, or None if none was asked for.
    """

    predictions: Predictions
    out: Path | None


@verb
def predict_paths_of_run(request: PredictRequest, observer: Observer = SILENT) -> PredictResult:
    """Predict files with the model of a run, a bundle or an artefact.

    Raises:
        TargetError: If there is no such run, or a folder without images.
        RequestError: If views or calibration are asked for that the run does not have, or
            a form of table without a table.
    """
    if request.is_simple and request.out is None:
        raise RequestError("predict --format simple: name the CSV to write with --out")
    start_tensorflow()
    from tfclassify.export.artefact import is_artefact, open_bundle
    from tfclassify.inference.prediction import predict_paths

    bundle = open_bundle(request.run)
    tta = choose_views(bundle.recipe, request.use_tta, are_inside=is_artefact(request.run))
    temperature = bundle.temperature if tta is None else bundle.views_temperature
    if request.is_calibrated and temperature is None:
        reason = "it trained without validation images"
        if bundle.temperature is not None:
            reason = "it was made before views had their own"
        if bundle.task.is_multi_label:
            reason = "it labels by thresholds"
        raise RequestError(
            f"--calibrated: {request.run} has no temperature, since {reason}; leave --calibrated "
            "out"
        )
    predictions = predict_paths(bundle, request.images, tta, top_k=request.top_k, observer=observer)
    if request.is_calibrated and temperature is not None:
        predictions = _soften(predictions, temperature)
    if request.out is not None and request.is_simple:
        predictions.write_simple_csv(request.out)
    elif request.out is not None:
        predictions.write_csv(request.out, per_class=True)
    return PredictResult(predictions, request.out)


def _soften(predictions: Predictions, temperature: float) -> Predictions:
    from tfclassify.scoring.calibration import apply_temperature

    probabilities = predictions.probabilities.copy()
    is_answered = ~np.isnan(probabilities[:, 0])
    if is_answered.any():
        probabilities[is_answered] = apply_temperature(probabilities[is_answered], temperature)
    return replace(predictions, probabilities=probabilities)
