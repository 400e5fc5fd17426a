"""The cells of a CSV submission, written and read back."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.errors import RequestError
from tfclassify.export.submission_rows import (
    choose_content,
    find_joint,
    read_choices,
    write_rows,
)
from tfclassify.export.template import Template
from tfclassify.inference.prediction import Predictions

CLASSES = ("ash", "birch", "red oak")
ANSWERS = Predictions(
    files=("1.png", "2.png", "3.png"),
    classes=CLASSES,
    probabilities=np.array([[0.9, 0.2, 0.6], [0.1, 0.4, 0.3], [0.1, 0.2, 0.1]], np.float32),
    errors=("", "", ""),
    top_k=1,
    views=("identity",),
    thresholds=np.array([0.5, 0.4, 0.5]),
)


def make_form(columns: tuple[str, ...], samples: tuple[str, ...] = ("", "", "")) -> Template:
    return Template("sample.csv", "id", columns, ("1", "2", "3"), samples, ",")


@pytest.mark.parametrize(
    ("columns", "samples", "mode", "content"),
    [
        (("labels",), ("ash", "", "birch"), "labels", "label_set"),
        (CLASSES, ("0", "1", "0"), "labels", "marks"),
        (CLASSES, ("0.5", "0.5", "0"), "labels", "probabilities"),
        (CLASSES, ("1e-3", "0", "0"), "labels", "probabilities"),
        (CLASSES, ("ash", "", ""), "labels", "marks"),
        (CLASSES, ("0", "0", "0"), "probabilities", "probabilities"),
    ],
)
def test_the_template_says_what_its_cells_hold(columns, samples, mode, content) -> None:
    form = make_form(columns, samples)
    assert choose_content(form, CLASSES, mode, is_multi_label=True) == content


def test_one_label_an_image_is_as_ever() -> None:
    assert choose_content(make_form(("x",)), CLASSES, "labels", is_multi_label=False) == "label"
    with pytest.raises(RequestError, match="labels fill one column, the template has 3"):
        choose_content(make_form(CLASSES), CLASSES, "labels", is_multi_label=False)


@pytest.mark.parametrize("mode", ["labels", "probabilities"])
def test_other_columns_than_the_classes_are_refused(mode) -> None:
    with pytest.raises(RequestError, match="columns that are no class: 'oak'"):
        choose_content(make_form(("ash", "birch", "oak")), CLASSES, mode, is_multi_label=True)


@pytest.mark.parametrize(
    ("samples", "joint"),
    [
        (("ash birch", "", ""), " "),
        (("ash|red oak", "", ""), "|"),
        (("ash; birch", "", ""), ";"),
        (("ash", "birch", ""), " "),
        (("x;y", "", ""), ";"),
    ],
)
def test_the_template_says_what_joins_labels(samples, joint: str) -> None:
    assert find_joint(make_form(("labels",), samples), CLASSES) == joint


def test_without_a_template_labels_are_joined_as_everywhere() -> None:
    assert find_joint(Template("", "file", ("label",), (), (), ","), CLASSES) == "|"


def test_labels_joined() -> None:
    form = make_form(("labels",), ("ash|birch", "", ""))
    text = write_rows(form, ANSWERS, "label_set")
    assert text == "id,labels\n1,ash|red oak\n2,birch\n3,\n"
    probabilities, chosen = read_choices(text, form, ANSWERS, "label_set", [0, 1, 2])
    assert chosen.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert np.array_equal(probabilities, ANSWERS.probabilities)
    changed = text.replace("2,birch", "2,beech")
    assert read_choices(changed, form, ANSWERS, "label_set", [1])[1].tolist() == [[-1, -1, -1]]


def test_a_class_name_with_the_joint_in_it_survives() -> None:
    form = make_form(("labels",), ("ash birch", "", ""))
    text = write_rows(form, ANSWERS, "label_set")
    assert text == "id,labels\n1,ash red oak\n2,birch\n3,\n"
    assert read_choices(text, form, ANSWERS, "label_set", [0])[1].tolist() == [[1, 0, 1]]


def test_a_column_for_each_class() -> None:
    form = make_form(("birch", "red oak", "ash"))
    text = write_rows(form, ANSWERS, "marks")
    assert text == "id,birch,red oak,ash\n1,0,1,1\n2,1,0,0\n3,0,0,0\n"
    chosen = read_choices(text, form, ANSWERS, "marks", [0, 2])[1]
    assert chosen.tolist() == [[1, 0, 1], [0, 0, 0]]


def test_probabilities_of_label_sets() -> None:
    form = make_form(("birch", "red oak", "ash"))
    text = write_rows(form, ANSWERS, "probabilities")
    assert text.splitlines()[1] == "1,0.2,0.60000002,0.89999998"
    probabilities, chosen = read_choices(text, form, ANSWERS, "probabilities", [0, 1, 2])
    assert np.array_equal(probabilities, ANSWERS.probabilities)
    assert chosen.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
