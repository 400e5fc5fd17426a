"""Corrections: the file, and what they do to what is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import Listener, write_images
from tfclassify.data.corrections import (
    Correction,
    count_actions,
    read_corrections,
    write_corrections,
)
from tfclassify.data.preparation import prepare_labelled, survey_source
from tfclassify.data.readers import ReadResult, read_source
from tfclassify.errors import AbsentSourceError, SourceError
from tfclassify.recipe.loading import load_recipe
from tfclassify.recipe.schema import DataRecipe, Recipe


def read(source: Path, lines: str, **keys: Any) -> ReadResult:
    path = source.parent / "corrections.csv"
    path.write_text(f"file,label,action,reason\n{lines}", encoding="utf-8")
    return read_source(DataRecipe(source=str(source), corrections=str(path), **keys))


def summarise(result: ReadResult) -> list[tuple[str, str]]:
    frame = result.index.frame
    return list(zip(frame["image"], frame["label"], strict=True))


def findings(result: ReadResult) -> list[tuple[str, str, str]]:
    return [(found.kind, found.image, found.detail) for found in result.findings]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_images(tmp_path / "photos", {"a": 2, "b": 2})


def test_labels_are_changed_and_images_left_out(photos: Path) -> None:
    lines = "a/0.png,b,relabel,looks like b\na/1.png,,keep,\nb/1.png,,drop,no image of either\n"
    result = read(photos, lines)
    assert summarise(result) == [("a/0.png", "b"), ("a/1.png", "a"), ("b/0.png", "b")]
    assert findings(result) == [
        ("relabelled", "a/0.png", "from a to b: looks like b"),
        ("dropped", "b/1.png", "no image of either"),
    ]
    assert result.index.frame["reason"].tolist() == [
        "relabelled from a to b: looks like b", "", "",
    ]  # fmt: skip


def test_the_remark_stays_beside_what_the_scan_remarks(tmp_path: Path, photos: Path) -> None:
    from PIL import Image

    Image.new("L", (20, 20), 90).save(photos / "a" / "0.png")
    path = tmp_path / "corrections.csv"
    write_corrections(path, [Correction("a/0.png", "relabel", "b")])
    survey = survey_source(DataRecipe(source=str(photos), corrections=str(path)))
    assert survey.index.frame["reason"][0] == "relabelled from a to b; greyscale"
    assert survey.integrity.counts["relabelled"] == 1
    assert "1 relabelled by data.corrections: a/0.png" in survey.integrity.describe()


def test_a_label_that_it_has_already_is_no_change(photos: Path) -> None:
    assert findings(read(photos, "a/0.png,a,relabel,\n")) == []


def test_corrections_come_before_merging_and_dropping(photos: Path) -> None:
    # b is dropped by the recipe, but this one was in truth an a; the other way round too.
    lines = "a/0.png,b,relabel,\nb/0.png,a,relabel,\nb/1.png,,drop,\n"
    keys = {"drop_labels": ("b",), "merge_classes": {"c": ("a",)}}
    result = read(photos, lines, **keys)
    assert summarise(result) == [("a/1.png", "c"), ("b/0.png", "c")]
    # What the recipe leaves out anyway is not counted as relabelled.
    assert [kind for kind, *_ in findings(result)] == ["relabelled", "dropped"]


def test_a_wish_may_name_a_label_that_was_corrected_away(photos: Path) -> None:
    result = read(photos, "b/0.png,a,relabel,\nb/1.png,a,relabel,\n", drop_labels=("b",))
    assert result.index.classes == ("a",)


def test_a_merged_class_may_be_named(photos: Path) -> None:
    result = read(photos, "a/0.png,c,relabel,\n", merge_classes={"c": ("b",)})
    assert summarise(result)[0] == ("a/0.png", "c")


def test_sets_of_labels(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", {".": 3})
    table = tmp_path / "photos" / "labels.csv"
    table.write_text("file,label\n0.png,cat dog\n1.png,dog\n2.png,cat\n")
    lines = "0.png,dog|cat,relabel,\n1.png,cat|dog,relabel,\n2.png,,relabel,empty\n"
    result = read(table, lines, label_separator=" ")
    assert summarise(result) == [("0.png", "cat|dog"), ("1.png", "cat|dog"), ("2.png", "")]
    assert [image for _, image, _ in findings(result)] == ["1.png", "2.png"]


def test_every_fault_is_named_with_its_line(photos: Path) -> None:
    lines = "a/0.png,bb,relabel,\na/9.png,,drop,\na/1.png,,relabel,\n"
    with pytest.raises(SourceError) as caught:
        read(photos, lines)
    told = str(caught.value).splitlines()
    assert re.search(r"corrections\.csv: 3 problems of data\.corrections; mend the lines", told[0])
    assert told[1] == "  line 2: label 'bb' is none of the 2 of the source; did you mean 'b'?"
    assert told[2].startswith("  line 3: 'a/9.png' is not in the source; did you mean 'a/")
    assert told[3] == "  line 4: relabel needs a label, got none; drop takes an image out"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the column 'file' is absent, got none"),
        ("file,label\nx,y\n", "line 1: the column 'action' is absent, got file, label"),
        ("file,label,action\na,b\n", "line 2: has 2 fields, the header names more"),
        ("file,label,action\nx,y,\na,b,mend\n", "line 3: action must be keep, relabel or drop"),
        ("file,label,action\na,b,relable\n", "got 'relable'; did you mean 'relabel'"),
        ("file,label,action\n,b,keep\n", "line 2: names no file"),
        ("file,label,action\na,b,keep\n\na,b,drop\n", "line 4: 'a' is in line 2 already"),
        ('file,label,action\n"a', "cannot be read as CSV"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(text)
    with pytest.raises(SourceError, match=re.escape(message)):
        read_corrections(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AbsentSourceError, match=r"data\.corrections: there is no file 'x/no\.csv'"):
        read_corrections(Path("x/no.csv"))


def test_of_many_problems_the_first_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("file,label,action\n" + "a,b,mend\n" * 30)
    with pytest.raises(SourceError, match="30 problems") as caught:
        read_corrections(path)
    assert str(caught.value).endswith("and 10 more")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    made = [
        Correction("=x.jpg", "relabel", "a, b", 'said "no"'),
        Correction("'y.jpg", "drop", "", "-1"),
        Correction("ü.jpg", "keep"),
    ]
    write_corrections(tmp_path / "corrections.csv", made)
    # No spreadsheet runs the first file's name.
    assert "'=x.jpg" in (tmp_path / "corrections.csv").read_text("utf-8")
    again = read_corrections(tmp_path / "corrections.csv")
    assert [(each.file, each.action, each.label, each.reason) for each in again] == [
        (each.file, each.action, each.label, each.reason) for each in made
    ]
    assert [each.line for each in again] == [2, 3, 4]
    assert count_actions(again) == {"keep": 1, "relabel": 1, "drop": 1}


def test_other_images_are_not_corrected(tmp_path: Path, photos: Path) -> None:
    others = write_images(tmp_path / "others", {"a": 1, "b": 1})
    data = {"source": str(photos), "corrections": str(tmp_path / "not-there.csv")}
    recipe = Recipe.from_dict(
        {
            "name": "x",
            "data": data,
            "model": {"backbone": "efficientnet_lite0"},
            "phases": [{"name": "all", "epochs": 1}],
        }
    )
    listener = Listener()
    prepared = prepare_labelled(recipe, str(others), ("a", "b"), observer=listener)
    assert len(prepared.index) == 2


def test_a_file_beside_the_recipe_is_found(tmp_path: Path, photos: Path) -> None:
    write_corrections(tmp_path / "corrections.csv", [Correction("a/0.png", "drop")])
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\ndata: {source: photos, corrections: corrections.csv}\n"
        "model: {backbone: efficientnet_lite0}\nphases: [{name: all, epochs: 1}]\n"
    )
    recipe = load_recipe(path)
    assert recipe.data.corrections == str(tmp_path / "corrections.csv")
    assert len(read_source(recipe.data).index) == 3
