"""What a model says of labelled images, kept beside the tables of its run.

Owns: asking a model, each image decoded once and predicted once a view; storing the
answers and reading them back with the images that they belong to; the table of
predictions. Does not own: what is in answers (``scoring.verdicts``), scoring them
(``verdicts``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.data.index import Index
from tfclassify.errors import RunError
from tfclassify.events import Observer
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.schema import DataRecipe, TtaRecipe
from tfclassify.runs.arrays import list_arrays, load_arrays, save_arrays
from tfclassify.scoring.outcome import apply_thresholds
from tfclassify.scoring.tasks import get_task
from tfclassify.scoring.verdicts import Answers, Verdict, name_labels

#: How ``predictions.csv`` writes probabilities.
PROBABILITY_FORM = "%.8g"

if TYPE_CHECKING:
    from tfclassify.model.bundle import Bundle
    from tfclassify.pipeline.cache import ImageStore


def ask_bundle(
    bundle: Bundle,
    index: Index,
    data: DataRecipe,
    tta: TtaRecipe | None,
    observer: Observer,
    images: ImageStore | None = None,
) -> Answers:
    """Ask a bundle about the images of an index, once for each view.

    Args:
        bundle: The model, and its thresholds under multi_label.
        index: Labelled, usable images.
        data: The decoder's settings.
        tta: The views, or None for the plain image alone.
        observer: Receives progress.
        images: The index's images, where they are decoded already.
    """
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.prediction import BATCH_SIZE, predict_store
    from tfclassify.pipeline.cache import open_images

    if images is None:
        images = open_images(index.paths(), data, observer=observer)
    views = build_view_model(bundle.model, tta)
    size = views.images_per_batch(BATCH_SIZE)
    both = predict_store(views.plain_and_mean, images, size, observer)
    return join_answers(both, bundle, index, tta)


def join_answers(both: np.ndarray, bundle: Bundle, index: Index, tta: TtaRecipe | None) -> Answers:
    """Put a bundle's answers, ``(n, 2, C)``: plain and mean of views, beside the images."""
    from tfclassify.inference.views import build_view_model

    averaged = None if tta is None else both[:, 1]
    names = build_view_model(bundle.model, tta).names
    return make_answers(index, both[:, 0], averaged, bundle.label_thresholds, names)


def make_answers(
    index: Index,
    plain: np.ndarray,
    averaged: np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
    views: tuple[str, ...] = ("identity",),
) -> Answers:
    """Put probabilities beside the images of an index.

    Args:
        index: The images.
        plain: ``(n, C)``, in the index's order.
        averaged: Those of all views, or None.
        thresholds: multi_label: ``(C,)`` or ``(n, C)``; None is 0.5.
        views: Names of the views.
    """
    frame, targets = index.frame, index.targets()
    limits = get_task(index.task).spread_thresholds(thresholds, targets.shape)
    return Answers(
        index.classes,
        tuple(frame["image"]),
        tuple(frame["path"]),
        tuple(frame["sha256"]),
        tuple(frame["group"]),
        targets,
        plain,
        averaged,
        limits,
        views,
    )


def save_answers(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Write the arrays of every split: which images they are of, probabilities, thresholds."""
    arrays: dict[str, np.ndarray] = {}
    for verdict in verdicts:
        own, split = verdict.answers, verdict.split
        arrays[f"{split}/images"] = _fingerprint(own.images)
        arrays[f"{split}/plain"] = own.plain.astype(np.float32)
        if own.averaged is not None:
            arrays[f"{split}/averaged"] = own.averaged.astype(np.float32)
        if own.thresholds is not None:
            arrays[f"{split}/thresholds"] = own.thresholds.astype(np.float64)
    save_arrays(path, arrays)


def read_answers(path: Path, index: Index, split: str) -> Answers:
    """Read the answers of one split.

    Args:
        path: From ``save_answers``.
        index: The run's index.
        split: validation or test.

    Raises:
        RunError: If they cannot be read, or are not of these images and classes.
    """
    images = index.in_split(split)
    there, shape = list_arrays(path), (len(images), len(index.classes))
    expected: dict[str, tuple[Sequence[int], str]] = {
        f"{split}/images": ((32,), "uint8"),
        f"{split}/plain": (shape, "float32"),
    }
    if f"{split}/averaged" in there:
        expected[f"{split}/averaged"] = (shape, "float32")
    if index.is_multi_label:
        expected[f"{split}/thresholds"] = (shape, "float64")
    found = load_arrays(path, expected)
    if not np.array_equal(found[f"{split}/images"], _fingerprint(images.frame["image"])):
        raise RunError(
            f"{path}: is not of the {len(images)} {split} images of the run's index; finish the "
            f"training with `tfclassify train --resume {path.parent}`"
        )
    return make_answers(
        images,
        found[f"{split}/plain"],
        found.get(f"{split}/averaged"),
        found.get(f"{split}/thresholds"),
    )


def _fingerprint(names: Sequence[str]) -> np.ndarray:
    """Return the SHA-256 of the images' names and order, ``(32,)`` uint8."""
    text = "\0".join(names).encode("utf-8", "surrogateescape")
    return np.frombuffer(hashlib.sha256(text).digest(), np.uint8)


def write_predictions(path: Path, verdicts: Sequence[Verdict]) -> None:
    """Write ``predictions.csv``: each held-out image with its labels and probabilities.

    The columns are ``split, file``, then ``true_label, label, probability`` or, under
    multi_label, ``true_labels, labels`` with ``|`` between the names, then one of
    probabilities for each class, named ``probability:<class>``. The arrays that programs
    read lie beside it, under the same name with the ending ``.npz``.
    """
    import pandas as pd

    from tfclassify.files import render_csv, write_text

    save_answers(path.with_suffix(".npz"), verdicts)
    parts = [pd.DataFrame({"split": each.split, **list_columns(each.answers)}) for each in verdicts]
    table = pd.concat(parts) if parts else pd.DataFrame(columns=["split", "file"])
    write_text(path, render_csv(table, PROBABILITY_FORM))


def list_columns(answers: Answers) -> dict[str, Any]:
    """Return the columns of ``predictions.csv`` that answers fill: files, labels, probabilities."""
    import pandas as pd

    classes, probabilities = answers.classes, answers.probabilities
    # An object, since the name of a file need not be text, which a column of strings must be.
    files = pd.Series(answers.images, dtype=object)
    columns: dict[str, Any] = {"file": files}
    true = [JOINING_SIGN.join(names) for names in answers.label_names]
    if answers.thresholds is None:
        columns["true_label"] = true
        columns["label"] = [classes[position] for position in probabilities.argmax(axis=1)]
        columns["probability"] = probabilities.max(axis=1)
    else:
        given = apply_thresholds(probabilities, answers.thresholds)
        columns["true_labels"] = true
        columns["labels"] = list(map(JOINING_SIGN.join, name_labels(classes, given)))
    for number, name in enumerate(classes):
        columns[f"probability:{name}"] = probabilities[:, number]
    return columns
