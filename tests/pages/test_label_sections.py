"""The page of a model of label sets: its parts, and that its words are harmless."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.pages.contents import CLASSES, make_label_verdict, make_run_report
from tests.pages.test_page import HOSTILE, parse, read_tag, read_text, render_bare
from tfclassify.pages.content import RunReport
from tfclassify.pages.label_sections import (
    explain_thresholds,
    make_additions,
    make_label_classes,
    make_wrong_labels,
)
from tfclassify.pages.page import render_page
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement, judge_labels


def make_report(**changes: object) -> RunReport:
    return make_run_report(metric="map", verdict=make_label_verdict(), **changes)


def judge(given: np.ndarray, targets: np.ndarray, **options: object) -> MultiLabelJudgement:
    probabilities = np.where(given, 0.9, 0.1)
    return judge_labels(targets, probabilities, CLASSES, seed=0, resamples=5, **options)


def test_the_page_has_the_parts_of_label_sets() -> None:
    root = parse(render_page(make_report()))
    sections = [e.get("id") for e in root.iter() if read_tag(e) == "section"]
    assert sections == [
        "setup",
        "images",
        "training",
        "scores",
        "classes",
        "labels",
        "additions",
        "mistakes",
        "integrity",
        "repeat",
    ]
    text = read_text(root)
    judgement = make_label_verdict().headline
    assert f"{judgement.metrics['map'].value:.3f}" in text
    assert "Better when lower: Binary cross-entropy, Hamming loss." in text
    assert "Mean average precision on 60 validation images" in text


def test_views_stand_beside_the_plain_image() -> None:
    views = make_label_verdict(images=50).judgement
    verdict = dataclasses.replace(make_label_verdict(), with_views=views, views=3)
    text = read_text(parse(render_bare(make_report(others=(verdict,)))))
    assert "Validation, one view (n = 60)" in text
    assert "Validation, 3 views (n = 50)" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_escapes_into_the_page(name: str) -> None:
    verdict = make_label_verdict((name, "b", "c"))
    page = render_page(make_run_report((name, "b", "c"), metric="map", verdict=verdict))
    root = parse(page)
    assert not [e for e in root.iter() if read_tag(e) == "script"]
    assert not [key for e in root.iter() for key in e.attrib if key.startswith("on")]


def test_where_the_thresholds_came_from() -> None:
    targets = np.eye(3)
    assert "at least 0.5" in explain_thresholds(judge(targets, targets))
    stored = explain_thresholds(judge(targets, targets, thresholds=0.25))
    assert stored.endswith("Stored: 0.250 for every class.")
    crossed = judge(targets, targets, thresholds=[0.2, 0.3, 0.4], crossed=np.full((3, 3), 0.5))
    text = explain_thresholds(crossed)
    assert "searched on the other parts of 5 instead" in text
    assert text.endswith("Stored: one for each class, 0.200 to 0.400.")


def test_thresholds_that_differ_have_a_column() -> None:
    targets = np.eye(3)
    same = make_label_classes(judge(targets, targets, thresholds=0.25), {}, None)
    assert "Threshold" not in str(same.body)
    other = judge(targets, targets, thresholds=[0.2, 0.3, 0.4])
    section = make_label_classes(other, {}, (7, 8, 9))
    assert "Threshold" in str(section.body)
    assert "0.300" in str(section.body)
    assert "Trained on" in str(section.body)


def test_a_perfect_model_has_no_mistakes() -> None:
    perfect = judge(np.eye(3), np.eye(3))
    assert "given just its own labels" in str(make_wrong_labels((), perfect).body)
    assert "given one too many" in str(make_additions(perfect, {}).body)


def test_labels_too_many_are_counted() -> None:
    targets = np.array([[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    given = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]])
    text = str(make_additions(judge(given, targets), {}).body)
    assert "birch" in text
    assert "50 % of 2" in text


def test_long_lists_under_a_picture_are_cut() -> None:
    mistake = dataclasses.replace(
        make_label_verdict().mistakes[0],
        missed=tuple((f"label {number}", 0.1) for number in range(6)),
        added=(),
        found=(),
    )
    body = str(make_wrong_labels((mistake,), judge(np.ones((2, 3)), np.eye(3)[:2])).body)
    assert "label 3 10 % and 2 more" in body
    assert "right: none" in body
    assert "Too many" not in body
    assert "2 images of 2 were not given just their own labels" in body
