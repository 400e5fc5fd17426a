from __future__ import annotations

import re

import pytest

from tfclassify.pages.dot_figures import (
    CostPoint,
    DotRow,
    draw_dots,
    draw_score_against_cost,
    say_large,
)


def test_rows_are_named_and_values_drawn() -> None:
    rows = [
        DotRow("accuracy", 0.8, 0.7, 0.9, (0.75, 0.85)),
        DotRow("<f1>", None),
        DotRow("loss", 0.5, is_marked=True),
    ]
    drawing = draw_dots(rows, "score", "Three rows.")
    assert drawing is not None
    assert drawing.alt == "Three rows."
    for word in ("accuracy", "&lt;f1&gt;", "loss", "score"):
        assert word in drawing.svg


def test_nothing_to_draw_draws_nothing() -> None:
    assert draw_dots([DotRow("empty", None)], "score", "") is None
    assert draw_dots([], "score", "") is None
    assert draw_score_against_cost([], "score", "") is None


@pytest.mark.parametrize("values", [(0.5,), (0.0, 0.0), (1.0, 1.0), (-2.0, 3.0)])
def test_any_range_is_framed(values: tuple[float, ...]) -> None:
    rows = [DotRow(str(number), value) for number, value in enumerate(values)]
    assert draw_dots(rows, "score", "", zero=True) is not None
    assert draw_dots(rows, "score", "") is not None


def test_costs_stand_on_a_logarithmic_axis() -> None:
    points = [
        CostPoint("small", 2e6, 0.7, 0.6, 0.8),
        CostPoint("large", 3e9, 0.9, is_marked=True),
    ]
    drawing = draw_score_against_cost(points, "Accuracy", "Two models.")
    assert drawing is not None
    words = re.findall(r">([^<>]+)</text>", drawing.svg)
    assert {"small", "large", "Accuracy", "10 M", "1 G"} <= set(words)


@pytest.mark.parametrize(
    ("number", "text"),
    [(100, "100"), (1e3, "1 k"), (1e7, "10 M"), (1e9, "1 G"), (1e12, "1 T")],
)
def test_large_numbers_are_short(number: float, text: str) -> None:
    assert say_large(number) == text
