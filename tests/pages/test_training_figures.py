"""The learning curves, and the record of a phase."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re

import pytest

from tests.pages.contents import make_epochs, make_phases, read_texts
from tfclassify.pages.training_figures import PhaseRecord, draw_learning_curves
from tfclassify.scoring.epochs import EpochRecord


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
    broken = EpochRecord("head", 0, 1, 0.0, 1.0, 1.0, {"loss": math.nan, "accuracy": math.nan})
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


def read_rates(phase: PhaseRecord) -> list[tuple[float, float]]:
    """Return the points of the curve of learning rates, in the units of the figure."""
    drawing = draw_learning_curves((phase,), "accuracy")
    line = re.search(r'<path d="([^"]*)"[^>]*stroke: #c98a2b', drawing.svg)
    assert line is not None
    numbers = [float(number) for number in re.findall(r"[\d.]+", line[1])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def test_rates_are_drawn_within_an_epoch() -> None:
    # A cosine over the four steps of a single epoch.
    rates = tuple(1e-3 * 0.5 * (1 + math.cos(math.pi * step / 3)) for step in range(4))
    epochs = (dataclasses.replace(make_epochs(1)[0], learning_rates=rates),)
    phase = PhaseRecord("head", "head", epochs)
    assert phase.rates == [(step / 3, rate) for step, rate in enumerate(rates)]
    points = read_rates(phase)
    assert len(points) == 3  # a logarithmic axis has no place for the last rate, 0
    gaps = [b[0] - a[0] for a, b in itertools.pairwise(points)]
    assert gaps[0] == pytest.approx(gaps[1], abs=0.02)
    # 0.75 and 0.25 of the first rate: log(4 / 3) and log(4) further down.
    falls = [point[1] - points[0][1] for point in points[1:]]
    assert falls[1] / falls[0] == pytest.approx(math.log(4) / math.log(4 / 3), rel=0.01)


def test_a_record_without_rates_has_one_rate_for_its_epoch() -> None:
    assert PhaseRecord("head", "head", make_epochs(2)).rates == [
        *((0, 1e-3), (1, 1e-3), (1, 5e-4), (2, 5e-4)),
    ]


def test_a_phase_adds_up_and_names_its_kept_epoch() -> None:
    phase = make_phases()[0]
    assert phase.seconds == 8.0
    assert phase.kept_epoch == 3
    assert phase.kept_score("loss") == pytest.approx(1 / 3 + 0.1)
    assert phase.kept_score("map") is None
    last = dataclasses.replace(phase, best_epoch=None)
    assert last.kept_epoch == 4
    empty = dataclasses.replace(last, epochs=())
    assert (empty.seconds, empty.kept_epoch, empty.kept_score("loss")) == (0, None, None)


def make_phase(name: str, rates: tuple[float, ...]) -> PhaseRecord:
    names = ("loss", "map", "iou", "f1_samples", "f1_macro", "f1_weighted")
    epochs = tuple(
        EpochRecord(
            name, 0, number, rate, 1.0, 1.0, {"loss": 0.5, "iou": 0.2},
            dict.fromkeys(names, number / 10),
        )
        for number, rate in enumerate(rates, 1)
    )  # fmt: skip
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


def test_phases_of_several_sizes_say_them() -> None:
    phases = [
        dataclasses.replace(phase, image_size=(side, side))
        for phase, side in zip(make_phases(), (96, 160), strict=True)
    ]
    drawing = draw_learning_curves(phases, "accuracy")
    texts = read_texts(drawing)
    assert texts.count("head 96x96") == texts.count("whole 160x160") == 3
    assert "Phase whole 160x160 kept epoch 3" in drawing.alt
