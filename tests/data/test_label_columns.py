from __future__ import annotations

from typing import Any

import pytest

from tfclassify.data.label_columns import LabelColumns, find_label_columns
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe


def find(header: str, taken: tuple[int, ...] = (0,), **keys: Any) -> LabelColumns | None:
    return find_label_columns(header.split(","), taken, DataRecipe(source="x", **keys), "t.csv")


def one_hot(names: Any) -> dict[str, Any]:
    return {"columns": {"one_hot": names}}


def test_an_image_with_one_label_has_no_such_columns() -> None:
    assert find("file,label") is None


def test_the_rest_of_the_columns_are_classes() -> None:
    columns = find("split,file,cat,dog,eel", (0, 1), **one_hot("rest"))
    assert columns is not None
    assert columns.classes == ("cat", "dog", "eel")
    assert columns.read(["train", "a.png", "1", "0", "1"], "line 2") == ("cat", "eel")
    assert columns.read(["train", "a.png", "0", "0.0", "false"], "line 2") == ()
    assert columns.read(["train", "a.png", " 1 ", "1.0", "True"], "line 2") == columns.classes


def test_named_columns_are_classes_in_the_recipes_order() -> None:
    columns = find("file,cat,age,dog", **one_hot(("dog", "cat")))
    assert columns is not None
    assert columns.classes == ("dog", "cat")
    assert columns.read(["a.png", "1", "77", "0"], "line 2") == ("cat",)


def test_joined_names_are_split() -> None:
    columns = find("file,tags,age", columns={"label": "tags"}, label_separator="; ")
    assert columns is not None
    assert columns.classes == ()
    assert columns.read(["a.png", "dog; cat; dog", "7"], "line 2") == ("dog", "cat")
    assert columns.read(["a.png", "; cat ; ", "7"], "line 2") == ("cat",)
    assert columns.read(["a.png", "", "7"], "line 2") == ()


def test_a_table_without_the_column_of_joined_names_is_unlabelled() -> None:
    assert find("file,age", columns={"label": None}, label_separator=";") is None


@pytest.mark.parametrize("value", ["2", "", "yes", "0,5", "-1"])
def test_a_mark_is_0_or_1(value: str) -> None:
    columns = find("file,cat", **one_hot("rest"))
    assert columns is not None
    with pytest.raises(SourceError, match=r"^t, line 9: the column 'cat' .* allowed are 0 and 1"):
        columns.read(["a.png", value], "t, line 9")


@pytest.mark.parametrize(
    ("header", "names", "match"),
    [
        ("file", "rest", r"^t\.csv, line 1: every column is a file, group, split or the like"),
        ("file,cat,", "rest", r"column 3 has no name; remove it, or list the columns of classes"),
        ("file,cat,cat", "rest", r"there are two columns 'cat'; rename one"),
        ("file,cat,cat", ("cat",), r"there are two columns 'cat'; rename one"),
        ("file,cat,dog", ("cat", "dgo"), r"no column 'dgo' \(data\.columns\.one_hot\).*is 'dog'"),
        ("file,cat", ("file", "cat"), r"no column 'file' \(data\.columns\.one_hot\) besides"),
    ],
)
def test_headers_without_what_is_named(header: str, names: Any, match: str) -> None:
    with pytest.raises(SourceError, match=match):
        find(header, **one_hot(names))
