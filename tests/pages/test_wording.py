"""Numbers as people read them."""

from __future__ import annotations

import pytest

from tfclassify.pages.wording import (
    clean_text,
    count_of,
    format_bytes,
    format_count,
    format_range,
    format_score,
    format_seconds,
    shorten,
    title_of,
    title_of_finding,
)
from tfclassify.scoring.intervals import Interval


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.9239, "92.4 %"),
        ("top_3", 1.0, "100.0 %"),
        ("balanced_accuracy", 0.5, "50.0 %"),
        ("precision_macro", 0.5, "50.0 %"),
        ("recall", 0.25, "25.0 %"),
        ("ece", 0.0312, "3.1 %"),
        ("f1_macro", 0.8765, "0.876"),
        ("f1", 0.5, "0.500"),
        ("roc_auc", 0.98765, "0.988"),
        ("loss", 1.5, "1.500"),
        ("accuracy", None, "–"),
        ("loss", float("nan"), "–"),
    ],
)
def test_scores(name: str, value: float | None, text: str) -> None:
    assert format_score(name, value) == text


def test_ranges() -> None:
    interval = Interval(0.5, 0.4125, 0.599, 100)
    assert format_range("accuracy", interval) == "41.2–59.9 %"
    assert format_range("f1_macro", interval) == "0.412–0.599"
    assert format_range("accuracy", Interval(0.5, None, None, 1, method="none")) == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (10.4, "10 s"),
        (59.6, "1 min 0 s"),
        (725, "12 min 5 s"),
        (3599.6, "1 h 0 min"),
        (12_000, "3 h 20 min"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (18_800_000, "18.8 MB"), (2.5e12, "2.5 TB"), (1500, "1.5 kB")],
)
def test_sizes(size: float, text: str) -> None:
    assert format_bytes(size) == text


def test_counts() -> None:
    assert format_count(1_234_567) == "1,234,567"
    assert count_of(1, "image") == "1 image"
    assert count_of(2713, "image") == "2,713 images"
    assert count_of(0, "class", "classes") == "0 classes"


def test_titles() -> None:
    assert title_of("f1_weighted") == "F1, weighted"
    assert title_of("something") == "something"
    assert title_of_finding("empty") == "empty file"
    assert title_of_finding("new_kind") == "new kind"


def test_texts() -> None:
    assert clean_text("a\x00b\x9bc\ud800\nd\té") == "a�b�c�\nd\té"
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abc defg", 5) == "abc…"
