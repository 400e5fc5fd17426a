"""The figures of a multi-label judgement."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np

from tests.builders import make_label_outcome
from tests.pages.contents import CLASSES, make_label_verdict, make_run_report
from tests.pages.test_figures import read_texts
from tfclassify.pages.content import EpochRecord, PhaseRecord
from tfclassify.pages.figures import draw_run_figures
from tfclassify.pages.label_score_figures import (
    SHOWN_LABELS,
    draw_additions,
    draw_class_ap,
    draw_label_counts,
)
from tfclassify.pages.training_figures import draw_learning_curves
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement, judge_labels

TARGETS = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]])
GIVEN = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])


def judge(targets: np.ndarray = TARGETS, given: np.ndarray = GIVEN) -> MultiLabelJudgement:
    return judge_labels(targets, np.where(given, 0.9, 0.1), CLASSES, seed=0, resamples=20)


def test_a_report_has_the_figures_of_its_task() -> None:
    figures = draw_run_figures(make_run_report(metric="map", verdict=make_label_verdict()))
    judged = {"class_ap", "label_counts", "additions"}
    assert set(figures) == {"class_histogram", "learning_curves"} | judged


def test_the_weakest_class_is_on_top() -> None:
    drawing = draw_class_ap(judge().class_scores)
    texts = [text for text in read_texts(drawing) if text.split()[0] in CLASSES]
    # Ash has 3 images, birch 1 of 3 given; no image has cedar.
    assert texts == ["birch  (1)", "ash  (3)", "cedar  (0)"]
    assert "no images" in read_texts(drawing)
    assert drawing.alt.startswith("Average precision of 2 classes, from 0.333 (birch) to ")


def test_average_precision_of_no_labels() -> None:
    drawing = draw_class_ap(judge(np.zeros((2, 3)), np.zeros((2, 3))).class_scores)
    assert drawing.alt == "Average precision of each class: no image has a label."


def test_labels_of_an_image() -> None:
    drawing = draw_label_counts(judge())
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
    drawing = draw_additions(judge())
    assert drawing is not None
    texts = read_texts(drawing)
    assert [text for text in texts if text in CLASSES] == ["birch", "cedar", "ash"]
    assert [text for text in texts if text.isdigit()] == ["2", "1"]
    assert drawing.alt == (
        "Labels given though absent, beside labels that are there. "
        "birch beside ash: 2 of 2 images. cedar beside ash: 1 of 3 images."
    )


def test_no_label_too_many_is_no_figure() -> None:
    assert draw_additions(judge(TARGETS, TARGETS)) is None


def test_of_many_classes_the_most_frequent_additions_are_shown() -> None:
    targets, probabilities = make_label_outcome(seed=0, images=80, classes=60)
    names = [f"class {number}" for number in range(60)]
    drawing = draw_additions(judge_labels(targets, probabilities, names, seed=0, resamples=5))
    assert drawing is not None
    named = [text for text in read_texts(drawing) if text.startswith("class ")]
    assert len(named) == 2 * SHOWN_LABELS
    ET.fromstring(drawing.svg)


def make_phase(name: str, rates: tuple[float, ...]) -> PhaseRecord:
    names = ("loss", "map", "iou", "f1_samples", "f1_macro", "f1_weighted")
    epochs = tuple(
        EpochRecord(number, rate, {"loss": 0.5, "iou": 0.2}, dict.fromkeys(names, number / 10))
        for number, rate in enumerate(rates, 1)
    )
    return PhaseRecord(name, "all layers", epochs, 1)


def test_six_panels_of_curves() -> None:
    phases = [make_phase("head", (3e-3, 3e-3)), make_phase("polish", (1e-3,))]
    drawing = draw_learning_curves(phases, "map")
    assert drawing is not None
    texts = read_texts(drawing)
    titles = [
        "Binary cross-entropy",
        "Mean average precision",
        "IoU of label sets",
        "F1, samples",
        "F1, macro",
        "Learning rate",
    ]
    assert [text for text in texts if text in titles] == titles
    assert "F1, weighted" not in texts
    assert texts.count("head") == texts.count("polish") == 6
    # Few rates are written as they are.
    assert {"0.003", "0.001"} <= set(texts)


def test_the_headline_metric_is_always_among_the_panels() -> None:
    texts = read_texts(draw_learning_curves([make_phase("head", (1e-3, 1e-4))], "f1_weighted"))
    assert "F1, weighted" in texts
    assert "F1, macro" not in texts


def test_a_second_phase_is_shaded() -> None:
    one = draw_learning_curves([make_phase("head", (1e-3,))], "map")
    two = draw_learning_curves([make_phase("head", (1e-3,)), make_phase("all", (1e-3,))], "map")
    assert one.svg.count("opacity: 0.55") == 0
    assert two.svg.count("opacity: 0.55") == 6
