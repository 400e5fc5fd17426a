from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.strategies import labels, wishes
from tfclassify.data.label_sets import settle_label_sets
from tfclassify.data.labels import find_top_classes, settle_labels
from tfclassify.data.listing import Listing, Row
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe


def settle(labels: str, *, is_other: bool = False, **keys: Any) -> tuple[str, tuple[str, ...]]:
    """Settle one-letter labels; return those kept, in order, and the classes."""
    rows = [
        Row(f"{number}.png", "", f"data/labels.csv, line {number + 2}", label)
        for number, label in enumerate(labels.replace("_", " ").split())
    ]
    rows, classes = settle_labels(rows, DataRecipe(source="x", **keys), is_other=is_other)
    return " ".join(row.label for row in rows), classes


def test_classes_are_sorted() -> None:
    assert settle("b a B b") == ("b a B b", ("B", "a", "b"))


def test_declared_classes_keep_their_order_even_without_images() -> None:
    assert settle("b a", classes=("b", "c", "a")) == ("b a", ("b", "c", "a"))


def test_dropped_then_merged_then_topped() -> None:
    merge = {"m": ("a", "b")}
    assert settle("a b c c d x", drop_labels=("x",), merge_classes=merge) == (
        "m m c c d",
        ("c", "d", "m"),
    )
    # Only merged are a and b among the two most frequent.
    assert settle("a a b c c c d d d", merge_classes=merge, top_classes=2)[1] == ("c", "d")
    assert settle("a a b b c c c d d d", merge_classes=merge, top_classes=2)[1] == ("c", "m")


def test_a_class_may_take_others_in() -> None:
    assert settle("a b", merge_classes={"a": ("b",)}) == ("a a", ("a",))


def test_equal_counts_go_by_the_alphabet() -> None:
    assert settle("d c b a", top_classes=2) == ("b a", ("a", "b"))


def test_unlabelled_rows_come_back() -> None:
    rows = [Row("a", "", ""), Row("b", "", "")]
    assert settle_labels(rows, DataRecipe(source="x")) == (rows, ())
    assert settle_labels(rows, DataRecipe(source="x", classes=("a", "b")))[1] == ("a", "b")


def test_an_undeclared_label_is_told_with_its_line() -> None:
    classes = ("daisy", "rose", "tulip", "lily", "iris")
    with pytest.raises(SourceError) as caught:
        settle("rose tulip tulp", classes=classes)
    assert str(caught.value) == (
        "data/labels.csv, line 4: class 'tulp' is not among the 5 declared classes; "
        "nearest is 'tulip'."
    )


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        (
            {"drop_labels": ("rse",)},
            r"data\.drop_labels: no image has the label 'rse', .* 2 labels; nearest is 'rose'",
        ),
        ({"merge_classes": {"m": ("x",)}}, r"data\.merge_classes\.m: no image has the label 'x'"),
        ({"top_classes": 3}, r"data\.top_classes: must be at most 2, .* got 3"),
    ],
)
def test_wishes_that_cannot_be_met(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(SourceError, match=match):
        settle("rose lily", **keys)


def test_another_source_need_not_have_every_label() -> None:
    kept = settle(
        "a b z",
        is_other=True,
        drop_labels=("x",),
        merge_classes={"m": ("b", "c")},
        top_classes=2,
        classes=("a", "m"),
    )
    assert kept == ("a m", ("a", "m"))


@given(st.lists(st.sampled_from("abcdef"), min_size=1), st.integers(1, 6))
def test_top_classes_are_the_most_frequent(labels: list[str], count: int) -> None:
    counted = Counter(labels)
    if count > len(counted):
        with pytest.raises(SourceError, match="must be at most"):
            find_top_classes(labels, count)
        return
    kept = find_top_classes(labels, count)
    assert len(kept) == count
    for label in kept:
        for other in set(labels) - kept:
            assert (counted[label], other) > (counted[other], label)


@settings(max_examples=200, deadline=None)
@given(st.lists(labels, max_size=12), wishes)
def test_any_wishes_are_met_or_refused(found: list[str], wanted: dict[str, Any]) -> None:
    data = DataRecipe(source="x", **wanted)
    rows = [Row(f"{n}.png", "", f"line {n}", label) for n, label in enumerate(found)]
    try:
        kept, classes = settle_labels(rows, data)
    except SourceError:
        return
    positions = [int(row.image.removesuffix(".png")) for row in kept]
    assert positions == sorted(set(positions))
    assert len(set(classes)) == len(classes)
    for row, position in zip(kept, positions, strict=True):
        homes = [new for new, olds in data.merge_classes.items() if found[position] in olds]
        assert found[position] not in data.drop_labels
        assert row.label in (homes or [found[position]])
        assert row.label in classes
    if data.classes is not None:
        assert classes == data.classes
    elif data.top_classes is not None and any(found):
        assert len(classes) == data.top_classes


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(labels, max_size=4, unique=True), min_size=1, max_size=9), wishes)
def test_any_wishes_about_sets_are_met_or_refused(
    found: list[list[str]], wanted: dict[str, Any]
) -> None:
    data = DataRecipe(source="x", **wanted)
    rows = [Row(f"{n}.png", "", f"line {n}", labels=tuple(each)) for n, each in enumerate(found)]
    try:
        kept, classes = settle_label_sets(Listing(rows, is_multi_label=True), data)
    except SourceError:
        return
    assert [row.image for row in kept] == [row.image for row in rows], "none is left out"
    for row, before in zip(kept, found, strict=True):
        assert row.label == "|".join(row.labels)
        assert list(row.labels) == [name for name in classes if name in row.labels]
        new = {name: target for target, olds in data.merge_classes.items() for name in olds}
        allowed = {new.get(name, name) for name in before if name not in data.drop_labels}
        assert set(row.labels) <= allowed
        if data.top_classes is None:
            assert set(row.labels) == allowed
