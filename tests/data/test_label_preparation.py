"""Preparing images that may have any number of labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import (
    Listener,
    make_recipe,
    write_images,
)
from tfclassify.data.preparation import (
    PreparedData,
    prepare_data,
    prepare_labelled,
)
from tfclassify.errors import DataError
from tfclassify.recipe.schema import DataRecipe

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
    recipe = make_recipe(DataRecipe(source=str(folder)), task="multi_label")
    match = r"task multi_label needs images with several labels each, which this source does not"
    with pytest.raises(DataError, match=match):
        prepare_data(recipe)
    tags = DataRecipe(source=str(write_tags(tmp_path / "t", ["a", "b"])), **TAGS)
    with pytest.raises(DataError, match=r"task multi_class needs images with one label each"):
        prepare_data(make_recipe(tags))


def test_sets_of_labels_of_one_class_are_too_few(tmp_path: Path) -> None:
    write_tags(tmp_path, ["a", "", "a"])
    with pytest.raises(DataError, match=r"at least 2 classes, got 1 \('a'\)"):
        prepare_tags(tmp_path)
