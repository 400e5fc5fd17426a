"""The tables of a model of label sets, on a terminal."""

from __future__ import annotations

import numpy as np

from tests.pages.contents import CLASSES, make_label_verdict, make_verdict
from tfclassify.pages.label_score_tables import (
    tabulate_additions,
    tabulate_label_classes,
    tabulate_verdict,
)
from tfclassify.pages.tables import tabulate_metrics
from tfclassify.scoring.multi_label_judgement import judge_labels

TARGETS = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
GIVEN = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])
VERDICT = judge_labels(
    TARGETS, np.where(GIVEN, 0.9, 0.1), CLASSES, seed=0, thresholds=0.25, resamples=20
)


def test_each_class_has_its_row() -> None:
    head, _, ash, birch, cedar = tabulate_label_classes(VERDICT).splitlines()
    assert head.split()[:5] == ["class", "images", "given", "to", "threshold"]
    assert ash.split()[:4] == ["ash", "3", "2", "0.250"]
    assert birch.split()[:4] == ["birch", "1", "3", "0.250"]
    assert birch.split()[-5:] == ["33.3", "%", "100.0", "%", "0.500"]
    # No image has cedar: it has no average precision and no recall.
    assert cedar.split()[1:6] == ["0", "2", "0.250", "–", "–"]


def test_labels_too_many() -> None:
    lines = tabulate_additions(VERDICT).splitlines()
    assert lines[2].split() == ["birch", "ash", "2", "2"]
    assert lines[3].split() == ["cedar", "ash", "1", "3"]
    assert len(tabulate_additions(VERDICT, limit=1).splitlines()) == 3
    perfect = judge_labels(TARGETS, TARGETS, CLASSES, seed=0, resamples=5)
    assert tabulate_additions(perfect).startswith("No image with labels of its own was given")


def test_each_task_has_its_tables() -> None:
    assert "AP" in tabulate_verdict(make_label_verdict().headline)[0]
    classes, confusions = tabulate_verdict(make_verdict().headline)
    assert "AP" not in classes
    assert "predicted as" in confusions


def test_metrics_bear_the_titles_of_their_task() -> None:
    text = tabulate_metrics(VERDICT, VERDICT)
    assert "Binary cross-entropy" in text
    assert "Exact match" in text
    assert text.endswith("4 images")
