"""The figures of a judgement, and the numbers in them."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.builders import make_label_outcome
from tests.pages.contents import CLASSES, read_texts
from tests.scoring.builders import judge_classes, judge_labels
from tfclassify.pages.charts import MOST_ROWS
from tfclassify.pages.score_figures import (
    SHOWN_CLASSES,
    SHOWN_LABELS,
    draw_additions,
    draw_class_scores,
    draw_confusion,
    draw_label_counts,
    draw_reliability,
)
from tfclassify.scoring.judgement import LabelJudgement

TARGETS = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
GIVEN = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])


def judge_sets(targets: np.ndarray = TARGETS, given: np.ndarray = GIVEN) -> LabelJudgement:
    return judge_labels(targets, np.where(given, 0.9, 0.1), CLASSES, seed=0, resamples=20)


def test_confusion_cells_hold_the_counts() -> None:
    targets, predicted = [0, 0, 0, 1, 2, 2], [1, 1, 0, 1, 0, 2]
    drawing = draw_confusion(
        judge_classes(targets, np.eye(3)[predicted], CLASSES, seed=0, resamples=5)
    )
    texts = read_texts(drawing)
    assert [text for text in texts if text.isdigit()] == ["1", "2", "1", "1", "1"]
    assert [text for text in texts if text in CLASSES] == [*CLASSES, *CLASSES]
    assert drawing.alt == (
        "Confusion matrix of 3 classes: 3 of 6 images right. "
        "2 of ash predicted as birch. 1 of cedar predicted as ash."
    )


@pytest.mark.parametrize(("count", "has_counts", "has_names"), [(24, 1, 1), (40, 0, 1), (81, 0, 0)])
def test_large_confusion_matrices_drop_counts_then_names(
    count: int, has_counts: int, has_names: int
) -> None:
    classes = [f"kind {number}" for number in range(count)]
    targets = np.arange(count)
    verdict = judge_classes(targets, np.eye(count)[targets], classes, seed=0, resamples=2)
    texts = read_texts(draw_confusion(verdict))
    assert sum(text == "1" for text in texts) == count * has_counts
    assert sum(text.startswith("kind") for text in texts) == 2 * count * has_names


def test_of_very_many_classes_those_confused_most_are_shown() -> None:
    count = 10_000
    classes = [f"kind {number}" for number in range(count)]
    targets, predicted = np.array([7, 7, 9_000, 5]), np.array([9_999, 9_999, 9_000, 6])
    verdict = judge_classes(targets, np.eye(count)[predicted], classes, seed=0, resamples=2)
    drawing = draw_confusion(verdict)
    assert drawing.alt.startswith(
        f"Confusion matrix of the {SHOWN_CLASSES} most often confused of 10000 classes: 1 of 4 "
        "images right. 2 of kind 7 predicted as kind 9999."
    )
    # The fine squares of two shades: both pairs of classes that were confused.
    assert len(drawing.svg) < 20_000
    bars = draw_class_scores(verdict.class_scores, "recall")
    texts = [text for text in read_texts(bars) if text.startswith("kind")]
    assert len(texts) == MOST_ROWS
    assert texts[:3] == ["kind 5  (1)", "kind 7  (2)", "kind 9000  (1)"]


def test_recall_is_ordered_from_the_weakest_and_absent_classes_come_last() -> None:
    targets, predicted = [0, 0, 1, 1, 1], [0, 1, 1, 1, 1]
    verdict = judge_classes(targets, np.eye(3)[predicted], CLASSES, seed=0, resamples=20)
    drawing = draw_class_scores(verdict.class_scores, "recall")
    names = [text for text in read_texts(drawing) if "(" in text and text[-1] == ")"]
    assert [name.split()[0] for name in names if "images" not in name] == ["ash", "birch", "cedar"]
    assert "no images" in read_texts(drawing)
    assert drawing.alt == "Recall of 2 classes, from 50.0 % (ash) to 100.0 % (birch)."


def test_reliability_names_the_temperature_only_if_there_is_one() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    plain = judge_classes([0, 1, 1], probabilities, ["a", "b"], seed=0, resamples=2)
    texts = read_texts(draw_reliability(plain.calibration))
    assert "as trained" in texts
    assert not any("temperature" in text for text in texts)
    cooled = judge_classes(
        [0, 1, 1], probabilities, ["a", "b"], seed=0, resamples=2, temperature=2.0
    )
    drawing = draw_reliability(cooled.calibration)
    assert "at temperature 2.00" in read_texts(drawing)
    assert "At temperature 2.00 the calibration error is" in drawing.alt


def test_the_weakest_class_is_on_top() -> None:
    drawing = draw_class_scores(judge_sets().class_scores, "ap")
    texts = [text for text in read_texts(drawing) if text.split()[0] in CLASSES]
    # Ash has 3 images, birch 1 of 3 given; no image has cedar.
    assert texts == ["birch  (1)", "ash  (3)", "cedar  (0)"]
    assert "no images" in read_texts(drawing)
    assert drawing.alt.startswith("Average precision of 2 classes, from 0.333 (birch) to ")


def test_average_precision_of_no_labels() -> None:
    drawing = draw_class_scores(judge_sets(np.zeros((2, 3)), np.zeros((2, 3))).class_scores, "ap")
    assert drawing.alt == "Average precision of each class: no class has images."


def test_labels_of_an_image() -> None:
    drawing = draw_label_counts(judge_sets())
    assert {"0", "1", "2", "3", "own labels", "given"} <= set(read_texts(drawing))
    assert drawing.alt == "An image has 1.00 labels on average and was given 1.75."


def test_many_labels_are_counted_together() -> None:
    targets, probabilities = make_label_outcome(seed=0, images=30, classes=40, share=0.6)
    names = [f"class {number}" for number in range(40)]
    verdict = judge_labels(targets, probabilities, names, seed=0, resamples=5)
    texts = read_texts(draw_label_counts(verdict))
    assert "12+" in texts
    assert "13" not in texts


def test_labels_given_though_absent() -> None:
    drawing = draw_additions(judge_sets())
    assert drawing is not None
    texts = read_texts(drawing)
    assert [text for text in texts if text in CLASSES] == ["birch", "cedar", "ash"]
    assert [text for text in texts if text.isdigit()] == ["2", "1"]
    assert drawing.alt == (
        "Labels given though absent, beside labels that are there. "
        "birch beside ash: 2 of 2 images. cedar beside ash: 1 of 3 images."
    )


def test_no_label_too_many_is_no_figure() -> None:
    assert draw_additions(judge_sets(TARGETS, TARGETS)) is None


def test_of_many_classes_the_most_frequent_additions_are_shown() -> None:
    targets, probabilities = make_label_outcome(seed=0, images=80, classes=60)
    names = [f"class {number}" for number in range(60)]
    drawing = draw_additions(judge_labels(targets, probabilities, names, seed=0, resamples=5))
    assert drawing is not None
    named = [text for text in read_texts(drawing) if text.startswith("class ")]
    assert len(named) == 2 * SHOWN_LABELS
    ET.fromstring(drawing.svg)
