"""Submissions to a competition, each proved in a fresh process before it is written.

Owns: the zip for a CodaLab server, the CSV of predictions, and what stands in its cells.
Does not own: what the server runs (``codalab_model``), the sample submission
(``template``), the comparison (``proof``).

An image with one label has it in one column, or a probability for each class. One that may
have several has them in one column, joined; or 0 and 1 for each class; or probabilities.
"""

from __future__ import annotations

import csv
import shutil
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import tensorflow as tf

from tfclassify.errors import DataError, RequestError, TargetError
from tfclassify.events import SILENT, Observer
from tfclassify.export.codalab_model import FOLDER
from tfclassify.export.proof import (
    GPU_TOLERANCE,
    TOLERANCE,
    Proof,
    compare,
    predict_afresh,
    prove_codalab,
)
from tfclassify.export.saved_model import Graph, write_saved_model
from tfclassify.export.template import (
    Mode,
    Template,
    check_columns,
    list_some,
    match_images,
    read_template,
)
from tfclassify.files import open_replacing, write_bytes
from tfclassify.inference.prediction import (
    LABEL_SEPARATOR,
    Predictions,
    expand_paths,
    predict_paths,
)
from tfclassify.inference.views import ViewModel, build_view_model
from tfclassify.model.bundle import Bundle
from tfclassify.model.prediction import BATCH_SIZE
from tfclassify.recipe.schema import TtaRecipe
from tfclassify.scoring.outcome import apply_thresholds

Content = Literal["label", "label_set", "marks", "probabilities"]

#: What may stand between labels in a template's cells, in the order of preference.
_JOINTS = ("|", ";", ",", " ")


def choose_content(
    form: Template, classes: Sequence[str], mode: Mode, *, is_multi_label: bool
) -> Content:
    """Decide what the cells hold, and check that the template's columns suit it.

    Under multi_label, labels go into a single column joined, else into the classes'
    columns as 0 and 1; as probabilities where the template's own cells are fractions.

    Raises:
        RequestError: If the columns do not suit it.
    """
    if mode == "labels" and not is_multi_label:
        check_columns(form, classes, "labels")
        return "label"
    if mode == "labels" and len(form.value_columns) == 1:
        return "label_set"
    check_columns(form, classes, "probabilities")
    if mode == "labels" and not any(_is_fraction(sample) for sample in form.samples):
        return "marks"
    return "probabilities"


def _is_fraction(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "." in text or "e" in text.lower()


def find_joint(form: Template, classes: Sequence[str]) -> str:
    """Return what stands between labels in the template's own cells; a space if none does.

    Without a template it is ``|``, as everywhere else in this package.
    """
    if not form.where:
        return LABEL_SEPARATOR
    known = set(classes)
    for joint in _JOINTS:
        parts = [part for sample in form.samples for part in _cut(sample, joint)]
        if any(part in known for part in parts):
            return joint
    return next((sign for sign in _JOINTS if any(sign in text for text in form.samples)), " ")


def _cut(sample: str, joint: str) -> list[str]:
    """Return the parts of a cell that holds more than one."""
    parts = [part.strip() for part in sample.split(joint)]
    return parts if len(parts) > 1 else []


def write_rows(form: Template, answers: Predictions, content: Content) -> str:
    """Fill a template with predictions; texts are written as they are."""
    stream = StringIO()
    table = csv.writer(stream, delimiter=form.separator, lineterminator="\n")
    table.writerow([form.id_column, *form.value_columns])
    cells = _list_cells(form, answers, content)
    table.writerows([name, *row] for name, row in zip(form.ids, cells, strict=True))
    return stream.getvalue()


def _list_cells(form: Template, answers: Predictions, content: Content) -> Iterable[Sequence[str]]:
    if content in ("label", "label_set"):
        joint = find_joint(form, answers.classes)
        return ([joint.join(labels)] for labels in answers.label_sets)
    columns = [answers.classes.index(name) for name in form.value_columns]
    if content == "probabilities":
        rows = answers.probabilities[:, columns]
        return ([f"{value:.8g}" for value in row] for row in rows)
    assert answers.thresholds is not None
    marks = apply_thresholds(answers.probabilities, answers.thresholds)[:, columns]
    return ([str(int(mark)) for mark in row] for row in marks)


def read_choices(
    text: str, form: Template, answers: Predictions, content: Content, picked: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Read rows of a finished text back.

    Args:
        text: From ``write_rows``.
        form: The template.
        answers: What was written; fills in for probabilities that the text leaves out.
        content: What the cells hold.
        picked: Numbers of the rows.

    Returns:
        Probabilities ``(p, classes)`` float32, and what was chosen: class ids ``(p,)``, or
        under multi_label 0 and 1, ``(p, classes)``; -1 where the text names no such thing.
    """
    rows = list(csv.reader(StringIO(text), delimiter=form.separator))[1:]
    cells = [rows[number][1:] for number in picked]
    probabilities = answers.probabilities[list(picked)]
    if content == "label":
        ids = {name: number for number, name in enumerate(answers.classes)}
        return probabilities, np.array([ids.get(cell[0], -1) for cell in cells])
    if content == "label_set":
        # Where a class name holds the joint, cutting the cell would be guesswork: so each
        # set is recognised by its text.
        joint = find_joint(form, answers.classes)
        marks = {
            joint.join(labels): [int(name in labels) for name in answers.classes]
            for labels in answers.label_sets
        }
        unknown = [-1] * len(answers.classes)
        return probabilities, np.array([marks.get(cell[0], unknown) for cell in cells])
    order = [form.value_columns.index(name) for name in answers.classes]
    values = np.array(cells, np.float32).reshape(len(cells), -1)[:, order]
    if content == "marks":
        return probabilities, values.astype(np.int64)
    if answers.thresholds is None:
        return values, values.argmax(axis=1)
    return values, apply_thresholds(values, answers.thresholds).astype(np.int64)


#: Images on which an export is compared.
SAMPLE = 32


@dataclass(frozen=True)
class Submission:
    """A submission that was written.

    Attributes:
        path: The file.
        size_bytes: Its size.
        rows: Rows of a CSV, 0 for a zip.
        views: Names of the views of each image that are averaged.
        proof: What a fresh process repeated.
    """

    path: Path
    size_bytes: int
    rows: int
    views: tuple[str, ...]
    proof: Proof


def write_codalab(
    bundle: Bundle,
    tta: TtaRecipe | None,
    out: Path,
    sample: Sequence[str | Path],
    *,
    batch_size: int = BATCH_SIZE,
    observer: Observer = SILENT,
) -> Submission:
    """Write a zip that a CodaLab server runs: ``metadata``, ``model.py``, a SavedModel.

    The server needs TensorFlow and NumPy only. Images of another size than the
    model's are resized there as they are here. Before it is written, the zip is
    run by a fresh process in an empty folder, and its answers are compared with
    those of this process.

    Args:
        bundle: The model.
        tta: The views that go into the zip, or None for the plain network.
        out: The zip's path; a file that is there is replaced.
        sample: Files of real images to compare on, such as some of the validation
            split; the first 32 are used.
        batch_size: Forward passes that the server makes together.
        observer: Told what is done.

    Raises:
        RequestError: If ``out`` is a folder or there is no sample.
        ImageError: If an image of the sample cannot be read.
        ExportError: If the fresh process fails or disagrees; nothing is written.
    """
    _check_target(out)
    if not sample:
        raise RequestError(f"{out}: needs an image to check the submission on, got none")
    views = build_view_model(bundle.model, tta)
    with TemporaryDirectory(prefix="tfclassify-") as work:
        draft = Path(work, "draft.zip")
        observer.on_note("writing the SavedModel with its views inside")
        _pack_codalab(draft, Path(work, FOLDER), bundle, views, batch_size)
        observer.on_note("running the submission in a fresh process")
        proof = prove_codalab(draft, str(out), bundle, views, sample[:SAMPLE])
        with draft.open("rb") as source, open_replacing(out) as target:
            shutil.copyfileobj(source, target)
    return Submission(out, out.stat().st_size, 0, views.names, proof)


def _check_target(out: Path) -> None:
    if out.is_dir():
        raise RequestError(f"{out}: is a folder; name the file to write")


def _pack_codalab(
    archive: Path, folder: Path, bundle: Bundle, views: ViewModel, batch_size: int
) -> None:
    thresholds = bundle.label_thresholds
    settings: dict[str, object] = {
        "classes": list(bundle.classes),
        "thresholds": None if thresholds is None else thresholds.tolist(),
        "score_scale": views.count if views.is_summed else 1,
        "image_size": list(bundle.image_size),
        "resize": bundle.resize,
        "views": list(views.names),
        "images_per_batch": views.images_per_batch(batch_size),
    }
    write_saved_model(folder, Graph(views, output="scores"), settings)
    program = resources("tfclassify.export").joinpath("codalab_model.py")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        # An empty file by this name tells the server that code was submitted.
        opened.writestr("metadata", b"")
        opened.writestr("model.py", program.read_bytes())
        for file in sorted(folder.rglob("*")):
            opened.write(file, f"{FOLDER}/{file.relative_to(folder).as_posix()}")


def write_csv_submission(
    bundle: Bundle,
    images: Path,
    out: Path,
    *,
    template: Path | None = None,
    mode: Mode = "labels",
    tta: TtaRecipe | None = None,
    batch_size: int = BATCH_SIZE,
    observer: Observer = SILENT,
) -> Submission:
    """Write the predictions for a folder of images as a competition wants them.

    With a template, its separator, columns, ids and row order are kept to the
    letter. Without one, the columns are ``file`` (path below the folder) and
    ``label``, or ``file`` and one for each class. How several labels of an image are
    written is told by ``find_joint``. Before it is written, some rows
    are repeated by a fresh process from the bundle on disk. Texts are written as
    they are, since a scorer compares them.

    Args:
        bundle: The model.
        images: Folder of the test images.
        out: The CSV's path; a file that is there is replaced.
        template: The competition's sample submission.
        mode: ``labels`` or ``probabilities``.
        tta: Views to average over, or None for the plain image.
        batch_size: Forward passes that go through the network together.
        observer: Told of progress, and of what looks odd in the template.

    Raises:
        RequestError: If the template does not fit the classes or the images, or
            ``mode`` or ``out`` is not what is wanted.
        TargetError: If the folder or the template is not there.
        DataError: If images cannot be read: a submission must not lack rows.
        ExportError: If the fresh process fails or disagrees; nothing is written.
    """
    _check_target(out)
    if mode not in ("labels", "probabilities"):
        raise RequestError(f"mode: must be 'labels' or 'probabilities', got {mode!r}")
    if not images.is_dir():
        raise TargetError(f"{images}: there is no such folder; name the folder of test images")
    files = expand_paths([images])
    if template is None:
        names = tuple(Path(file).relative_to(images).as_posix() for file in files)
        values = ("label",) if mode == "labels" else tuple(bundle.classes)
        form = Template("", "file", values, names, (), ",")
    else:
        form = read_template(template)
    is_multi_label = bundle.label_thresholds is not None
    content = choose_content(form, bundle.classes, mode, is_multi_label=is_multi_label)
    if template is not None:
        files = _select(form, images, files, bundle.classes, content, observer)
    answers = predict_paths(bundle, files, tta, batch_size=batch_size, observer=observer)
    _refuse_failures(answers)
    text = write_rows(form, answers, content)
    observer.on_note("repeating some rows in a fresh process")
    proof = _prove_csv(text, form, answers, bundle, tta, batch_size, content, str(out))
    write_bytes(out, text.encode("utf-8", "surrogateescape"))
    return Submission(out, out.stat().st_size, len(files), answers.views, proof)


def _select(
    form: Template,
    folder: Path,
    files: Sequence[str],
    classes: Sequence[str],
    content: Content,
    observer: Observer,
) -> list[str]:
    """Return the file of each row, and tell what may not be meant so."""
    chosen = match_images(form, folder, files)
    unasked = len(files) - len(set(chosen))
    if unasked:
        observer.on_warning(f"{form.where}: does not ask for {unasked} of {len(files)} images")
    strange = sorted({value for value in form.samples if value and value not in classes})
    if content == "label" and strange:
        observer.on_warning(
            f"{form.where}: its own column {form.value_columns[0]!r} holds {list_some(strange)}, "
            f"which is no class; written are class names such as {classes[0]!r}"
        )
    joint = find_joint(form, classes)
    torn = [name for name in classes if joint in name]
    if content == "label_set" and torn:
        observer.on_warning(
            f"{form.where}: labels are joined with {joint!r}, which is in the class names "
            f"{list_some(torn)} as well"
        )
    return chosen


def _refuse_failures(answers: Predictions) -> None:
    reasons = [error for error in answers.errors if error]
    if reasons:
        listed = "\n  ".join(reasons[:5])
        raise DataError(
            f"{len(reasons)} of {len(answers.files)} images cannot be read, and a submission "
            f"without their rows would be refused; nothing was written:\n  {listed}"
        )


def _prove_csv(
    text: str,
    form: Template,
    answers: Predictions,
    bundle: Bundle,
    tta: TtaRecipe | None,
    batch_size: int,
    content: Content,
    where: str,
) -> Proof:
    """Compare rows of the finished text with those of a fresh process."""
    picked = np.unique(np.linspace(0, len(answers.files) - 1, SAMPLE).astype(int)).tolist()
    files = [answers.files[number] for number in picked]
    fresh = predict_afresh(bundle, files, tta, batch_size, where)
    written, chosen = read_choices(text, form, answers, content, picked)
    tolerance = GPU_TOLERANCE if tf.config.list_physical_devices("GPU") else TOLERANCE
    difference = compare(where, fresh, written, chosen, tolerance, answers.thresholds)
    return Proof(len(picked), difference)
