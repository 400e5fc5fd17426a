from __future__ import annotations

import dataclasses
import json
import re

import pytest

from tfclassify.pages.compare_content import CompareReport, ContenderRow, PairRow
from tfclassify.pages.compare_page import render_compare_page
from tfclassify.pages.compare_tables import (
    format_difference,
    format_difference_range,
    format_p,
    list_metric_rows,
    list_score_rows,
    render_comparison,
)
from tfclassify.pages.content import Command
from tfclassify.scoring.intervals import Interval


def make_row(name: str, accuracy: float, **facts: object) -> ContenderRow:
    metrics = {
        "accuracy": Interval(accuracy, accuracy - 0.1, accuracy + 0.05, 90),
        "loss": Interval(0.4, None, None, 90, method="none"),
    }
    return ContenderRow(name, f"reports/{name}", "test", metrics, 90, None, **facts)


def make_report(**changes: object) -> CompareReport:
    pair = PairRow("b", "a", 90, Interval(0.125, 0.02, 0.2, 90), 4, 15, 0.0192, 0.0192)
    report = CompareReport(
        task="multi_class",
        metric="accuracy",
        shown=("accuracy", "loss"),
        is_higher_better=True,
        right="the label of an image",
        reference="a",
        contenders=(
            make_row("a", 0.7, views=1, training_seconds=80.0, params=5_000, macs=2_000_000),
            make_row("b", 0.825, views=5, training_seconds=None),
        ),
        pairs=(pair,),
        remarks=("Take <care>.",),
        created="today",
        version="1",
        commands=(Command("Repeat", "tfclassify compare a b"),),
    )
    return dataclasses.replace(report, **changes)


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.125, "+12.5 points"),
        ("accuracy", -0.125, "-12.5 points"),
        ("accuracy", -0.0004, "0.0 points"),
        ("loss", 0.0321, "+0.032"),
        ("loss", None, "–"),
    ],
)
def test_differences_have_signs(metric: str, value: float | None, text: str) -> None:
    assert format_difference(metric, value) == text


def test_ends_of_a_difference_have_signs() -> None:
    found = format_difference_range("accuracy", Interval(0.0, -0.02, 0.031, 9))
    assert found == "-2.0 to +3.1 points"
    assert format_difference_range("loss", Interval(0.0, None, None, 9)) == "–"


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0009, "< 0.001"), (0.0192, "0.019"), (1.0, "1.000")]
)
def test_p_values(value: float | None, text: str) -> None:
    assert format_p(value) == text


def test_cells_by_hand() -> None:
    reference, other = list_score_rows(make_report())
    assert reference == ["a", "70.0 %", "60.0–75.0 %", "90", "reference", *["–"] * 5]
    assert other == [
        *("b", "82.5 %", "72.5–87.5 %", "90", "+12.5 points", "+2.0 to +20.0 points"),
        *("15", "4", "0.019", "0.019"),
    ]
    assert list_metric_rows(make_report())[1] == ["Cross-entropy", "0.400", "0.400"]


def test_a_terminal_shows_scores_costs_and_remarks() -> None:
    text = render_comparison(make_report())
    assert text.startswith("Accuracy, against a\n")
    assert "2.000 M" in text
    assert "1 min 20 s" in text
    assert text.endswith("note: Take <care>.")
    assert "ms a view" not in text
    unpaired = make_report(pairs=(PairRow("b", "a", 0, reason="it has other classes"),))
    assert "not paired" in render_comparison(unpaired)


def test_all_views_of_an_image_are_counted() -> None:
    row = make_row("a", 0.7, views=5, macs=3)
    assert row.image_macs == 15
    assert make_row("a", 0.7, views=5).image_macs is None


def test_the_page_escapes_and_loads_nothing() -> None:
    page = render_compare_page(make_report())
    assert "2 models compared" in page
    assert "Take &lt;care&gt;." in page
    assert "lies above 0" in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(address.startswith("#") for address in addresses)
    lower = make_report(is_higher_better=False, metric="loss")
    assert "lies below 0" in render_compare_page(lower)


def test_the_page_says_why_models_were_not_paired() -> None:
    report = make_report(pairs=(PairRow("b", "a", 0, reason="it has other classes"),))
    assert "b: not paired, it has other classes." in render_compare_page(report)


def test_facts_survive_json() -> None:
    content = json.loads(json.dumps(make_report().to_dict(), allow_nan=False))
    assert content["contenders"][0]["image_macs"] == 2_000_000
    assert content["contenders"][1]["metrics"]["accuracy"]["value"] == 0.825
    assert content["pairs"][0]["difference"]["low"] == 0.02
