from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import RequestError, TargetError
from tfclassify.export.template import (
    Template,
    check_columns,
    list_some,
    match_images,
    read_template,
)

CLASSES = ("daisy", "rose", "tulip")


def write(folder: Path, text: str) -> Path:
    path = folder / "sample_submission.csv"
    path.write_bytes(text.encode())
    return path


def make_template(ids: tuple[str, ...] = ("1",), columns: tuple[str, ...] = ("label",)) -> Template:
    return Template("sample.csv", "id", columns, ids, ("",) * len(ids), ",")


@pytest.mark.parametrize(
    ("text", "separator"),
    [
        ("id,label\n001,rose\n002,NA\n", ","),
        ("\ufeffid,label\r\n001,rose\r\n\r\n002,NA\r\n", ","),
        ("id;label\n001;rose\n002;NA", ";"),
        ("id\tlabel\n001\trose\n002\tNA\n", "\t"),
    ],
)
def test_read_template(tmp_path, text, separator):
    template = read_template(write(tmp_path, text))
    assert template.id_column == "id"
    assert template.value_columns == ("label",)
    assert template.ids == ("001", "002")  # zeros in front and NA stay as written
    assert template.samples == ("rose", "NA")
    assert template.separator == separator


def test_quoted_ids_may_hold_the_separator(tmp_path):
    template = read_template(write(tmp_path, 'id,a,b\n"x, y.png",0,1\n'))
    assert template.ids == ("x, y.png",)
    assert template.value_columns == ("a", "b")


def test_no_template(tmp_path):
    with pytest.raises(TargetError, match="there is no such template"):
        read_template(tmp_path / "sample.csv")


def test_a_template_that_is_no_text(tmp_path):
    (tmp_path / "sample.csv").write_bytes(b"id,label\n\xff\xfe,1\n")
    with pytest.raises(RequestError, match="not UTF-8"):
        read_template(tmp_path / "sample.csv")


@pytest.mark.parametrize("text", ["", "id,label\n", "id\n1\n"])
def test_a_template_without_rows_or_columns(tmp_path, text):
    with pytest.raises(RequestError, match="needs a header of an id column"):
        read_template(write(tmp_path, text))


def test_a_ragged_template(tmp_path):
    with pytest.raises(RequestError, match="row 3: has 1 fields, the header has 2"):
        read_template(write(tmp_path, "id,label\n1,a\n2\n"))


def test_repeated_ids(tmp_path):
    with pytest.raises(RequestError, match="more than once: '1', '3'"):
        read_template(write(tmp_path, "id,label\n3,a\n1,a\n2,a\n1,a\n3,b\n"))


def test_columns_that_fit():
    check_columns(make_template(columns=("whatever",)), CLASSES, "labels")
    check_columns(make_template(columns=("tulip", "daisy", "rose")), CLASSES, "probabilities")


@pytest.mark.parametrize(
    ("columns", "mode", "message"),
    [
        (CLASSES, "labels", r"labels fill one column, the template has 3 .*use probabilities"),
        (("label", "site"), "labels", "leave only the label's column"),
        (("daisy", "rosse"), "probabilities", r"no class: 'rosse' \(did you mean 'rose'\?\)"),
        (("daisy",), "probabilities", "classes without a column: 'rose', 'tulip'"),
        ((*CLASSES, "rose"), "probabilities", "a column is there twice"),
    ],
)
def test_columns_that_do_not_fit(columns, mode, message):
    with pytest.raises(RequestError, match=message):
        check_columns(make_template(columns=columns), CLASSES, mode)


FOLDER = Path("test")
FILES = ["test/1.png", "test/2.jpg", "test/deep/2.png", "test/deep/3.x.png"]


def match(*ids: str) -> list[str]:
    return match_images(make_template(ids), FOLDER, FILES)


def test_ids_with_and_without_extension_and_folder():
    assert match("3.x", "1", "deep/2", "2.png", "1.png", "deep/3.x.png") == [
        "test/deep/3.x.png",
        "test/1.png",
        "test/deep/2.png",
        "test/deep/2.png",
        "test/1.png",
        "test/deep/3.x.png",
    ]


def test_ids_without_an_image():
    with pytest.raises(RequestError, match=r"2 of 3 ids in the column 'id' .* test: '4', '5'"):
        match("4", "1", "5")


def test_an_id_of_two_images():
    with pytest.raises(RequestError, match=r"'2' fits several images: 'test/2.jpg', 'test/deep"):
        match("2")


def test_a_whole_path_is_meant_even_if_another_file_has_its_name():
    files = ["test/1.png", "test/deep/1.png"]
    assert match_images(make_template(("1.png",)), FOLDER, files) == ["test/1.png"]


def test_list_some():
    assert list_some("ab") == "'a', 'b'"
    assert list_some("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"
