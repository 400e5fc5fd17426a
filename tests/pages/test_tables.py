"""Plain-text tables, letter by letter."""

from __future__ import annotations

import numpy as np
import pytest

from tests.pages.contents import make_data, make_integrity
from tfclassify.pages.content import DataSummary, Integrity, IntegrityRow
from tfclassify.pages.tables import (
    Column,
    measure,
    render_table,
    tabulate_classes,
    tabulate_confusions,
    tabulate_data,
    tabulate_integrity,
    tabulate_metrics,
)
from tfclassify.scoring.judgement import Judgement, judge


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    targets, predicted = [0] * 10 + [1] * 10, [0] * 8 + [1] * 12
    return judge(targets, np.eye(2)[predicted], ["ash", "birch"], seed=0)


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


def test_metrics(judgement: Judgement) -> None:
    lines = tabulate_metrics(judgement).split("\n")
    assert lines[0].split() == ["metric", "value", "95", "%", "interval"]
    accuracy = next(line for line in lines if line.startswith("Accuracy"))
    interval = judgement.metrics["accuracy"]
    assert accuracy.split()[1:3] == ["90.0", "%"]
    assert f"{100 * interval.low:.1f}–{100 * interval.high:.1f} %" in accuracy
    assert lines[-1] == "20 images"
    # With two classes, top-2 can only be 1.
    assert not any(line.startswith("Top") for line in lines)


def test_metrics_with_views_and_groups() -> None:
    targets = [0, 1, 0, 1]
    verdict = judge(targets, np.eye(2)[targets], ["a", "b"], seed=0, groups=list("xxyz"))
    lines = tabulate_metrics(verdict, verdict).split("\n")
    assert "with views" in lines[0]
    accuracy = next(line for line in lines if line.startswith("Accuracy"))
    # 0.025 ** (1 / 3): three groups, all right.
    assert accuracy.count("29.2–100.0 %") == 2
    assert lines[-1] == "4 images in 3 groups"


def test_classes(judgement: Judgement) -> None:
    lines = tabulate_classes(judgement).split("\n")
    assert lines[0].split() == ["class", "images", "precision", "recall", "interval", "F1"]
    # 8 of 10 ash found, all 8 right; 10 of 10 birch found among 12.
    assert lines[2].split()[:6] == ["ash", "10", "100.0", "%", "80.0", "%"]
    assert lines[2].split()[-1] == "0.889"
    assert lines[3].split()[:4] == ["birch", "10", "83.3", "%"]
    assert lines[3].split()[-1] == "0.909"


def test_confusions(judgement: Judgement) -> None:
    lines = tabulate_confusions(judgement).split("\n")
    assert lines[2:] == ["ash         birch              2"]
    perfect = judge([0, 1], np.eye(2), ["a", "b"], seed=0, resamples=2)
    assert tabulate_confusions(perfect) == "No image was mistaken."


def test_data() -> None:
    lines = tabulate_data(make_data()).split("\n")
    assert lines[0].split() == ["class", "train", "validation", "images"]
    assert lines[2].split() == ["ash", "10", "5", "15"]
    assert lines[-1].split() == ["all", "33", "15", "48"]
    whole = DataSummary("x", ("a", "b"), {"all": (1000, 2)})
    assert tabulate_data(whole).split("\n")[2:] == [
        "a       1,000",
        "b           2",
        "all     1,002",
    ]


def test_integrity() -> None:
    text = tabulate_integrity(make_integrity())
    assert text.startswith("90 images checked, 1 quarantined\n\n")
    assert "truncated        quarantined       1" in text
    assert "exact duplicate (remark):\n  birch/twice.jpg: as once.jpg" in text
    assert tabulate_integrity(Integrity(1)) == "1 image checked: all readable, nothing to remark."


def test_integrity_names_the_first_few() -> None:
    rows = tuple(IntegrityRow(f"{n}\x1b.jpg", "odd_kind", "remark", "") for n in range(5))
    text = tabulate_integrity(Integrity(9, rows), listed=2)
    assert text.endswith("odd kind (remark):\n  0�.jpg\n  1�.jpg\n  and 3 more")


def test_a_finding_about_a_class_has_no_image() -> None:
    rows = (IntegrityRow("", "few_images", "remark", "class 'ash' has 2 images"),)
    assert tabulate_integrity(Integrity(9, rows)).endswith("\n  class 'ash' has 2 images")
