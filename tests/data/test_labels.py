from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.builders import (
    Listener,
    make_recipe,
    write_images,
)
from tests.data.strategies import labels, wishes
from tfclassify.data.folders import Listing, Row
from tfclassify.data.labels import find_top_classes, select_label_sets, select_labels
from tfclassify.data.preparation import (
    PreparedData,
    prepare_data,
    prepare_labelled,
)
from tfclassify.errors import DataError, SourceError
from tfclassify.recipe.schema import DataRecipe


def select(labels: str, *, is_other: bool = False, **keys: Any) -> tuple[str, tuple[str, ...]]:
    """Settle one-letter labels; return those kept, in order, and the classes."""
    rows = [
        Row(f"{number}.png", "", f"data/labels.csv, line {number + 2}", label)
        for number, label in enumerate(labels.replace("_", " ").split())
    ]
    rows, classes = select_labels(rows, DataRecipe(source="x", **keys), is_other=is_other)
    return " ".join(row.label for row in rows), classes


def test_classes_are_sorted() -> None:
    assert select("b a B b") == ("b a B b", ("B", "a", "b"))


def test_declared_classes_keep_their_order_even_without_images() -> None:
    assert select("b a", classes=("b", "c", "a")) == ("b a", ("b", "c", "a"))


def test_dropped_then_merged_then_topped() -> None:
    merge = {"m": ("a", "b")}
    assert select("a b c c d x", drop_labels=("x",), merge_classes=merge) == (
        "m m c c d",
        ("c", "d", "m"),
    )
    # Only merged are a and b among the two most frequent.
    assert select("a a b c c c d d d", merge_classes=merge, top_classes=2)[1] == ("c", "d")
    assert select("a a b b c c c d d d", merge_classes=merge, top_classes=2)[1] == ("c", "m")


def test_a_class_may_take_others_in() -> None:
    assert select("a b", merge_classes={"a": ("b",)}) == ("a a", ("a",))


def test_equal_counts_go_by_the_alphabet() -> None:
    assert select("d c b a", top_classes=2) == ("b a", ("a", "b"))


def test_unlabelled_rows_come_back() -> None:
    rows = [Row("a", "", ""), Row("b", "", "")]
    assert select_labels(rows, DataRecipe(source="x")) == (rows, ())
    assert select_labels(rows, DataRecipe(source="x", classes=("a", "b")))[1] == ("a", "b")


def test_an_undeclared_label_is_told_with_its_line() -> None:
    classes = ("daisy", "rose", "tulip", "lily", "iris")
    with pytest.raises(SourceError) as caught:
        select("rose tulip tulp", classes=classes)
    assert str(caught.value) == (
        "data/labels.csv, line 4: class 'tulp' is not among the 5 declared classes; "
        "did you mean 'tulip'?"
    )


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        (
            {"drop_labels": ("rse",)},
            r"data\.drop_labels: no image has the label 'rse', .* 2 labels; did you mean 'rose'",
        ),
        ({"merge_classes": {"m": ("x",)}}, r"data\.merge_classes\.m: no image has the label 'x'"),
        ({"top_classes": 3}, r"data\.top_classes: must be at most 2, .* got 3"),
    ],
)
def test_wishes_that_cannot_be_met(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(SourceError, match=match):
        select("rose lily", **keys)


def test_another_source_need_not_have_every_label() -> None:
    kept = select(
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
        kept, classes = select_labels(rows, data)
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
        kept, classes = select_label_sets(Listing(rows, is_multi_label=True), data)
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


def select_sets(
    sets: str, order: str = "", *, is_other: bool = False, **keys: Any
) -> tuple[list[str], tuple[str, ...]]:
    """Settle sets of one-letter labels, ``_`` for none; return them joined, and the classes."""
    rows = [
        Row(f"{n}.png", "", f"data/labels.csv, line {n + 2}", labels=tuple(letters.strip("_")))
        for n, letters in enumerate(sets.split())
    ]
    listing = Listing(rows, is_multi_label=True, classes=tuple(order))
    rows, classes = select_label_sets(listing, DataRecipe(source="x", **keys), is_other=is_other)
    assert all(row.label == "|".join(row.labels) for row in rows)
    return [row.label for row in rows], classes


def test_classes_are_sorted_and_labels_in_their_order() -> None:
    assert select_sets("ca b _ cb") == (["a|c", "b", "", "b|c"], ("a", "b", "c"))


def test_the_sources_order_is_kept_even_without_images() -> None:
    assert select_sets("ca b", "cxba") == (["c|a", "b"], ("c", "x", "b", "a"))


def test_declared_classes_keep_their_order() -> None:
    assert select_sets("ca b", "abc", classes=("b", "y", "c", "a")) == (
        ["c|a", "b"],
        ("b", "y", "c", "a"),
    )


def test_a_dropped_label_leaves_the_image() -> None:
    assert select_sets("ab b a", drop_labels=("b",)) == (["a", "", "a"], ("a",))


def test_merged_labels_count_once_and_stand_where_the_first_stood() -> None:
    merged = {"m": ("d", "b")}
    assert select_sets("bd a bc", "abcd", merge_classes=merged) == (
        ["m", "a", "m|c"],
        ("a", "m", "c"),
    )
    assert select_sets("ab b", merge_classes={"a": ("b",)}) == (["a", "a"], ("a",))


def test_top_classes_are_counted_by_images_after_merging() -> None:
    # b and c together are in three images, as is a; d in two.
    assert select_sets("ab ac abd d", merge_classes={"m": ("b", "c")}, top_classes=2) == (
        ["a|m", "a|m", "a|m", ""],
        ("a", "m"),
    )
    with pytest.raises(SourceError, match=r"data\.top_classes: must be at most 2"):
        select_sets("a b", top_classes=3)


def test_another_source_need_not_have_every_label_of_the_sets() -> None:
    kept = select_sets(
        "ab bz",
        is_other=True,
        drop_labels=("x",),
        merge_classes={"m": ("b", "c")},
        top_classes=2,
        classes=("a", "m"),
    )
    assert kept == (["a|m", "m"], ("a", "m"))


def test_images_without_any_label() -> None:
    assert select_sets("_ _") == (["", ""], ())
    assert select_sets("_ _", classes=("a", "b")) == (["", ""], ("a", "b"))


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
def test_wishes_that_cannot_be_met_by_sets(keys: dict[str, Any], match: str) -> None:
    with pytest.raises(SourceError, match=match):
        select_sets("a ab", **keys)


TAGS = {"table": "labels.csv", "label_separator": "+"}


def write_tags(root: Path, sets: list[str]) -> Path:
    """Write a photo for each set of one-letter labels, and their table."""
    write_images(root, {"images": len(sets)})
    lines = [f"images/{number}.png,{'+'.join(letters)}" for number, letters in enumerate(sets)]
    (root / "labels.csv").write_text("\n".join(["file,label", *lines]) + "\n")
    return root


def prepare_tags(source: Path, **keys: Any) -> PreparedData:
    data = DataRecipe(source=str(source), **TAGS, **keys)
    return prepare_data(make_recipe(data, task="multi_label"), observer=Listener())


def test_sets_of_labels_from_a_table_to_a_split(tmp_path: Path) -> None:
    write_tags(tmp_path, ["ab"] * 10 + ["bc"] * 10 + ["a"] * 5 + [""] * 5 + ["cd"])
    prepared = prepare_tags(tmp_path, validation=0.2)
    index = prepared.index
    assert index.is_multi_label
    assert index.classes == ("a", "b", "c", "d")
    held = index.in_split("validation")
    assert held.targets().sum(axis=0).tolist() == [3, 4, 2, 0]
    assert held.label_sets().count(()) == 1
    assert {(row.kind, row.detail) for row in prepared.integrity.rows} == {
        ("few_images", "class 'd' has 1 usable images"),
        ("not_held_out", "class 'd' has no validation images"),
    }


def test_copies_under_other_sets_of_labels_are_quarantined(tmp_path: Path) -> None:
    write_tags(tmp_path, ["ab", "ba", "a", "", "b", "b"])
    images = tmp_path / "images"
    for copy, original in ((1, 0), (3, 2)):
        (images / f"{copy}.png").write_bytes((images / f"{original}.png").read_bytes())
    prepared = prepare_tags(tmp_path, validation=0.0)
    assert prepared.index.frame["status"].tolist() == ["ok"] * 2 + ["quarantined"] * 2 + ["ok"] * 2
    conflict = prepared.integrity.of_kind("label_conflict")[0]
    assert conflict.detail == "same bytes: images/2.png (a), images/3.png (no label)"


def test_other_images_with_sets_of_labels(tmp_path: Path) -> None:
    source = write_tags(tmp_path / "new", ["cx", "a", ""])
    recipe = make_recipe(
        DataRecipe(source="old", drop_labels=("x",), merge_classes={"m": ("a",)}, **TAGS),
        task="multi_label",
    )
    index = prepare_labelled(recipe, str(source), ("m", "b", "c")).index
    assert index.classes == ("m", "b", "c")
    assert index.targets().tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    folders = write_images(tmp_path / "folders", {"a": 1, "b": 1})
    match = r"no labels to judge by; list them in a table as the recipe reads it, or use"
    with pytest.raises(DataError, match=match):
        prepare_labelled(recipe, str(folders), ("m", "b"))


def test_a_source_that_does_not_go_with_the_task(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "f", {"a": 2, "b": 2})
    recipe = make_recipe(DataRecipe(source=str(folder))).model_copy(update={"task": "multi_label"})
    match = r"task multi_label needs images with several labels each, which this source does not"
    with pytest.raises(DataError, match=match):
        prepare_data(recipe)
    tags = DataRecipe(source=str(write_tags(tmp_path / "t", ["a", "b"])), **TAGS)
    with pytest.raises(DataError, match=r"task multi_class needs images with one label each"):
        prepare_data(recipe.model_copy(update={"task": "multi_class", "data": tags}))


def test_sets_of_labels_of_one_class_are_too_few(tmp_path: Path) -> None:
    write_tags(tmp_path, ["a", "", "a"])
    with pytest.raises(DataError, match=r"at least 2 classes, got 1 \('a'\)"):
        prepare_tags(tmp_path)
