"""Plain-text tables, letter by letter."""

from __future__ import annotations

from collections import Counter

import pytest

from tfclassify.pages.tables import Cell, Column, Table, measure, render_table, show_interval
from tfclassify.scoring.intervals import Interval


def test_words_left_numbers_right_no_trailing_space() -> None:
    columns = [Column("name"), Column("time, s", "right"), Column("note")]
    table = render_table(columns, [["a", 1.5, None], ["bcdef", 10, "x"]])
    assert table.split("\n") == [
        "name   time, s  note",
        "-----  -------  ----",
        "a          1.5",
        "bcdef       10  x",
    ]


def test_wide_and_combining_characters_take_their_place() -> None:
    assert measure("日本") == 4
    assert measure("e\u0301") == 1
    table = render_table([Column("name"), Column("n", "right")], [["日本", 1], ["abcd", 22]])
    assert table.split("\n")[2:] == ["日本   1", "abcd  22"]


def test_cells_are_cut_cleaned_and_kept_on_one_line() -> None:
    table = render_table([Column("name", longest=6)], [["abcdefgh"], ["a\nb"], ["\x1b[2J"]])
    assert table.split("\n")[2:] == ["abcde…", "a b", "�[2J"]


def test_a_table_without_rows_is_its_heading() -> None:
    assert render_table([Column("name")], []) == "name\n----"


def test_a_table_is_the_same_on_a_terminal() -> None:
    rows = [["a", Cell("1", "0–2"), "x"], [Cell("b", link="b.html"), "10", Cell("bad", mark="bad")]]
    table = Table("Things", ["Name", "Value", "Note"], rows, 2)
    assert table.to_text().split("\n") == [
        "Name    Value  Note",
        "----  -------  ----",
        "a     1 (0–2)     x",
        "b          10   bad",
    ]
    assert table.first(1).to_text().split("\n")[2:] == ["a     1 (0–2)     x"]


def test_a_value_has_its_interval_behind_it() -> None:
    assert show_interval("accuracy", Interval(0.5, 0.4, 0.6, 9)) == Cell("50.0 %", "40.0–60.0 %")
    assert show_interval("loss", Interval(0.5, None, None, 9)) == Cell("0.500")


def test_a_table_that_is_too_wide_for_the_terminal_is_folded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = [Column("run"), *(Column(f"a long title {n}", "right") for n in range(6))]
    rows = [[f"reports/a_long_name_of_a_run/{n:03}", *["-1.3 to +14.2 points"] * 6] for n in (1, 2)]
    wide = render_table(columns, rows)
    assert max(map(len, wide.splitlines())) > 150
    monkeypatch.setenv("COLUMNS", "80")
    folded = render_table(columns, rows)
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.count("+14.2") == 12
    assert "reports/a_long_name_of_a_run/001" in folded
    assert render_table(columns[:2], [row[:2] for row in rows]).count("\n") == 3


@pytest.mark.parametrize("width", range(24, 130, 5))
def test_nothing_is_folded_within_a_word(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    titles = ["Class", "Often confused with", "Judged on", "Precision", "Recall", "MACs"]
    columns = [Column(title, "left" if at < 2 else "right") for at, title in enumerate(titles)]
    rows = [
        ["stage/one", "red and green", "15", "80.0 % (66.7–100.0 %)", "0.800", "28.16 k"],
        ["two", "–", "9", "100.0 % (15.8–100.0 %)", "0.667 (0.4–0.8)", "896 B"],
    ]
    monkeypatch.setenv("COLUMNS", str(width))
    lines = render_table(columns, rows).splitlines()
    assert max(map(len, lines)) <= width
    said = Counter(word for line in lines for word in line.split() if set(word) != {"-"})
    assert said == Counter(word for row in [titles, *rows] for cell in row for word in cell.split())
    # A unit stays with its number.
    assert not any(line.strip().startswith(("%", "k ", "B")) for line in lines)


def test_long_names_stand_above_what_leaves_them_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = [Column("Layer"), Column("Kind"), Column("MACs", "right")]
    rows = [["network/stage_1/block_1/conv", "Conv2D", "1.5 M"], ["network/head", "Dense", "20 k"]]
    monkeypatch.setenv("COLUMNS", "30")
    assert render_table(columns, rows).splitlines() == [
        "Layer",
        "  Kind     MACs",
        "  ------  -----",
        "network/stage_1/block_1/conv",
        "  Conv2D  1.5 M",
        "network/head",
        "  Dense    20 k",
    ]
    monkeypatch.setenv("COLUMNS", "14")  # one space between the columns is left
    assert render_table(columns, rows).splitlines()[1:5] == [
        " Kind    MACs",
        " ------ -----",
        "network/stage…",
        " Conv2D 1.5 M",
    ]
