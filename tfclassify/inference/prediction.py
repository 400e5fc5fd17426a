"""Prediction: what a network says about images, in the order they were given.

Owns: walking folders and the table of answers. Does not own: decoding (``data.images``),
reading ahead (``model.prediction``), the views of an image (``views``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any, TypeGuard, overload

import numpy as np
import pandas as pd
from PIL import Image

from tfclassify.data.download import fetch_bytes
from tfclassify.data.folders import is_image_file, walk_files
from tfclassify.data.images import ENDINGS, decode_image
from tfclassify.data.places import find_stretch
from tfclassify.data.shards import is_shards, open_shards
from tfclassify.errors import DownloadError, ImageError, RequestError, TargetError
from tfclassify.events import SILENT, Observer
from tfclassify.files import render_csv, write_bytes
from tfclassify.inference.views import ViewModel, build_view_model
from tfclassify.model.bundle import Bundle
from tfclassify.model.prediction import BATCH_SIZE, work_ahead
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.scoring.outcome import apply_thresholds

#: What PNG can hold without a loss.
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
#: An image file, a folder of them, an https address, a PIL image, or ``(h, w)``,
#: ``(h, w, 1)``, ``(h, w, 3)`` or ``(h, w, 4)`` uint8.
ImageInput = str | os.PathLike[str] | Image.Image | np.ndarray

#: From what ``expand_inputs`` lists to probabilities ``(n, classes)`` and reasons of failures.
Ask = Callable[[Sequence[tuple[str, ImageInput]]], tuple[np.ndarray, list[str]]]

#: What stands between the labels of an image in one cell, as in an index.
LABEL_SEPARATOR = "|"


@dataclass(frozen=True)
class Prediction:
    """What a network says about one image.

    Attributes:
        file: The file, or ``image 2`` for the third input, where that was no file.
        label: The most probable class; empty where the image could not be used.
        probability: Its probability; None where the image could not be used.
        labels: The labels that are given: one, or any number under multi_label.
        top: The most probable classes with their probabilities, best first.
        error: Why the image could not be used; empty where it could.
        known: ``train`` where the run was trained on these very bytes, ``validation`` where
            they chose its epoch; empty where it has not seen them, or nobody can tell.
    """

    file: str
    label: str
    probability: float | None
    labels: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    error: str
    known: str = ""


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """What a network says about a list of files: a sequence of ``Prediction``.

    Attributes:
        files: The files, in input order, none left out.
        classes: Class names; column ``c`` of ``probabilities`` belongs to ``classes[c]``.
        probabilities: ``(files, classes)`` float32; a row of NaN where a file failed.
        errors: For each file why it has no answer; empty where it has one.
        top_k: How many labels a row of the table holds.
        views: Names of the views of each image that were averaged.
        thresholds: multi_label: least probability of each class, ``(classes,)``; None
            where an image has one label, the likeliest.
        known: Which files the run has seen, as ``Prediction.known``; empty: nobody can tell.
    """

    files: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    errors: tuple[str, ...]
    top_k: int
    views: tuple[str, ...]
    thresholds: np.ndarray | None = None
    known: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """Number of files without an answer."""
        return sum(bool(error) for error in self.errors)

    @cached_property
    def label_sets(self) -> list[tuple[str, ...]]:
        """What each file is labelled with: one class, or any number under multi_label.

        A file without an answer has no label.
        """
        if self.thresholds is None:
            best = np.where(np.isnan(self.probabilities), -1.0, self.probabilities).argmax(axis=1)
            pairs = zip(best, self.errors, strict=True)
            return [() if error else (self.classes[number],) for number, error in pairs]
        return list_labels(self.classes, self.probabilities, self.thresholds)

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, position: int) -> Prediction: ...

    @overload
    def __getitem__(self, position: slice) -> list[Prediction]: ...

    def __getitem__(self, position: int | slice) -> Prediction | list[Prediction]:
        if isinstance(position, slice):
            return [self[number] for number in range(*position.indices(len(self)))]
        row = self.probabilities[position]
        ranked = np.argsort(-row, kind="stable")[: self.top_k]
        error = self.errors[position]
        top = () if error else tuple((self.classes[c], float(row[c])) for c in ranked)
        label, probability = top[0] if top else ("", None)
        labels = self.label_sets[position]
        known = self.known[position] if self.known else ""
        return Prediction(self.files[position], label, probability, labels, top, error, known)

    def _repr_html_(self) -> str:
        return str(self.to_frame()._repr_html_())

    def to_frame(self, *, per_class: bool = False) -> pd.DataFrame:
        """Return one row a file: ``file, label, probability, label_2, …, error, known``.

        Under multi_label, ``labels`` after ``file`` holds those that are given, joined
        with ``|``; what follows ranks the classes as ever.

        Args:
            per_class: Whether to add a column of probabilities for each class,
                named ``probability:<class>``.
        """
        columns: dict[str, Any] = {"file": pd.Series(self.files, dtype=object)}
        if self.thresholds is not None:
            columns["labels"] = [LABEL_SEPARATOR.join(labels) for labels in self.label_sets]
        has_answer = np.array([not error for error in self.errors], dtype=bool)
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        names = np.array([*self.classes, ""], dtype=object)
        for rank in range(min(self.top_k, len(self.classes))):
            suffix = f"_{rank + 1}" if rank else ""
            chosen = order[:, rank]
            columns[f"label{suffix}"] = names[np.where(has_answer, chosen, -1)]
            columns[f"probability{suffix}"] = self.probabilities[np.arange(len(chosen)), chosen]
        columns["error"] = pd.Series(self.errors, dtype=object)
        columns["known"] = pd.Series(self.known or [""] * len(self), dtype=object)
        if per_class:
            for number, name in enumerate(self.classes):
                columns[f"probability:{name}"] = self.probabilities[:, number]
        return pd.DataFrame(columns)

    def write_csv(self, path: Path, per_class: bool = False) -> None:
        """Write the table as CSV, atomically.

        A text that a spreadsheet would run as a formula, such as the file name
        ``=cmd()``, gets an apostrophe in front.

        Args:
            path: Where to.
            per_class: Whether to add a column of probabilities for each class.
        """
        _write_frame(path, self.to_frame(per_class=per_class))

    def write_simple_csv(self, path: Path) -> None:
        """Write ``filename,label`` and nothing else, atomically.

        The label of a file without an answer is empty; several are joined with ``|``.
        Where two files share a name, all are written with their folders.
        """
        names = [Path(file).name for file in self.files]
        if len(set(names)) < len(names):
            names = list(self.files)
        labels = [LABEL_SEPARATOR.join(labels) for labels in self.label_sets]
        _write_frame(path, pd.DataFrame({"filename": names, "label": labels}, dtype=object))


def list_labels(
    classes: Sequence[str], probabilities: np.ndarray, thresholds: np.ndarray
) -> list[tuple[str, ...]]:
    """Name the labels whose probability reaches the threshold, in the order of the classes.

    Args:
        classes: Class names.
        probabilities: ``(n, classes)``; a row of NaN gets no label.
        thresholds: ``(classes,)`` or ``(n, classes)``.
    """
    return [
        tuple(name for name, is_given in zip(classes, row, strict=True) if is_given)
        for row in apply_thresholds(probabilities, thresholds)
    ]


def _write_frame(path: Path, frame: pd.DataFrame) -> None:
    text = render_csv(frame, "%.8g")
    # A file name need not be text; what is not is shown as an escape.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def predict_paths(
    bundle: Bundle,
    images: ImageInput | Sequence[ImageInput],
    tta: TtaRecipe | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    top_k: int = 3,
    observer: Observer = SILENT,
    ask: Ask | None = None,
) -> Predictions:
    """Predict image files, all images under folders, and images in memory.

    Images are decoded in threads while the network works, and only a few batches
    of them are held at a time, so the number of files is not limited by memory.

    Args:
        bundle: The model with its classes and how it wants its images.
        images: Files, folders, addresses, PIL images and arrays, in any mixture;
            folders are searched all the way down.
        tta: Views to average over, or None for the plain image.
        batch_size: Forward passes that go through the network together.
        top_k: How many labels the table shows for a file.
        observer: Told of the task ``predict`` and warned of files that failed.
        ask: Gives the probabilities in place of this process, from what ``expand_inputs``
            lists: ``(n, classes)`` and the reason of each failure.

    Returns:
        One row a file in input order; files that cannot be used hold the reason.

    Raises:
        RequestError: If nothing was given, or a number is below 1.
        TargetError: If a folder holds no image.
    """
    for name, number in (("batch_size", batch_size), ("top_k", top_k)):
        if number < 1:
            raise RequestError(f"{name}: must be at least 1, got {number}")
    inputs = expand_inputs(images, observer)
    files = [name for name, _ in inputs]
    views = build_view_model(bundle.model, tta)
    if ask is None:
        probabilities, errors = _ask_here(bundle, views, inputs, batch_size, observer)
    else:
        probabilities, errors = ask(inputs)
    result = Predictions(
        tuple(files),
        tuple(bundle.classes),
        probabilities,
        tuple(errors),
        top_k,
        views.names,
        bundle.label_thresholds,
    )
    if result.failed:
        observer.on_warning(
            f"{result.failed} of {len(files)} files could not be used; see the error column"
        )
    return result


def _ask_here(
    bundle: Bundle,
    views: ViewModel,
    inputs: Sequence[tuple[str, ImageInput]],
    batch_size: int,
    observer: Observer,
) -> tuple[np.ndarray, list[str]]:
    probabilities = np.full((len(inputs), len(bundle.classes)), np.nan, dtype=np.float32)
    errors = [""] * len(inputs)
    observer.on_task_start("predict", len(inputs))
    size = views.images_per_batch(batch_size)
    for done, rows, pixels in batch_images(bundle, inputs, errors, size):
        probabilities[rows] = views.probabilities(pixels)
        observer.on_task_step("predict", done)
    observer.on_task_end("predict")
    return probabilities, errors


def expand_inputs(
    images: ImageInput | Sequence[ImageInput], observer: Observer = SILENT
) -> list[tuple[str, ImageInput]]:
    """List what is predicted, in input order, each with what to call it.

    Raises:
        RequestError: If nothing is given, or something that is no image.
        TargetError: If a folder holds no image.
    """
    if isinstance(images, str | os.PathLike | Image.Image | np.ndarray):
        images = [images]
    inputs: list[tuple[str, ImageInput]] = []
    for number, image in enumerate(images):
        if isinstance(image, str | os.PathLike):
            inputs += [(file, file) for file in expand_paths([image], observer)]
            continue
        name = getattr(image, "filename", "") or f"image {number}"
        if isinstance(image, np.ndarray):
            _check_pixels(image, name)
        inputs.append((name, image))
    return inputs or [(file, file) for file in expand_paths([])]


def _check_pixels(pixels: np.ndarray, name: str) -> None:
    is_shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (1, 3, 4))
    if pixels.dtype != np.uint8 or not is_shaped or pixels.size == 0:
        raise RequestError(
            f"{name}: pixels must be uint8 of the shape (height, width, 3), got {pixels.dtype} of "
            f"{pixels.shape}; scale them to 0..255, cast by .astype('uint8'), and give one array "
            "an image"
        )


def _to_bytes(image: Image.Image | np.ndarray) -> bytes:
    """Write an image in memory as a file, so that the one decoder reads it like any other."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image)
    shown = image if image.mode in _PNG_MODES else image.convert("RGB")
    stream = BytesIO()
    shown.save(stream, "png", compress_level=1, exif=image.getexif())
    return stream.getvalue()


def expand_paths(paths: Sequence[str | os.PathLike[str]], observer: Observer = SILENT) -> list[str]:
    """List files in input order, each folder replaced by its images, sorted by path.

    A folder shows the files that training would see in it, of formats that are not read as
    well, and its folders that cannot be read. Files that are no images are left out, and
    told; a file that is named itself is always kept.

    Raises:
        RequestError: If no path is given.
        TargetError: If a folder holds no image.
    """
    if not paths:
        raise RequestError("paths: nothing to predict; give image files or folders of them")
    files: list[str] = []
    for path in paths:
        if is_shards(path):
            files += [address for _, address in open_shards(path).list_paths()]
        elif _is_address(path) or not Path(path).is_dir():
            files.append(str(path))
        else:
            files += _list_folder(path, observer)
    return files


def _list_folder(path: str | os.PathLike[str], observer: Observer) -> list[str]:
    """List the images of a folder, and its folders that cannot be read, by path."""
    unread: list[str] = []
    others = list(walk_files(Path(path), on_fault=lambda folder, _: unread.append(folder)))
    found = [file for file in others if is_image_file(file)]
    if not found and not unread:
        kinds = ", ".join(sorted(ENDINGS))
        raise TargetError(f"{path}: holds no image, looked for {kinds}; give another folder")
    if len(found) < len(others):
        left_out = sorted({*others} - {*found})
        observer.on_note(
            f"{path}: left out {len(left_out):,} files that are no images, such as {left_out[0]}"
        )
    return sorted([*found, *unread], key=lambda file: Path(file).parts)


def batch_images(
    bundle: Bundle, inputs: Sequence[tuple[str, ImageInput]], errors: list[str], size: int
) -> Iterator[tuple[int, list[int], np.ndarray]]:
    """Decode images as a bundle wants them, in threads, and put them into batches.

    Args:
        bundle: The model.
        inputs: What each image is called, and the image.
        errors: Why an image failed is written here; its row is in no batch.
        size: Images in a batch; the last one may have fewer.

    Yields:
        Images seen so far, the rows of a batch, and their pixels ``(b, H, W, 3)`` uint8.
    """

    def decode(given: tuple[str, ImageInput]) -> np.ndarray | str:
        try:
            return decode_image(
                read_input(given[1]), bundle.image_size, bundle.resize, max_pixels=bundle.max_pixels
            )
        except (ImageError, DownloadError, OSError) as error:
            return str(error)

    workers = min(8, os.cpu_count() or 1)
    rows: list[int] = []
    images: list[np.ndarray] = []
    decoded = work_ahead(decode, inputs, workers=workers, ahead=size + 2 * workers)
    for row, image in enumerate(decoded):
        if isinstance(image, str):
            errors[row] = image
        else:
            rows.append(row)
            images.append(image)
        # By position, so that a broken image changes no other batch than its own.
        if rows and ((row + 1) % size == 0 or row == len(inputs) - 1):
            yield row + 1, rows, np.stack(images)
            rows, images = [], []


def read_input(image: ImageInput) -> Path | str | bytes:
    """Return what the decoder takes."""
    if isinstance(image, Image.Image | np.ndarray):
        return _to_bytes(image)
    if isinstance(image, str) and find_stretch(image) is not None:
        return image
    return fetch_bytes(image) if _is_address(image) else Path(image)


def _is_address(path: object) -> TypeGuard[str]:
    return isinstance(path, str) and "://" in path
