"""Numbers as people read them."""

from __future__ import annotations

import pytest

from tfclassify.pages.wording import (
    clean_text,
    count_of,
    format_bytes,
    format_count,
    format_difference,
    format_difference_range,
    format_large,
    format_ms,
    format_p,
    format_range,
    format_score,
    format_seconds,
    format_share,
    format_size,
    shorten,
    title_of,
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


def test_texts() -> None:
    assert clean_text("a\x00b\x9bc\ud800\nd\té") == "a�b�c�\nd\té"
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abc defg", 5) == "abc…"


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


def test_large_numbers_times_and_shares() -> None:
    assert format_large(3_857_973_248) == "3.858 G"
    assert format_large(300_774_272) == "300.8 M"
    assert format_large(1500) == "1.5 k"
    assert format_large(12) == "12"
    assert format_large(2e12) == "2 T"
    assert (format_ms(None), format_ms(0.1234), format_ms(25.04)) == ("–", "0.123", "25.0")
    assert (format_share(1, 4), format_share(1, 0)) == ("25.0 %", "–")
    assert format_size((64, 96)) == "96 × 64 pixels"
