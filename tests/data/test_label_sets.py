from __future__ import annotations

from typing import Any

import pytest

from tfclassify.data.label_sets import settle_label_sets
from tfclassify.data.listing import Listing, Row
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe


def settle(
    sets: str, order: str = "", *, is_other: bool = False, **keys: Any
) -> tuple[list[str], tuple[str, ...]]:
    """Settle sets of one-letter labels, ``_`` for none; return them joined, and the classes."""
    rows = [
        Row(f"{n}.png", "", f"data/labels.csv, line {n + 2}", labels=tuple(letters.strip("_")))
        for n, letters in enumerate(sets.split())
    ]
    listing = Listing(rows, is_multi_label=True, classes=tuple(order))
    rows, classes = settle_label_sets(listing, DataRecipe(source="x", **keys), is_other=is_other)
    assert all(row.label == "|".join(row.labels) for row in rows)
    return [row.label for row in rows], classes


def test_classes_are_sorted_and_labels_in_their_order() -> None:
    assert settle("ca b _ cb") == (["a|c", "b", "", "b|c"], ("a", "b", "c"))


def test_the_sources_order_is_kept_even_without_images() -> None:
    assert settle("ca b", "cxba") == (["c|a", "b"], ("c", "x", "b", "a"))


def test_declared_classes_keep_their_order() -> None:
    assert settle("ca b", "abc", classes=("b", "y", "c", "a")) == (
        ["c|a", "b"],
        ("b", "y", "c", "a"),
    )


def test_a_dropped_label_leaves_the_image() -> None:
    assert settle("ab b a", drop_labels=("b",)) == (["a", "", "a"], ("a",))


def test_merged_labels_count_once_and_stand_where_the_first_stood() -> None:
    merged = {"m": ("d", "b")}
    assert settle("bd a bc", "abcd", merge_classes=merged) == (
        ["m", "a", "m|c"],
        ("a", "m", "c"),
    )
    assert settle("ab b", merge_classes={"a": ("b",)}) == (["a", "a"], ("a",))


def test_top_classes_are_counted_by_images_after_merging() -> None:
    # b and c together are in three images, as is a; d in two.
    assert settle("ab ac abd d", merge_classes={"m": ("b", "c")}, top_classes=2) == (
        ["a|m", "a|m", "a|m", ""],
        ("a", "m"),
    )
    with pytest.raises(SourceError, match=r"data\.top_classes: must be at most 2"):
        settle("a b", top_classes=3)


def test_another_source_need_not_have_every_label() -> None:
    kept = settle(
        "ab bz",
        is_other=True,
        drop_labels=("x",),
        merge_classes={"m": ("b", "c")},
        top_classes=2,
        classes=("a", "m"),
    )
    assert kept == (["a|m", "m"], ("a", "m"))


def test_images_without_any_label() -> None:
    assert settle("_ _") == (["", ""], ())
    assert settle("_ _", classes=("a", "b")) == (["", ""], ("a", "b"))


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"drop_labels": ("q",)}, r"data\.drop_labels: no image has the label 'q', .* 2 labels"),
        ({"merge_classes": {"m": ("q",)}}, r"data\.merge_classes\.m: no image has the label 'q'"),
        (
            {"classes": ("a", "c")},
            r"data/labels\.csv, line 3: class 'b' is not among the 2 declared classes",
        ),
        (
            {"merge_classes": {"x|y": ("b",)}},
            r"data/labels\.csv, line 3: class 'x\|y' holds the sign '\|', .* rename it",
        ),
        ({"classes": ("a", "b", "x|y")}, r"data\.classes: class 'x\|y' holds the sign"),
    ],
)
def test_wishes_that_cannot_be_met(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(SourceError, match=match):
        settle("a ab", **keys)
