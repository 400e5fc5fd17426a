"""Proof that an export says what this process says, by running it in another.

Owns: the sample of images, a process cut off from this one and what it runs, the comparison.
Does not own: how an export is written (``submission``, ``artefact``).
"""

from __future__ import annotations

import json
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

import tfclassify
from tfclassify.data.images import decode_image, open_image
from tfclassify.errors import ExportError
from tfclassify.export.fresh_process import run_afresh
from tfclassify.inference.prediction import Predictions
from tfclassify.inference.views import ViewModel
from tfclassify.model.bundle import Bundle
from tfclassify.recipe.schema import Recipe, TtaRecipe
from tfclassify.scoring.comparison import resample_difference
from tfclassify.scoring.intervals import Interval, make_interval, plan_resamples
from tfclassify.scoring.outcome import apply_thresholds
from tfclassify.scoring.tasks import get_task

#: Probabilities may differ by this much between two processes on one machine.
TOLERANCE = 1e-5
#: A GPU's convolutions round to fewer bits than those of the fresh process, which has none.
GPU_TOLERANCE = 1e-2
#: A float32 artefact runs on another runtime, which adds in another order.
ARTEFACT_TOLERANCE = 1e-4
#: Larger images are compared at the model's size only: together they would fill the memory.
_RAW_PIXELS = 1_000_000


@dataclass(frozen=True)
class Proof:
    """What a comparison found.

    Attributes:
        images: Images that were compared.
        largest_difference: Between two probabilities of the two processes.
    """

    images: int
    largest_difference: float


@dataclass(frozen=True)
class Exam:
    """The photos that an artefact is compared on, and what the model says of them.

    Attributes:
        answers: The model's answers, in the order of the photos.
        source: What the photos are, for people: ``validation``, ``test`` and so on.
        targets: Their true labels, ``(n, C)`` of 0 and 1; None where they are not known.
        groups: Group of each, where the data has groups.
    """

    answers: Predictions
    source: str
    targets: np.ndarray | None = None
    groups: Sequence[str] | None = None


@dataclass(frozen=True)
class Agreement:
    """How far an artefact agrees with the model that it was made of.

    Attributes:
        images: Photos that both were asked about.
        source: What the photos are.
        labels_changed: Photos that the artefact labels otherwise.
        largest_difference: Between two probabilities.
        metric: Name of the score that is compared; None where no label is known.
        difference: The artefact's score less the model's on the same photos.
    """

    images: int
    source: str
    labels_changed: int
    largest_difference: float
    metric: str | None = None
    difference: Interval | None = None


@dataclass(frozen=True)
class _Group:
    """Images of one size, as a server would send them and as the model takes them."""

    raw: np.ndarray
    fitted: np.ndarray


def prove_codalab(
    archive: Path, where: str, bundle: Bundle, views: ViewModel, sample: Sequence[str | Path]
) -> Proof:
    """Run a CodaLab submission in a fresh process and an empty folder, and compare.

    Args:
        archive: The submission's zip.
        where: Its final path, for messages.
        bundle: The model it was made from.
        views: The model with the views that the submission should hold.
        sample: Files of images.

    Raises:
        ImageError: If an image cannot be read.
        ExportError: If the submission fails or disagrees.
    """
    groups = _read_groups(bundle, sample)
    with TemporaryDirectory(prefix="tfclassify-") as work:
        folder, sent, got = Path(work, "server"), Path(work, "sent.npz"), Path(work, "got.npz")
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)  # the archive is our own
        arrays: dict[str, Any] = {str(number): group.raw for number, group in enumerate(groups)}
        np.savez(sent, **arrays)
        with as_file(files("tfclassify.export") / "codalab_server.py") as server:
            run_afresh([server, sent, got], folder, what=where)
        with np.load(got, allow_pickle=False) as loaded:
            answers = dict(loaded)
    scale = views.count if views.is_summed else 1
    differences = []
    for number, group in enumerate(groups):
        # The fresh process has no GPU, so neither has what it is compared with.
        with tf.device("/CPU:0"):
            expected = views(group.fitted).numpy() / scale
        found = answers[f"scores_{number}"] / scale
        chosen = answers[f"ids_{number}"]
        limits = bundle.label_thresholds
        differences.append(compare(where, expected, found, chosen, thresholds=limits))
    return Proof(len(sample), max(differences))


def _read_groups(bundle: Bundle, sample: Sequence[str | Path]) -> list[_Group]:
    """Read images by size, as arrays of raw pixels and as the model's decoder sees those."""
    pairs: dict[tuple[int, ...], list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for file in sample:
        _, opened = open_image(Path(file), bundle.max_pixels)
        if opened.width * opened.height > _RAW_PIXELS:
            fitted = decode_image(
                Path(file), bundle.image_size, bundle.resize, max_pixels=bundle.max_pixels
            )
            pairs[fitted.shape].append((fitted, fitted))
        else:
            raw = np.asarray(opened)
            fitted = decode_image(_to_png(raw), bundle.image_size, bundle.resize)
            pairs[raw.shape].append((raw, fitted))
    return [
        _Group(np.stack([raw for raw, _ in group]), np.stack([fitted for _, fitted in group]))
        for group in pairs.values()
    ]


def _to_png(pixels: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def predict_afresh(
    bundle: Bundle, sample: Sequence[str], tta: TtaRecipe | None, batch_size: int, where: str
) -> np.ndarray:
    """Load the bundle in a fresh process and predict files there.

    Returns:
        Probabilities ``(files, classes)`` float32.

    Raises:
        ExportError: If the process fails.
    """
    request = {
        "bundle": str(Path(bundle.folder).resolve()),
        "files": [str(Path(file).resolve()) for file in sample],
        "tta": None if tta is None else tta.model_dump(mode="json"),
        "batch_size": batch_size,
    }
    root = Path(next(iter(tfclassify.__path__))).parent
    with TemporaryDirectory(prefix="tfclassify-") as work:
        folder, asked, got = Path(work, "empty"), Path(work, "asked.json"), Path(work, "got.npz")
        folder.mkdir()
        asked.write_text(json.dumps(request), encoding="utf-8")
        with as_file(files("tfclassify.export") / "bundle_server.py") as server:
            run_afresh([server, root, asked, got], folder, what=where)
        with np.load(got, allow_pickle=False) as loaded:
            return np.asarray(loaded["probabilities"])


def run_artefact(
    folder: Path, photos: Sequence[str], refused: Sequence[str], where: str
) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Run an artefact's own ``predict.py`` on photos, in a fresh process.

    Args:
        folder: The artefact.
        photos: Files of images.
        refused: Packages that it must not import.
        where: Its final path, for messages.

    Returns:
        Labels of each photo, and probabilities ``(photos, classes)``.

    Raises:
        ExportError: If it fails.
    """
    files_of_photos = [str(Path(photo).resolve()) for photo in photos]
    request = {"files": files_of_photos, "refused": list(refused)}
    with TemporaryDirectory(prefix="tfclassify-") as work:
        empty, asked, got = Path(work, "empty"), Path(work, "asked.json"), Path(work, "got.npz")
        empty.mkdir()
        asked.write_text(json.dumps(request), encoding="utf-8")
        with as_file(files("tfclassify.export.shipped") / "check.py") as program:
            run_afresh([program, folder.resolve(), asked, got], empty, what=where)
        with np.load(got, allow_pickle=False) as loaded:
            labels = [tuple(each.split("\n")) if each else () for each in loaded["labels"].tolist()]
            return labels, np.asarray(loaded["probabilities"])


def judge_artefact(
    where: str,
    recipe: Recipe,
    exam: Exam,
    found: tuple[list[tuple[str, ...]], np.ndarray],
    precision: str,
) -> Agreement:
    """Compare an artefact's answers with those of the model.

    At float32 every label must be the same, and every probability within 1e-4. The only
    exception is a tie within 1e-5, between two classes or with a threshold, which another
    order of additions may break otherwise.

    Raises:
        ExportError: If a float32 artefact disagrees, or any gives no numbers.
    """
    labels, probabilities = found
    answers = exam.answers
    if probabilities.shape != answers.probabilities.shape or not np.isfinite(probabilities).all():
        raise ExportError(
            f"{where}: a fresh process gave {probabilities.shape} probabilities, some of which "
            f"are no numbers, expected {answers.probabilities.shape}; nothing was written"
        )
    if precision.startswith("float32"):
        compare(
            where,
            answers.probabilities,
            probabilities,
            _number_labels(answers, labels),
            ARTEFACT_TOLERANCE,
            answers.thresholds,
            tie=TOLERANCE,
        )
    pairs = zip(labels, answers.label_sets, strict=True)
    agreement = Agreement(
        len(labels),
        exam.source,
        sum(one != other for one, other in pairs),
        float(np.abs(probabilities - answers.probabilities).max()),
    )
    if exam.targets is None:
        return agreement
    difference = compare_scores(recipe, exam, answers.probabilities, probabilities)
    return replace(agreement, metric=recipe.metric, difference=difference)


def _number_labels(answers: Predictions, labels: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Turn labels into class ids, or into 0 and 1 a class where there are thresholds."""
    places = {name: place for place, name in enumerate(answers.classes)}
    if answers.thresholds is None:
        return np.array([places.get(names[0], -1) for names in labels])
    marks = np.zeros((len(labels), len(places)), int)
    for row, names in zip(marks, labels, strict=True):
        row[[places[name] for name in names]] = 1
    return marks


def score_photos(recipe: Recipe, exam: Exam, probabilities: np.ndarray) -> Interval:
    """Score probabilities ``(n, C)`` on the photos by the recipe's metric, with an interval."""
    assert exam.targets is not None
    measure = get_task(recipe.task).metrics[recipe.metric]
    outcome = _make_outcome(recipe, exam, probabilities)
    plan = plan_resamples(len(exam.targets), seed=recipe.seed, groups=exam.groups)
    value = float(measure.weigh(outcome.weigh(np.ones((1, len(exam.targets)))))[0])
    samples = [measure.weigh(outcome.weigh(weights)) for weights in plan.chunks()]
    return make_interval(value, np.concatenate(samples), n=len(exam.targets))


def _make_outcome(recipe: Recipe, exam: Exam, probabilities: np.ndarray) -> Any:
    assert exam.targets is not None
    values = np.asarray(probabilities, np.float64)
    task = get_task(recipe.task)
    if task.activation == "softmax":
        # Rounded to a few bits they no longer sum to 1.
        values = values / values.sum(axis=1, keepdims=True)
    return task.make_outcome(exam.targets, values, exam.answers.thresholds)


def compare_scores(recipe: Recipe, exam: Exam, first: np.ndarray, second: np.ndarray) -> Interval:
    """Measure how much the second probabilities score above the first on the same photos.

    Args:
        recipe: For the task, the metric and the seed.
        exam: The photos, with their true labels.
        first: Probabilities ``(n, C)``.
        second: The same of another model.

    Returns:
        The paired difference of the recipe's metric with its bootstrap interval.
    """
    assert exam.targets is not None
    measure = get_task(recipe.task).metrics[recipe.metric]
    outcomes = [_make_outcome(recipe, exam, each) for each in (first, second)]
    plan = plan_resamples(len(exam.targets), seed=recipe.seed, groups=exam.groups)
    return resample_difference(
        lambda weights: measure.weigh(outcomes[0].weigh(weights)),
        lambda weights: measure.weigh(outcomes[1].weigh(weights)),
        plan,
    )


def compare(
    where: str,
    expected: np.ndarray,
    found: np.ndarray,
    chosen: np.ndarray,
    tolerance: float = TOLERANCE,
    thresholds: np.ndarray | None = None,
    tie: float | None = None,
) -> float:
    """Compare the answers of two processes and return the largest difference.

    Args:
        where: What is compared, for the message.
        expected: Probabilities ``(n, classes)`` of this process.
        found: Probabilities ``(n, classes)`` of the other.
        chosen: Class ids ``(n,)`` of the other, or 0 and 1 ``(n, classes)`` where there
            are thresholds. Between classes whose probabilities are closer than a tie,
            and this near to a threshold, either counts as right.
        tolerance: Difference that is allowed.
        thresholds: multi_label: least probability of each class, ``(classes,)``.
        tie: How close a tie is; None: as close as the tolerance.

    Raises:
        ExportError: If shapes, probabilities or choices differ.
    """
    shape = expected.shape if thresholds is not None else expected.shape[:1]
    if found.shape != expected.shape or chosen.shape != shape:
        raise ExportError(
            f"{where}: a fresh process gave probabilities of shape {found.shape} and choices of "
            f"shape {chosen.shape}, expected {expected.shape} and {shape}; nothing was written"
        )
    difference = float(np.abs(found - expected).max())
    if not difference <= tolerance:  # so that NaN is no match either
        raise ExportError(
            f"{where}: probabilities of a fresh process differ by {difference:.2g} from those of "
            f"this one, at most {tolerance:g} is allowed; nothing was written"
        )
    tie = tolerance if tie is None else tie
    if thresholds is None:
        _compare_ids(where, expected, chosen, tie)
    else:
        _compare_labels(where, expected, chosen, tie, thresholds)
    return difference


def _compare_ids(where: str, expected: np.ndarray, ids: np.ndarray, tie: float) -> None:
    is_known = (ids >= 0) & (ids < expected.shape[1])
    chosen = expected[np.arange(len(ids)), np.where(is_known, ids, 0)]
    is_wrong = ~is_known | (chosen < expected.max(axis=1) - tie)
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise ExportError(
            f"{where}: a fresh process chose other classes for {int(is_wrong.sum())} of "
            f"{len(ids)} images, first {int(ids[first])} instead of "
            f"{int(expected[first].argmax())}; nothing was written"
        )


def _compare_labels(
    where: str, expected: np.ndarray, marks: np.ndarray, tie: float, thresholds: np.ndarray
) -> None:
    is_near = np.abs(expected - thresholds) <= tie
    is_right = (marks == apply_thresholds(expected, thresholds)) | (is_near & (marks >= 0))
    is_wrong = ~is_right.all(axis=1)
    if is_wrong.any():
        first = int(np.argmax(is_wrong))
        raise ExportError(
            f"{where}: a fresh process gave other labels to {int(is_wrong.sum())} of "
            f"{len(marks)} images, first {marks[first].tolist()}; nothing was written"
        )
