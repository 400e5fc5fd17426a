"""One label an image: the vote, the tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.labelling.answers import CLASSES, answers_of
from tfclassify.labelling.consensus import (
    Consensus,
    Decision,
    settle_answers,
    vote_on_labels,
    write_tables,
)
from tfclassify.labelling.ratings import Answer

TABLE = {
    "ann": ["pen/blue", "pen", "pen", "ruler"],
    "bob": ["pen/blue", "ruler", "pencil", ""],
    "cleo": ["ruler", "", "ruler", ""],
}


def outcomes(settled: list[Consensus]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.outcome, each.labels, each.sublabel) for each in settled]


def test_more_than_half_decide() -> None:
    settled = settle_answers(answers_of(TABLE))
    assert outcomes(settled) == [
        ("majority", ("pen",), "blue"),  # two of three
        ("rejected", (), ""),  # one of two is no majority
        ("rejected", (), ""),  # one of three
        ("majority", ("ruler",), ""),  # one of one
    ]
    assert [each.votes for each in settled] == [2, 0, 0, 1]


def test_whoever_adjudicates_has_the_last_word() -> None:
    decisions = [
        Decision("0001.jpg", ("pencil",)),
        Decision("0001.jpg", ("pen",), "red"),
        Decision("0003.jpg", is_rejected=True),
    ]
    settled = settle_answers(answers_of(TABLE), decisions)
    assert outcomes(settled)[1] == ("adjudicated", ("pen",), "red")
    assert outcomes(settled)[3] == ("rejected", (), "")


def test_marks_are_joined_by_or() -> None:
    answers = [
        Answer("a", "ann", ("pen",), marks=frozenset({"dark"})),
        Answer("a", "bob", ("ruler",), marks=frozenset({"blurred"})),
    ]
    (settled,) = settle_answers(answers)
    assert settled.marks == ("blurred", "dark")


def test_a_sublabel_without_a_majority_is_left_open() -> None:
    (settled,) = settle_answers(answers_of({"ann": ["pen/blue"], "bob": ["pen/red"]}))
    assert (settled.labels, settled.sublabel) == (("pen",), "")


def test_labels_of_a_set_are_voted_on_one_by_one() -> None:
    sets = [("pen", "ruler"), ("pen",), ("rubber", "pen", "ruler")]
    assert vote_on_labels(sets, CLASSES) == ("pen", "ruler")
    assert vote_on_labels([("pen",), ("pen", "ruler")], CLASSES) is None  # one of two
    assert vote_on_labels([(), ()], CLASSES) == ()
    table = {"ann": ["pen|ruler"], "bob": ["pen"], "cleo": ["pen|ruler|rubber"]}
    (settled,) = settle_answers(answers_of(table), is_multi_label=True, classes=CLASSES)
    assert outcomes([settled]) == [("majority", ("pen", "ruler"), "")]


def test_three_tables_hold_every_image_once(tmp_path: Path) -> None:
    answers = answers_of(TABLE)
    answers += [Answer("=x.jpg", "ann", ("pen",), marks=frozenset({"dark", "hard"}))]
    settled = settle_answers(answers, [Decision("0002.jpg", ("pencil",))])
    paths = write_tables(tmp_path, settled)
    tables = {name: pd.read_csv(path, keep_default_na=False) for name, path in paths.items()}
    assert {name: list(table["file"]) for name, table in tables.items()} == {
        "majority": ["0000.jpg", "0003.jpg", "'=x.jpg"],  # no formula for a spreadsheet
        "adjudicated": ["0002.jpg"],
        "rejected": ["0001.jpg"],
    }
    first = tables["majority"].iloc[0]
    assert first.tolist() == [
        "0000.jpg", "pen", "blue", "", 2, 3, "ann: pen / blue; bob: pen / blue; cleo: ruler",
    ]  # fmt: skip
    assert tables["majority"]["marks"].iloc[2] == "dark|hard"
