"""Which figures there are, and the numbers in them."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from tests.pages.contents import (
    CLASSES,
    make_data,
    make_epochs,
    make_evaluation_report,
    make_inspect_report,
    make_phases,
    make_run_report,
)
from tfclassify.pages.content import DataSummary, EpochRecord, PhaseRecord
from tfclassify.pages.data_figures import draw_class_histogram, draw_image_sizes
from tfclassify.pages.drawing import Drawing
from tfclassify.pages.figures import (
    draw_evaluation_figures,
    draw_inspect_figures,
    draw_run_figures,
    write_figures,
)
from tfclassify.pages.score_figures import draw_class_recall, draw_confusion, draw_reliability
from tfclassify.pages.training_figures import draw_learning_curves
from tfclassify.scoring.judgement import judge


def read_texts(drawing: Drawing) -> list[str]:
    """Return the words of a figure, in the order in which they are drawn."""
    root = ET.fromstring(drawing.svg)
    return ["".join(e.itertext()).strip() for e in root.iter() if e.tag.endswith("}text")]


def test_every_kind_of_report_has_its_figures() -> None:
    judged = {"class_recall", "confusion_matrix", "reliability"}
    run = draw_run_figures(make_run_report())
    assert set(run) == {"class_histogram", "learning_curves"} | judged
    assert set(draw_run_figures(make_run_report(verdict=None, phases=()))) == {"class_histogram"}
    assert set(draw_evaluation_figures(make_evaluation_report())) == {"class_histogram"} | judged
    assert set(draw_inspect_figures(make_inspect_report())) == {"class_histogram", "image_sizes"}
    assert set(draw_inspect_figures(make_inspect_report(sizes=()))) == {"class_histogram"}


def test_figures_are_written_as_files(tmp_path: Path) -> None:
    report = make_run_report(verdict=None)
    figures = write_figures(report, tmp_path / "figures")
    for name, drawing in figures.items():
        assert (tmp_path / "figures" / f"{name}.svg").read_text("utf-8") == drawing.svg
    assert len(list((tmp_path / "figures").iterdir())) == len(figures) == 2


def test_confusion_cells_hold_the_counts() -> None:
    targets, predicted = [0, 0, 0, 1, 2, 2], [1, 1, 0, 1, 0, 2]
    drawing = draw_confusion(judge(targets, np.eye(3)[predicted], CLASSES, seed=0, resamples=5))
    texts = read_texts(drawing)
    assert [text for text in texts if text.isdigit()] == ["1", "2", "1", "1", "1"]
    assert [text for text in texts if text in CLASSES] == [*CLASSES, *CLASSES]
    assert drawing.alt == (
        "Confusion matrix of 3 classes: 3 of 6 images on the diagonal. "
        "2 of ash predicted as birch. 1 of cedar predicted as ash."
    )


@pytest.mark.parametrize(("count", "has_counts", "has_names"), [(24, 1, 1), (40, 0, 1), (81, 0, 0)])
def test_large_confusion_matrices_drop_counts_then_names(
    count: int, has_counts: int, has_names: int
) -> None:
    classes = [f"kind {number}" for number in range(count)]
    targets = np.arange(count)
    verdict = judge(targets, np.eye(count)[targets], classes, seed=0, resamples=2)
    texts = read_texts(draw_confusion(verdict))
    assert sum(text == "1" for text in texts) == count * has_counts
    assert sum(text.startswith("kind") for text in texts) == 2 * count * has_names


def test_recall_is_ordered_from_the_weakest_and_absent_classes_come_last() -> None:
    targets, predicted = [0, 0, 1, 1, 1], [0, 1, 1, 1, 1]
    verdict = judge(targets, np.eye(3)[predicted], CLASSES, seed=0, resamples=20)
    drawing = draw_class_recall(verdict.class_scores)
    names = [text for text in read_texts(drawing) if "(" in text and text[-1] == ")"]
    assert [name.split()[0] for name in names if "images" not in name] == ["ash", "birch", "cedar"]
    assert "no images" in read_texts(drawing)
    assert drawing.alt == "Recall of 2 classes, from 50.0 % (ash) to 100.0 % (birch)."


def test_reliability_names_the_temperature_only_if_there_is_one() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    plain = judge([0, 1, 1], probabilities, ["a", "b"], seed=0, resamples=2)
    texts = read_texts(draw_reliability(plain.calibration))
    assert "as trained" in texts
    assert not any("temperature" in text for text in texts)
    cooled = judge([0, 1, 1], probabilities, ["a", "b"], seed=0, resamples=2, temperature=2.0)
    drawing = draw_reliability(cooled.calibration)
    assert "at temperature 2.00" in read_texts(drawing)
    assert "At temperature 2.00 the calibration error is" in drawing.alt


def test_curves_show_phases_and_the_kept_epochs() -> None:
    drawing = draw_learning_curves(make_phases(), "accuracy")
    texts = read_texts(drawing)
    assert {"Cross-entropy", "Accuracy", "Learning rate", "kept epoch", "training"} <= set(texts)
    assert texts.count("head") == texts.count("whole") == 3
    assert drawing.alt == (
        "Learning curves over 7 epochs in 2 phases. "
        "Phase head kept epoch 3: validation accuracy 73.3 %. "
        "Phase whole kept epoch 3: validation accuracy 73.3 %."
    )


def test_curves_of_little() -> None:
    assert draw_learning_curves((), "accuracy") is None
    assert draw_learning_curves((PhaseRecord("head", "head", ()),), "accuracy") is None
    # One epoch, no validation, a loss that diverged, no rate, an unknown metric.
    broken = EpochRecord(1, None, {"loss": float("nan"), "accuracy": None})
    texts = read_texts(draw_learning_curves((PhaseRecord("head", "head", (broken,)),), "f1_macro"))
    assert "Cross-entropy" in texts
    assert "F1, macro" not in texts
    assert "validation" not in texts
    single = PhaseRecord("head", "head", make_epochs(1), 1)
    assert "Accuracy" in read_texts(draw_learning_curves((single,), "accuracy"))
    assert "Accuracy" in read_texts(draw_learning_curves((single,), "loss"))  # it was recorded


def test_a_phase_that_never_started_leaves_the_curves_alone() -> None:
    phases = (*make_phases(), PhaseRecord("polish", "all layers", ()))
    drawing = draw_learning_curves(phases, "accuracy")
    assert "polish" not in read_texts(drawing)


def test_histogram_writes_the_totals() -> None:
    drawing = draw_class_histogram(make_data())
    texts = read_texts(drawing)
    assert [text for text in texts if text in ("15", "16", "17")][-3:] == ["15", "16", "17"]
    assert {"train", "validation"} <= set(texts)
    assert drawing.alt == "48 images of 3 classes, from 15 (ash) to 17 (cedar)."
    assert "train" not in read_texts(draw_class_histogram(make_data(split=False)))


def test_histogram_of_nothing() -> None:
    empty = draw_class_histogram(DataSummary("x", (), {}))
    assert empty.alt == "Images of each class: there are no classes."
    draw_class_histogram(DataSummary("x", ("a",), {"all": (0,)}))


def test_sizes_are_joined_where_there_are_many() -> None:
    assert draw_image_sizes([]) is None
    sizes = [(96, 96)] * 5 + [(100, 50)]
    alt = "6 images in 2 sizes; the most frequent is 96 x 96 pixels (5)."
    assert draw_image_sizes(sizes).alt == alt
    many = np.random.default_rng(0).integers(1, 4000, size=(20_000, 2)).tolist()
    assert len(draw_image_sizes([tuple(size) for size in many]).svg) < 500_000


def test_phases_add_up() -> None:
    phase = make_phases()[0]
    assert phase.seconds == 8.0
    assert dataclasses.replace(phase, epochs=()).seconds == 0
