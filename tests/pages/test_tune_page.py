"""The page of a search."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from tfclassify.pages.tune_page import (
    NestedRow,
    TrialRow,
    TuneReport,
    draw_tune_figures,
    render_tune_page,
    show_value,
)
from tfclassify.scoring.intervals import Interval

RATE, KIND = "phases[0].learning_rate", "model.<b>kind</b>"


def make_report(count: int = 12) -> TuneReport:
    rows = [TrialRow(0, "complete", {}, 0.80, 10.0, 2.0, (0.7, 0.8))]
    rows += [
        TrialRow(
            number,
            "complete",
            {RATE: 10.0**-number if number < 6 else 0.01, KIND: ("x", (1, 2))[number % 2]},
            0.70 + 0.02 * number,
            float(number),
            1.5,
            (0.5, 0.70 + 0.02 * number),
        )
        for number in range(1, count - 1)
    ]
    rows.append(TrialRow(count - 1, "failed", {RATE: 9.0}, reason="the loss is <nan>"))
    return TuneReport(
        name="flowers",
        task="multi_class",
        metric="accuracy",
        is_higher_better=True,
        cost_name="macs",
        trials=tuple(rows),
        best=count - 2,
        keys={RATE: "from 1e-05 to 0.1, logarithmic", KIND: "one of x, [1, 2]"},
        logarithmic=frozenset({RATE}),
        naive=Interval(0.90, 0.85, 0.95, 200),
        honest=Interval(0.87, 0.81, 0.92, 200),
        start=Interval(0.80, 0.74, 0.86, 200),
        gain=Interval(0.07, -0.01, 0.12, 200),
        chosen={count - 2: 0.7, 3: 0.3},
        importance={RATE: 0.9, KIND: 0.1},
        front=(1, 5, count - 2),
        seconds=75.0,
    )


def test_the_honest_score_stands_first() -> None:
    text = re.sub(r"<[^>]+>", " ", render_tune_page(make_report()))
    text = re.sub(r"\s+", " ", text)
    assert text.index("87.0 %") < text.index("90.0 %")
    assert "on the 200 images that chose it: optimistic" in text
    assert "it may be luck" in text
    assert "trial 10 in 70%, trial 3 in 30% of the samples" in text
    assert "trial 11 failed: the loss is" in text


def test_a_sure_gain_is_not_called_luck() -> None:
    report = replace(make_report(), gain=Interval(0.07, 0.02, 0.12, 200))
    assert "it may be luck" not in render_tune_page(report)


def test_what_users_wrote_is_escaped() -> None:
    page = render_tune_page(make_report())
    assert "<b>kind</b>" not in page
    assert "<nan>" not in page
    assert "<script" not in page


def test_every_figure_is_drawn() -> None:
    names = {"history", "front", "importance", "slices", "parallel", "curves"}
    assert set(draw_tune_figures(make_report())) == names
    page = render_tune_page(make_report())
    assert page.count("<svg ") == len(names)


def test_the_best_trials_come_first_in_the_table() -> None:
    rows = make_report().table.rows
    assert [row[0] for row in rows[:3]] == ["10", "9", "8"]
    assert rows[-1][1] == "failed"


@pytest.mark.parametrize("count", [1, 2])
def test_a_search_of_one_trial_has_little_to_say(count: int) -> None:
    report = replace(
        make_report(),
        trials=make_report().trials[:1] * count,
        best=0,
        naive=None,
        honest=None,
        start=None,
        gain=None,
        importance={},
        cost_name="",
    )
    page = render_tune_page(report)
    assert "Only one trial is complete" in page
    assert "No trial is better than the recipe as it was" in page


def test_a_key_that_few_trials_have_is_drawn_where_it_is() -> None:
    report = make_report()
    one = replace(report.trials[1], values={RATE: 0.01})
    report = replace(report, trials=(report.trials[0], one, *report.trials[2:]))
    assert "slices" in draw_tune_figures(report)


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "null"), (math.pi, "3.14"), ([1, (2,)], "[1, [2]]"), ("sgd", "sgd")],
)
def test_values_are_written_briefly(value: object, text: str) -> None:
    assert show_value(value) == text


def test_nested_folds_stand_before_all_else() -> None:
    nested = NestedRow(
        5,
        Interval(0.86, 0.83, 0.89, 2712),
        Interval(0.82, 0.79, 0.85, 2712),
        Interval(0.04, 0.02, 0.06, 2712),
    )
    text = re.sub(r"<[^>]+>", " ", render_tune_page(replace(make_report(), nested=nested)))
    first = text.index("86.0 % (83.0–89.0 %) on 2,712 images, each judged by one of 5 searches")
    assert first < text.index("+4.0 points (+2.0 to +6.0 points), paired; the recipe has 82.0 %")
    assert first < text.index("87.0 %")
    assert "The first line is what counts. In the third, the choice was repeated" in text


def test_a_start_that_a_bound_refused_is_not_compared() -> None:
    text = render_tune_page(replace(make_report(), start=None, gain=None))
    assert "The recipe as it was" not in text
    assert "Above the recipe" not in text


@pytest.mark.parametrize(
    ("cost", "value", "words"),
    [("size", 13_500_000.0, "13.5"), ("latency", 6.79, "6.79"), ("macs", 70.5e6, "70.5")],
)
def test_a_cost_is_in_its_own_unit(cost: str, value: float, words: str) -> None:
    report = replace(make_report(), cost_name=cost)
    assert words in report.format_cost(value)
    assert "e7" not in report.format_cost(value)
