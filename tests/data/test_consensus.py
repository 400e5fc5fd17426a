"""One label an image: the vote, the tables."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.labelling.answers import CLASSES, answers_of
from tfclassify.data.consensus import (
    Consensus,
    settle_answers,
    vote_on_labels,
    write_tables,
)
from tfclassify.data.journals import ADJUDICATOR, Answer

TABLE = {
    "ann": ["pen/blue", "pen", "pen", "ruler"],
    "bob": ["pen/blue", "ruler", "pencil", ""],
    "cleo": ["ruler", "", "ruler", ""],
}


def outcomes(settled: dict[str, Consensus]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(each.outcome, each.labels, each.sublabel) for each in settled.values()]


def test_more_than_half_decide() -> None:
    settled = settle_answers(answers_of(TABLE))
    assert outcomes(settled) == [
        ("majority", ("pen",), "blue"),  # two of three
        ("rejected", (), ""),  # one of two is no majority
        ("rejected", (), ""),  # one of three
        ("majority", ("ruler",), ""),  # one of one
    ]
    assert [each.votes for each in settled.values()] == [2, 0, 0, 1]


def test_whoever_adjudicates_has_the_last_word() -> None:
    decisions = [
        Answer("0001.jpg", ADJUDICATOR, ("pencil",)),
        Answer("0001.jpg", ADJUDICATOR, ("pen",), "red"),
        Answer("0003.jpg", ADJUDICATOR, is_skipped=True),
    ]
    settled = settle_answers(answers_of(TABLE) + decisions)
    assert outcomes(settled)[1] == ("adjudicated", ("pen",), "red")
    assert outcomes(settled)[3] == ("rejected", (), "")
    assert settled["0001.jpg"].votes == 1  # ann says so too
    assert ADJUDICATOR not in settled["0001.jpg"].answers


def test_skipping_is_no_vote() -> None:
    answers = [*answers_of({"ann": ["pen"]}), Answer("0000.jpg", "bob", is_skipped=True)]
    (settled,) = settle_answers(answers).values()
    assert (settled.outcome, settled.labels, settled.is_disputed) == ("majority", ("pen",), False)
    (settled,) = settle_answers(answers[1:]).values()
    assert (settled.outcome, settled.is_disputed) == ("rejected", False)
    settled = settle_answers(answers_of(TABLE))["0001.jpg"]
    assert (settled.outcome, settled.is_disputed) == ("rejected", True)


def test_marks_are_joined_by_or_unless_somebody_decided() -> None:
    answers = [
        Answer("a", "ann", ("pen",), marks=frozenset({"dark"})),
        Answer("a", "bob", ("ruler",), marks=frozenset({"blurred"})),
    ]
    assert settle_answers(answers)["a"].marks == ("blurred", "dark")
    decision = Answer("a", ADJUDICATOR, ("pen",), marks=frozenset({"hard"}))
    assert settle_answers([*answers, decision])["a"].marks == ("hard",)


def test_a_sublabel_without_a_majority_is_left_open() -> None:
    (settled,) = settle_answers(answers_of({"ann": ["pen/blue"], "bob": ["pen/red"]})).values()
    assert (settled.labels, settled.sublabel) == (("pen",), "")


def test_labels_of_a_set_are_voted_on_one_by_one() -> None:
    sets = [("pen", "ruler"), ("pen",), ("rubber", "pen", "ruler")]
    assert vote_on_labels(sets, CLASSES) == ("pen", "ruler")
    assert vote_on_labels([("pen",), ("pen", "ruler")], CLASSES) is None  # one of two
    assert vote_on_labels([(), ()], CLASSES) == ()
    assert vote_on_labels([], CLASSES) is None
    table = {"ann": ["pen|ruler"], "bob": ["pen"], "cleo": ["pen|ruler|rubber"]}
    settled = settle_answers(answers_of(table), is_multi_label=True, classes=CLASSES)
    assert outcomes(settled) == [("majority", ("pen", "ruler"), "")]


def test_three_tables_hold_every_image_once(tmp_path: Path) -> None:
    answers = answers_of(TABLE)
    answers += [Answer("=x.jpg", "ann", ("pen",), marks=frozenset({"dark", "hard"}))]
    answers += [Answer("0002.jpg", ADJUDICATOR, ("pencil",))]
    paths = write_tables(tmp_path, settle_answers(answers).values())
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
