from __future__ import annotations

import re

import pytest

from tests.pages.contents import make_crossval, make_fold
from tfclassify.pages.crossval_page import (
    FoldSpread,
    draw_crossval_figures,
    find_spreads,
    render_crossval_page,
)


def test_spreads_by_hand() -> None:
    spreads = find_spreads([make_fold(1, 0.5), make_fold(2, 0.7), make_fold(3, 0.9)])
    assert spreads["accuracy"].mean == pytest.approx(0.7)
    # Squares of 0.2, 0 and 0.2, divided by 2: 0.04.
    assert spreads["accuracy"].deviation == pytest.approx(0.2)
    assert spreads["loss"].deviation == 0.0


def test_values_that_are_not_there_are_left_out() -> None:
    assert find_spreads([make_fold(1, None)])["accuracy"] == FoldSpread(None, None, ())
    assert find_spreads([make_fold(1, None), make_fold(2, 0.5)])["accuracy"] == FoldSpread(
        0.5, None, (0.5,)
    )
    assert find_spreads([]) == {}


def test_the_page_holds_folds_spreads_and_what_to_heed() -> None:
    page = render_crossval_page(make_crossval())
    assert "plants: cross-validation in 3 folds" in page
    assert "&lt;b&gt;leaves&lt;/b&gt;" in page
    assert "trained on 67 % of the images" in page
    assert "trained for 3 min 15 s" in page
    links = set(re.findall(r'href="([^"#]*)"', page)) - {""}
    assert links == {f"fold-{fold}/report.html" for fold in (1, 2, 3)}
    assert "70.0 %" in page
    assert "10.0 %" in page  # the deviation of 70, 80 and 90 %


def test_repeats_are_told() -> None:
    rows = tuple(make_fold(fold, 0.7, repeat) for repeat in (1, 2) for fold in (1, 2, 3))
    page = render_crossval_page(make_crossval(repeats=2, rows=rows))
    assert "2 times with other folds" in page
    assert ">2.3</a>" in page


def test_figures_are_those_of_a_judgement_and_the_folds() -> None:
    figures = draw_crossval_figures(make_crossval())
    assert {"folds", "class_histogram", "confusion_matrix", "class_recall"} <= set(figures)
    only_loss = make_crossval(shown=("loss",))
    assert "folds" not in draw_crossval_figures(only_loss)
