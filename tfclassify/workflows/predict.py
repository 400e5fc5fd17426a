"""``predict``: what a run's model says about files, and which of them the run has seen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from tfclassify.data.index import load_index
from tfclassify.data.places import hash_image, is_remote, read_bytes
from tfclassify.errors import DataError, RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.catalogue import ExecutorOptions
from tfclassify.files import write_bytes, write_text
from tfclassify.judging.seen import name_known
from tfclassify.workflows.evaluate import choose_views, find_run
from tfclassify.workflows.parts import Question, ask_in_parts, find_batch, is_elsewhere, list_files
from tfclassify.workflows.recipes import refuse_absent
from tfclassify.workflows.start import start_tensorflow, verb

if TYPE_CHECKING:
    from tfclassify.inference.prediction import ImageInput, Predictions
    from tfclassify.model.bundle import Bundle


#: Pictures on a page: more would be tens of megabytes.
MOST_PICTURES = 500
#: What is said of a picture that the run has seen.
_KNOWN = {"train": "the run was trained on it", "validation": "it chose the run's epoch"}


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
        html: Page of the pictures with their answers to write, or None.
        save_images: Folder to copy the images into, sorted by their answer, or None.
        executor: Where the images are predicted.
    """

    run: Path
    images: ImageInput | Sequence[ImageInput]
    use_tta: bool | None = None
    out: Path | None = None
    top_k: int = 3
    is_calibrated: bool = False
    is_simple: bool = False
    html: Path | None = None
    save_images: Path | None = None
    executor: ExecutorOptions = field(default_factory=ExecutorOptions)


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
        TargetError: If there is no such run, none of the images, or a folder without any.
        RequestError: If views or calibration are asked for that the run does not have, or
            a form of table without a table.
    """
    if request.is_simple and request.out is None:
        raise RequestError("predict --format simple: name the CSV to write with --out")
    _refuse_absent_images(request.images)
    start_tensorflow()
    from tfclassify.export.artefact import open_bundle
    from tfclassify.export.reading import is_artefact
    from tfclassify.inference.prediction import predict_paths

    bundle = open_bundle(request.run)
    tta = choose_views(bundle.recipe, request.use_tta, are_inside=is_artefact(request.run))
    temperature = bundle.temperature if tta is None else bundle.views_temperature
    if request.is_calibrated and temperature is None:
        _refuse_calibration(request.run, bundle)

    def ask_elsewhere(inputs: Sequence[tuple[str, ImageInput]]) -> tuple[np.ndarray, list[str]]:
        question = Question(
            (str(request.run),), bundle.image_size, tta, find_batch(bundle.model, tta)
        )
        files = list_files(inputs)
        return ask_in_parts(question, files, request.executor, observer, "predict")

    ask = ask_elsewhere if is_elsewhere(request.executor) else None
    predictions = predict_paths(
        bundle, request.images, tta, top_k=request.top_k, observer=observer, ask=ask
    )
    if request.is_calibrated and temperature is not None:
        predictions = _soften(predictions, temperature)
    predictions = _mark_known(request, predictions, observer)
    _write(request, predictions)
    return PredictResult(predictions, request.out)


def _refuse_calibration(run: Path, bundle: Bundle) -> NoReturn:
    reason = "it trained without validation images"
    if bundle.temperature is not None:
        reason = "it was made before views had their own"
    if bundle.task.is_multi_label:
        reason = "it labels by thresholds"
    raise RequestError(
        f"--calibrated: {run} has no temperature, since {reason}; leave --calibrated out"
    )


def _write(request: PredictRequest, predictions: Predictions) -> None:
    """Write the table, the page and the sorted copies that were asked for."""
    if request.out is not None and request.is_simple:
        predictions.write_simple_csv(request.out)
    elif request.out is not None:
        predictions.write_csv(request.out, per_class=True)
    if request.html is not None:
        write_text(request.html, _render_pictures(request, predictions))
    if request.save_images is not None:
        _sort_images(request, predictions, request.save_images)


def _refuse_absent_images(images: ImageInput | Sequence[ImageInput]) -> None:
    """Refuse files none of which is there; beside others, one that is not has its row."""
    named = [images] if isinstance(images, str | os.PathLike) else images
    if not isinstance(named, Sequence) or not named:
        return
    paths = [path for path in named if isinstance(path, str | os.PathLike)]
    if len(paths) == len(named) and not any("://" in os.fspath(path) for path in paths):
        refuse_absent(paths, "name images or folders of them")


def _mark_known(
    request: PredictRequest, predictions: Predictions, observer: Observer
) -> Predictions:
    """Say which files the run was trained on, or chose its epoch by, where it can be told.

    By bytes alone; what was fetched from an address or given in memory is not looked up.
    """
    from tfclassify.inference.prediction import expand_inputs

    run = find_run(request.run)
    if run is None:
        return predictions
    try:
        index = load_index(run.index_path)
    except DataError as error:
        observer.on_warning(f"it cannot be told which files the run was trained on: {error}")
        return predictions

    def digest(image: ImageInput) -> str:
        if not isinstance(image, str | os.PathLike) or is_remote(os.fspath(image)):
            return ""
        try:
            return hash_image(os.fspath(image))
        except OSError:  # it has gone since it was predicted
            return ""

    inputs = expand_inputs(request.images)
    if len(inputs) != len(predictions):  # a folder that changed meanwhile
        return predictions
    rows = zip(inputs, predictions.errors, strict=True)
    known = name_known(index, ["" if error else digest(image) for (_, image), error in rows])
    if any(known):
        first = next(file for file, split in zip(predictions.files, known, strict=True) if split)
        observer.on_warning(
            f"{sum(map(bool, known)):,} of {len(known):,} files are known to the run, such as "
            f"{first}: it was trained on {known.count('train'):,} and chose its epoch by "
            f"{known.count('validation'):,}; its answers on them say little of new ones"
        )
    return replace(predictions, known=tuple(known))


def _render_pictures(request: PredictRequest, predictions: Predictions) -> str:
    """Show the first pictures with their answers; those without one have the reason."""
    from tfclassify.data.images import open_image
    from tfclassify.inference.prediction import expand_inputs, read_input
    from tfclassify.pages.pictures import Photo, make_thumbnail
    from tfclassify.pages.rendering import format_now, render_page
    from tfclassify.pages.wording import count_of

    photos = []
    inputs = expand_inputs(request.images)
    for row, (name, image) in zip(predictions[:MOST_PICTURES], inputs, strict=False):
        shown = None if row.error else make_thumbnail(open_image(read_input(image))[1])
        titles = (", ".join(row.labels) or "no label",) if not row.error else ("no answer",)
        ranked = tuple(f"{label} {100 * share:.1f} %" for label, share in row.top)
        ranked += (_KNOWN[row.known],) if row.known else ()
        photos.append(Photo(name, shown, titles, (row.error,) if row.error else ranked))
    summary = f"{count_of(len(predictions), 'image')}, {predictions.failed} without an answer."
    if len(predictions) > MOST_PICTURES:
        summary += f" The first {MOST_PICTURES} are shown."
    return render_page(
        "predictions.html",
        model=str(request.run),
        created=format_now(),
        summary=summary,
        photos=photos,
    )


def _sort_images(request: PredictRequest, predictions: Predictions, folder: Path) -> None:
    """Copy each answered image to ``<folder>/<label>/``, as it is; several labels by ``+``.

    A name that is there already gets a number, so nothing is overwritten.
    """
    from tfclassify.inference.prediction import expand_inputs, read_input

    for row, (name, image) in zip(predictions, expand_inputs(request.images), strict=True):
        if row.error:
            continue
        source = read_input(image)
        content = source if isinstance(source, bytes) else read_bytes(source)
        place = folder / name_after(row.labels)
        stem = Path(name.partition("?")[0] if "://" in name else name).name or "image"
        target = place / (stem if Path(stem).suffix else f"{stem}.png")
        number = 1
        while target.exists():
            number += 1
            target = place / f"{Path(stem).stem}-{number}{target.suffix}"
        write_bytes(target, content)


def name_after(labels: Sequence[str]) -> str:
    """Name a folder or a file after labels, whatever signs they hold."""
    name = "+".join(labels) or "no label"
    safe = "".join("_" if sign in '/\\:*?"<>|' or ord(sign) < 32 else sign for sign in name)
    return f"_{safe}" if safe.startswith(".") else safe[:150]


def _soften(predictions: Predictions, temperature: float) -> Predictions:
    from tfclassify.scoring.calibration import apply_temperature

    probabilities = predictions.probabilities.copy()
    is_answered = ~np.isnan(probabilities[:, 0])
    if is_answered.any():
        probabilities[is_answered] = apply_temperature(probabilities[is_answered], temperature)
    return replace(predictions, probabilities=probabilities)
