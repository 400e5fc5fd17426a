from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from tests.pages.contents import read_texts
from tfclassify.pages.charts import (
    CostPoint,
    DotRow,
    MatrixCell,
    choose_named,
    draw_bars,
    draw_dots,
    draw_matrix,
    draw_score_against_cost,
    draw_score_bars,
)
from tfclassify.pages.drawing import ACCENT, ALERT, GRID, Drawing


def find_dots(drawing: Drawing) -> list[tuple[float, float]]:
    """Return where the round marks stand, in the units of the figure."""
    root = ET.fromstring(drawing.svg)
    return [
        (float(e.get("x")), float(e.get("y")))
        for e in root.iter()
        if e.tag.endswith("}use") and f"fill: {ACCENT}" in e.get("style", "")
    ]


def find_frame(drawing: Drawing) -> tuple[float, float]:
    """Return the left and the right edge of the axes: the ends of the clipping rectangle."""
    clip = re.search(r'<clipPath[^>]*><rect x="([\d.]+)"[^>]*?width="([\d.]+)"', drawing.svg)
    assert clip is not None
    return float(clip[1]), float(clip[1]) + float(clip[2])


def test_rows_are_named_and_values_drawn() -> None:
    rows = [
        DotRow("accuracy", 0.8, 0.7, 0.9, (0.75, 0.85)),
        DotRow("<f1>", None),
        DotRow("loss", 0.5, is_marked=True),
    ]
    drawing = draw_dots(rows, "score", "Three rows.")
    assert drawing is not None
    assert drawing.alt == "Three rows."
    assert {"accuracy", "<f1>", "loss", "score"} <= set(read_texts(drawing))


def test_nothing_to_draw_draws_nothing() -> None:
    assert draw_dots([DotRow("empty", None)], "score", "") is None
    assert draw_dots([], "score", "") is None
    assert draw_score_against_cost([], "score", "") is None


@pytest.mark.parametrize("values", [(0.5,), (0.0, 0.0), (1.0, 1.0), (-2.0, 3.0), (0.2, 0.4, 0.3)])
@pytest.mark.parametrize("zero", [False, True])
def test_every_value_stands_in_the_frame_at_its_place(
    values: tuple[float, ...], zero: bool
) -> None:
    rows = [DotRow(str(number), value) for number, value in enumerate(values)]
    drawing = draw_dots(rows, "score", "", zero=zero)
    assert drawing is not None
    left, right = find_frame(drawing)
    dots = find_dots(drawing)
    assert len(dots) == len(values)
    assert all(left <= x <= right for x, _ in dots)
    # From left to right as the values, from top to bottom as the rows.
    assert [y for _, y in dots] == sorted(y for _, y in dots)
    order = sorted(range(len(values)), key=lambda number: values[number])
    places = [dots[number][0] for number in order]
    assert places == sorted(places)
    if len(set(values)) == 3:  # 0.3 stands in the middle between 0.2 and 0.4
        assert dots[2][0] == pytest.approx((dots[0][0] + dots[1][0]) / 2, abs=0.02)


def test_score_bars_have_the_weakest_on_top_and_those_without_last() -> None:
    rows = [DotRow("good", 0.9), DotRow("none", None), DotRow("bad", 0.25, 0.1, 0.5)]
    drawing = draw_score_bars(rows, "share", "", "no images", in_percent=True)
    texts = read_texts(drawing)
    assert [text for text in texts if text in ("good", "none", "bad")] == ["bad", "good", "none"]
    assert {"no images", "100 %", "share"} <= set(texts)
    left, right = find_frame(drawing)
    assert [round((x - left) / (right - left), 2) for x, _ in find_dots(drawing)] == [0.25, 0.9]


def test_bars_add_up() -> None:
    drawing = draw_bars(["a", "b"], {"train": [1, 2], "test": [3, 5]}, "images", "Bars.", str)
    assert {"4", "7", "train", "test"} <= set(read_texts(drawing))
    assert drawing.alt == "Bars."


def test_a_matrix_has_its_cells_in_place() -> None:
    cells = {(0, 1): MatrixCell(0.5, "12", ALERT), (1, 0): MatrixCell(1.0, "7")}
    drawing = draw_matrix((["x", "y"], ["p", "q"]), cells, ("row", "column"), "Matrix.")
    root = ET.fromstring(drawing.svg)
    places = {
        e.text: (float(e.get("x")), float(e.get("y"))) for e in root.iter() if e.get("x") and e.text
    }
    for count, row, column in (("12", "x", "q"), ("7", "y", "p")):
        assert places[count][0] == places[column][0]
        assert places[count][1] == pytest.approx(places[row][1], abs=2)
    words = read_texts(drawing)
    assert {"12", "7", "x", "y", "p", "q", "row", "column"} <= set(words)
    assert drawing.svg.count(f"fill: {GRID}") == 1  # both empty cells are one path
    assert drawing.svg.count(f"fill: {ALERT}") == 1


def test_costs_stand_on_a_logarithmic_axis() -> None:
    points = [
        CostPoint(DotRow("small", 0.7, 0.6, 0.8), 2e6),
        CostPoint(DotRow("middle", 0.8), 2e7),
        CostPoint(DotRow("large", 0.9), 2e9),
        CostPoint(DotRow("own", 0.5, is_marked=True), 3e9),
    ]
    drawing = draw_score_against_cost(points, "Accuracy", "Models.")
    assert drawing is not None
    assert {"small", "large", "own", "Accuracy", "10 M", "1 G"} <= set(read_texts(drawing))
    # From 2 to 20 million is one step, from there to 2,000 million two of the same.
    (small, _), (middle, _), (large, _) = find_dots(drawing)
    assert (large - middle) / (middle - small) == pytest.approx(2.0, abs=0.01)


def test_of_many_points_those_are_named_that_none_beats() -> None:
    def place(name: str, score: float, cost: float) -> CostPoint:
        return CostPoint(DotRow(name, score, is_marked=name == "original"), cost)

    best = [place("cheap", 0.5, 1), place("even", 0.7, 3), place("good", 0.9, 9)]
    beaten = [place(f"worse {number}", 0.4, 2 + number) for number in range(6)]
    points = [place("original", 0.8, 10), *best, place("same cost", 0.6, 3), *beaten]
    assert [point.score.name for point in choose_named(points)] == [
        "original",
        "cheap",
        "even",
        "good",
    ]
    assert choose_named(points[:8]) == points[:8]
