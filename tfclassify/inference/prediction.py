"""Prediction: what a network says about images, in the order they were given.

Owns: walking folders and the table of answers. Does not own: decoding (``data.images``),
reading ahead (``model.prediction``), the views of an image (``views``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tfclassify.data.images import ENDINGS, decode_image
from tfclassify.errors import ImageError, RequestError, TargetError
from tfclassify.events import SILENT, Observer
from tfclassify.files import render_csv, write_bytes
from tfclassify.inference.views import ViewModel, build_view_model
from tfclassify.model.bundle import Bundle
from tfclassify.model.prediction import BATCH_SIZE, work_ahead
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.scoring.multi_label_outcome import apply_thresholds

#: What stands between the labels of an image in one cell, as in an index.
LABEL_SEPARATOR = "|"


@dataclass(frozen=True)
class Predictions:
    """What a network says about a list of files.

    Attributes:
        files: The files, in input order, none left out.
        classes: Class names; column ``c`` of ``probabilities`` belongs to ``classes[c]``.
        probabilities: ``(files, classes)`` float32; a row of NaN where a file failed.
        errors: For each file why it has no answer; empty where it has one.
        top_k: How many labels a row of the table holds.
        views: Names of the views of each image that were averaged.
        thresholds: multi_label: least probability of each class, ``(classes,)``; None
            where an image has one label, the likeliest.
    """

    files: tuple[str, ...]
    classes: tuple[str, ...]
    probabilities: np.ndarray
    errors: tuple[str, ...]
    top_k: int
    views: tuple[str, ...]
    thresholds: np.ndarray | None = None

    @property
    def failed(self) -> int:
        """Number of files without an answer."""
        return sum(bool(error) for error in self.errors)

    @property
    def label_sets(self) -> list[tuple[str, ...]]:
        """What each file is labelled with: one class, or any number under multi_label.

        A file without an answer has no label.
        """
        if self.thresholds is None:
            best = np.where(np.isnan(self.probabilities), -1.0, self.probabilities).argmax(axis=1)
            pairs = zip(best, self.errors, strict=True)
            return [() if error else (self.classes[number],) for number, error in pairs]
        return list_labels(self.classes, self.probabilities, self.thresholds)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a file: ``file, label, probability, label_2, probability_2, …, error``.

        Under multi_label, ``labels`` after ``file`` holds those that are given, joined
        with ``|``; what follows ranks the classes as ever.
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
        return pd.DataFrame(columns)

    def write_csv(self, path: Path, per_class: bool = False) -> None:
        """Write the table as CSV, atomically.

        A text that a spreadsheet would run as a formula, such as the file name
        ``=cmd()``, gets an apostrophe in front.

        Args:
            path: Where to.
            per_class: Whether to add a column of probabilities for each class,
                named ``probability:<class>``.
        """
        frame = self.frame
        if per_class:
            names = [f"probability:{name}" for name in self.classes]
            frame = pd.concat([frame, pd.DataFrame(self.probabilities, columns=names)], axis=1)
        _write_frame(path, frame)

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
    paths: Sequence[str | Path],
    tta: TtaRecipe | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    top_k: int = 3,
    observer: Observer = SILENT,
) -> Predictions:
    """Predict image files and all images under folders.

    Images are decoded in threads while the network works, and only a few batches
    of them are held at a time, so the number of files is not limited by memory.

    Args:
        bundle: The model with its classes and how it wants its images.
        paths: Files and folders; folders are searched all the way down.
        tta: Views to average over, or None for the plain image.
        batch_size: Forward passes that go through the network together.
        top_k: How many labels the table shows for a file.
        observer: Told of the task ``predict`` and warned of files that failed.

    Returns:
        One row a file in input order; files that cannot be used hold the reason.

    Raises:
        RequestError: If nothing was given, or a number is below 1.
        TargetError: If a folder holds no image.
    """
    for name, number in (("batch_size", batch_size), ("top_k", top_k)):
        if number < 1:
            raise RequestError(f"{name}: must be at least 1, got {number}")
    files = expand_paths(paths)
    views = build_view_model(bundle.model, tta)
    probabilities = np.full((len(files), len(bundle.classes)), np.nan, dtype=np.float32)
    errors = [""] * len(files)
    observer.on_task_start("predict", len(files))
    for done, rows, images in _batch_images(bundle, files, errors, views, batch_size):
        probabilities[rows] = views.probabilities(images)
        observer.on_task_step("predict", done)
    observer.on_task_end("predict")
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


def expand_paths(paths: Sequence[str | Path]) -> list[str]:
    """List files in input order, each folder replaced by its images, sorted by path.

    Hidden files and folders, and files that are not named like an image, are left
    out of a folder; a file that is named itself is always kept.

    Raises:
        RequestError: If no path is given.
        TargetError: If a folder holds no image.
    """
    if not paths:
        raise RequestError("paths: nothing to predict; give image files or folders of them")
    files: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            files.append(str(path))
            continue
        found = sorted(_walk_images(Path(path)))
        if not found:
            kinds = ", ".join(sorted(ENDINGS))
            raise TargetError(f"{path}: holds no image, looked for {kinds}; give another folder")
        files.extend(str(image) for image in found)
    return files


def _walk_images(folder: Path) -> Iterator[Path]:
    """Yield the images under a folder; links to folders are not followed."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in ENDINGS:
                yield Path(parent, name)


def _batch_images(
    bundle: Bundle, files: list[str], errors: list[str], views: ViewModel, batch_size: int
) -> Iterator[tuple[int, list[int], np.ndarray]]:
    """Yield (files seen so far, rows of a batch, their images ``(b, H, W, 3)``).

    Why a file failed is written into ``errors``; its row is in no batch.
    """

    def decode(file: str) -> np.ndarray | str:
        try:
            return decode_image(
                Path(file), bundle.image_size, bundle.resize, max_pixels=bundle.max_pixels
            )
        except (ImageError, OSError) as error:
            return str(error)

    size = views.images_per_batch(batch_size)
    workers = min(8, os.cpu_count() or 1)
    rows: list[int] = []
    images: list[np.ndarray] = []
    decoded = work_ahead(decode, files, workers=workers, ahead=size + 2 * workers)
    for row, image in enumerate(decoded):
        if isinstance(image, str):
            errors[row] = image
        else:
            rows.append(row)
            images.append(image)
        if rows and (len(rows) == size or row == len(files) - 1):
            yield row + 1, rows, np.stack(images)
            rows, images = [], []
