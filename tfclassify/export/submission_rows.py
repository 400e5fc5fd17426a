"""The rows of a CSV submission: what stands in the cells, and what the cells say.

Owns: from predictions to text in a template's form, and back to choices for the proof.
Does not own: the template (``template``), the comparison (``proof``).

An image with one label has it in one column, or a probability for each class. One that may
have several has them in one column, joined; or 0 and 1 for each class; or probabilities.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Literal

import numpy as np

from tfclassify.export.template import Mode, Template, check_columns
from tfclassify.inference.prediction import LABEL_SEPARATOR, Predictions
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
