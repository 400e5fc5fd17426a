"""Plain-text tables, letter by letter."""

from __future__ import annotations

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
