from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.data.builders import write_images, zip_folder
from tfclassify.data.columns import Conclusion, conclude_source
from tfclassify.data.preparation import survey_source
from tfclassify.errors import RequestError, SourceError
from tfclassify.recipe.schema import DataRecipe

CLASSES = "abc"
COUNT = 12


def write_set(
    root: Path, header: str, line: Callable[[int], str], folder: str = "", name: str = "t.csv"
) -> Path:
    """Write images ``0.png`` … and a table with one line each."""
    write_images(root, {folder or ".": COUNT})
    lines = [header, *(line(number) for number in range(COUNT))]
    (root / name).write_text("\n".join(lines) + "\n", "utf-8")
    return root


def read(concluded: Conclusion) -> list[str]:
    """Read the source as concluded; return its classes after checking that all rows are fine."""
    index = survey_source(DataRecipe(**concluded.data)).index
    assert (index.frame["status"] == "ok").all()
    assert len(index) == COUNT
    return list(index.classes)


def one_of(number: int) -> str:
    return CLASSES[number % 3]


def marks(number: int) -> str:
    return ",".join(str(int(number % 3 == place)) for place in range(3))


CASES: dict[str, tuple[str, Callable[[int], str], str, dict[str, Any]]] = {
    "filename,label": (
        "filename,label",
        lambda n: f"{n}.png,{one_of(n)}",
        "",
        {"columns": {"file": "filename", "label": "label"}},
    ),
    "semicolons, path and class": (
        "image_path;class;age",
        lambda n: f"pics/{n}.png;{one_of(n)};{n}",
        "pics",
        {"columns": {"file": "image_path", "label": "class"}, "separator": ";"},
    ),
    "a flag beside words of no known name": (
        "garment_id;photographer;what_it_is;kids",
        lambda n: f"{n}.png;p{n % 5};{one_of(n)};{n % 2 == 0}",
        "",
        {"columns": {"file": "garment_id", "label": "what_it_is"}, "separator": ";"},
    ),
    "columns of marks among others": (
        "Id,a,year,b,c",
        lambda n: f"{n},{marks(n)[:2]}{1990 + n},{marks(n)[2:]}",
        "Images",
        {
            "columns": {"file": "Id", "one_hot": "rest"},
            "extension": ".png",
            "images": "Images",
        },
    ),
    "joined labels": (
        "photo,when,tags",
        lambda n: f"{n}.png,2020-01-{n + 1:02},{one_of(n)}|{one_of(n + 1)}",
        "",
        {"columns": {"file": "photo", "label": "tags"}, "label_separator": "|"},
    ),
    "joined labels, as lists of Python": (
        "photo,kinds",
        lambda n: f"{n}.png,\"['{one_of(n)}', '{one_of(n + 1)}']\"",
        "",
        {"columns": {"file": "photo", "label": "kinds"}, "label_separator": ","},
    ),
    "joined labels, as lists of JSON": (
        "photo,when,labels",
        lambda n: f'{n}.png,2020-01-{n + 1:02},"[""{one_of(n)}""]"' if n else '0.png,2020,"[]"',
        "",
        {"columns": {"file": "photo", "label": "labels"}, "label_separator": ","},
    ),
    "a list of one label": (
        "photo,label",
        lambda n: f"{n}.png,['{one_of(n)}']",
        "",
        {"columns": {"file": "photo", "label": "label"}},
    ),
    "bare names, groups and a split": (
        "Id\tPatient_ID\tset\tspecies",
        lambda n: f"{n}\tp{n // 2}\t{'train' if n % 4 else 'val'}\t{one_of(n)}",
        "Images",
        {
            "columns": {"file": "Id", "split": "set", "group": "Patient_ID", "label": "species"},
            "separator": "\t",
            "extension": ".png",
            "images": "Images",
        },
    ),
    "a label of no telling name": (
        "who,what,n",
        lambda n: f"{n}.png,{one_of(n)},{n % 5}",
        "",
        {"columns": {"file": "who", "label": "what"}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_tables_are_understood_as_they_come(tmp_path: Path, case: str) -> None:
    header, line, folder, keys = CASES[case]
    source = str(write_set(tmp_path, header, line, folder))
    concluded = conclude_source(source)
    assert concluded.data == {"source": source, "table": "t.csv", **keys}
    assert read(concluded) == list(CLASSES)
    assert concluded.task == ("multi_label" if "joined" in case else "multi_class")
    beside = conclude_source(f"{source}/t.csv")
    assert beside.data == {"source": f"{source}/t.csv", **keys}
    assert read(beside) == list(CLASSES)


def test_a_flag_alone_is_the_label(tmp_path: Path) -> None:
    root = write_set(tmp_path, "image;has_rust", lambda n: f"{n}.png;{n % 2 == 0}")
    assert read(conclude_source(str(root))) == ["False", "True"]


def test_it_says_what_each_column_was_taken_for(tmp_path: Path) -> None:
    header, line, folder, _ = CASES["columns of marks among others"]
    concluded = conclude_source(str(write_set(tmp_path, header, line, folder)))
    assert concluded.remarks == (
        "the table t.csv describes the images",
        "Id: the image's file, in the folder 'Images', written without .png (12 of 12 looked for "
        "are there)",
        "a, b and c: one column of 0 and 1 a class, 3 classes; each image has exactly one",
        "not read, since not 0 and 1: year",
    )


def test_an_archive_with_a_wrapping_folder(tmp_path: Path) -> None:
    header, line, folder, keys = CASES["bare names, groups and a split"]
    write_set(tmp_path / "made" / "set", header, line, folder)
    source = str(zip_folder(tmp_path / "made", tmp_path / "set.zip"))
    concluded = conclude_source(source)
    assert concluded.data == {"source": source, "table": "set/t.csv", **keys}
    assert read(concluded) == list(CLASSES)


class TestColumnsThatAreNamed:
    def test_the_users_word_goes_first(self, tmp_path: Path) -> None:
        def line(n: int) -> str:
            return f"{n}.png,{'xy'[n % 2]},{one_of(n)},{n // 2}"

        source = str(write_set(tmp_path, "file,label,Genre,who", line))
        assert conclude_source(source).data["columns"] == {"file": "file", "label": "label"}
        named = conclude_source(source, {"label": "Genre", "group": "who"})
        assert named.data["columns"] == {"file": "file", "label": "Genre", "group": "who"}
        assert read(named) == list(CLASSES)
        bare = conclude_source(source, {"label": None}).data["columns"]
        assert bare == {"file": "file", "label": None}

    def test_columns_of_marks(self, tmp_path: Path) -> None:
        source = str(write_set(tmp_path, "file,a,b,c,indoors", lambda n: f"{n}.png,{marks(n)},1"))
        assert conclude_source(source).data["columns"]["one_hot"] == "rest"
        named = conclude_source(source, {"one_hot": "a+b+c"})
        assert named.data["columns"]["one_hot"] == ["a", "b", "c"]
        assert (named.task, read(named)) == ("multi_class", list(CLASSES))

    @pytest.mark.parametrize(
        ("given", "match"),
        [
            ({"lable": "x"}, r"unknown key 'lable', allowed are file, label.*did you mean 'label'"),
            ({"label": "clas"}, r"label=clas: .* has no such column, it has .* mean 'class'"),
            ({"one_hot": "age+q"}, r"one_hot=q: .* has no such column"),
        ],
    )
    def test_names_that_are_not_there(
        self, tmp_path: Path, given: dict[str, str], match: str
    ) -> None:
        source = str(write_set(tmp_path, "f,class,age", lambda n: f"{n}.png,{one_of(n)},{n}"))
        with pytest.raises(RequestError, match=match):
            conclude_source(source, given)

    def test_a_source_without_a_table(self, tmp_path: Path) -> None:
        write_images(tmp_path, {"a": 2, "b": 2})
        with pytest.raises(RequestError, match="holds no table whose columns could be named"):
            conclude_source(str(tmp_path), {"label": "x"})


def test_folders_that_are_classes_come_first(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "notes.csv").write_text("file,label\na/0.png,x\nb/0.png,y\n")
    concluded = conclude_source(str(tmp_path))
    assert concluded.data == {"source": str(tmp_path)}
    assert concluded.remarks == ("one folder a class, 2 classes; the table notes.csv was not read",)
    assert conclude_source(str(tmp_path), {"label": "label"}).data["table"] == "notes.csv"


def test_folders_called_like_splits_are_no_classes(tmp_path: Path) -> None:
    write_images(tmp_path, {"train": 3, "test": 3})
    lines = [f"{number},{'ab'[number % 2]}" for number in range(3)]
    (tmp_path / "train.csv").write_text("id,label\n" + "\n".join(lines))
    concluded = conclude_source(str(tmp_path))
    assert concluded.data["table"] == "train.csv"
    assert concluded.data["columns"]["label"] == "label"


@pytest.mark.parametrize(
    ("values", "joint"),
    [
        (["a|b", "b", "c|a", "c"], "|"),
        (["a, b", "b", "c, a", "a"], ", "),
        (["cat dog", "dog", "cat", "bird dog", "bird", "bird cat"], " "),
        (["golden retriever", "labrador retriever", "german shepherd"] * 4, None),
        (["n/a", "b", "c", "b"], None),
    ],
)
def test_several_labels_are_told_from_long_names(
    tmp_path: Path, values: list[str], joint: str | None
) -> None:
    def line(n: int) -> str:
        return f'{n}.png,"{values[n % len(values)]}"'

    concluded = conclude_source(str(write_set(tmp_path, "file,label", line)))
    assert concluded.data.get("label_separator") == joint


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"t\.csv: the table is empty"),
        ("file,label\n", r"t\.csv: the table has the columns 'file', 'label' and no rows; give it"),
        (
            "name,label\nx,a\ny,b\n",
            r"no column names the 12 images .*it has 'name', 'label'; n",
        ),
        ("a,b\n\udcff,1\n", r"no table that can be read .*save it as UTF-8"),
    ],
)
def test_tables_that_cannot_be_understood(tmp_path: Path, text: str, match: str) -> None:
    write_set(tmp_path, "", lambda n: "")
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SourceError, match=match):
        conclude_source(f"{tmp_path}/t.csv")
    assert "its table is not understood" in conclude_source(str(tmp_path)).remarks[0]
