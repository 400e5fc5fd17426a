"""Tables and folders of answers, out and in again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import make_photo
from tfclassify.data.journals import Answer
from tfclassify.errors import DataError, RequestError
from tfclassify.labelling.tables import read_answers, write_folders, write_table
from tfclassify.labelling.vocabulary import Vocabulary, make_vocabulary, read_vocabulary

ROOT = Path(__file__).parents[2]
NAMES = ("a.png", "b/c.png", "=cmd.png")


@pytest.fixture
def school() -> Vocabulary:
    return read_vocabulary(ROOT / "recipes" / "vocabularies" / "school_items.yaml")


def make_answers() -> list[Answer]:
    marks = frozenset({"hard", "dark"})
    return [
        Answer("a.png", "ann", ("pencil",), "coloured", marks, 'so, "so"', seconds=1.25, at="T"),
        Answer("b/c.png", "ben", ("ruler",)),
        Answer("=cmd.png", "ben", ("none",)),
        Answer("d.png", "ben", is_skipped=True),
    ]


def strip(answer: Answer) -> tuple[object, ...]:
    return (answer.image, answer.labeller, answer.labels, answer.sublabel, answer.marks)


def test_columns_are_written_and_read_again(tmp_path: Path, school: Vocabulary) -> None:
    path = tmp_path / "labels.csv"
    assert write_table(path, make_answers(), school, "columns") == 3
    assert path.read_text("utf-8").splitlines() == [
        "file,label,sublabel,marks,note,labeller,seconds,at",
        'a.png,pencil,coloured,dark|hard,"so, ""so""",ann,1.250,T',
        "b/c.png,ruler,,,,ben,0.000,",
        "'=cmd.png,none,,,,ben,0.000,",
    ]
    taken = read_answers(path, NAMES, school, "me")
    first = taken.answers["ann"]["a.png"]
    assert strip(first) == strip(make_answers()[0])
    assert (first.note, first.seconds) == ('so, "so"', 1.25)
    assert set(taken.answers["ben"]) == {"b/c.png", "=cmd.png"}
    assert taken.strangers == ()


def test_the_original_form_holds_codes_and_bits(tmp_path: Path, school: Vocabulary) -> None:
    path = tmp_path / "labels.csv"
    write_table(path, make_answers(), school, "original")
    assert path.read_text("utf-8").splitlines() == [
        "Name;Label;Sublabel;Extra;Author;",
        "a.png;1;1;20;ann;",
        "b/c.png;3;0;0;ben;",
        "'=cmd.png;5;0;0;ben;",
    ]
    taken = read_answers(path, NAMES, school, "me")
    assert [strip(each) for who in ("ann", "ben") for each in taken.answers[who].values()] == [
        strip(answer) for answer in make_answers()[:3]
    ]


def test_a_table_without_people_or_with_other_names(tmp_path: Path, school: Vocabulary) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,label\nphotos/a.png,pen\nelsewhere.png,pen\n", "utf-8")
    taken = read_answers(path, NAMES, school, "me")
    assert taken.answers["me"]["a.png"].labels == ("pen",)
    assert taken.strangers == ("elsewhere.png",)


def test_several_labels_are_joined(tmp_path: Path) -> None:
    words = make_vocabulary(["cat", "dog"], several=True)
    path = tmp_path / "labels.csv"
    answers = [Answer("a.png", "ann", ("cat", "dog")), Answer("b/c.png", "ann")]
    write_table(path, answers, words, "columns")
    assert "a.png,cat|dog," in path.read_text("utf-8")
    taken = read_answers(path, NAMES, words, "me").answers["ann"]
    assert (taken["a.png"].labels, taken["b/c.png"].labels) == (("cat", "dog"), ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.png,pne\n", r"labels\.csv: line 2: label 'pne' is not in .*mean 'pen'"),
        ("file,label,marks\na.png,pen,drak\n", r"line 2: mark 'drak' is not in"),
        ("file,label,seconds\na.png,pen,soon\n", r"line 2: seconds must be a number, got 'soon'"),
        ("Name;Label;Sublabel;Extra\na.png;0;0;64\n", r"line 2: Extra must be a sum .*got '64'"),
        ("Name;Label;Sublabel;Extra\na.png;0;0;-1\n", r"line 2: Extra must be a sum .*got '-1'"),
        ("Name;Label;Sublabel;Extra\na.png;0;0;x\n", r"line 2: Extra must be a sum .*got 'x'"),
        ("Name;Label;Sublabel;Extra\na.png;0;9;0\n", r"line 2: 'pen' has no sub-label '9'"),
    ],
)
def test_a_row_that_says_what_is_impossible(
    tmp_path: Path, school: Vocabulary, text: str, words: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=words):
        read_answers(path, NAMES, school, "me")


def test_a_table_of_another_kind(tmp_path: Path, school: Vocabulary) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image;class\na.png;pen\n", "utf-8")
    with pytest.raises(RequestError, match=r"the first line must be file,label,.*got 'image;class"):
        read_answers(path, NAMES, school, "me")
    with pytest.raises(RequestError, match=r"no\.csv: cannot be read"):
        read_answers(tmp_path / "no.csv", NAMES, school, "me")


def test_folders_by_class_are_written_and_read_again(tmp_path: Path, school: Vocabulary) -> None:
    paths = {}
    for number, name in enumerate(NAMES[:2]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        make_photo(number, (4, 4)).save(path)
        paths[name] = str(path)
    out = tmp_path / "sorted"
    settled = {"a.png": ("pen",), "b/c.png": ("set square",), "gone.png": ("pen",)}
    assert write_folders(out, settled, paths) == 2
    assert (out / "set square/b/c.png").read_bytes() == Path(paths["b/c.png"]).read_bytes()
    taken = read_answers(out, NAMES, school, "me").answers["me"]
    assert {name: each.labels for name, each in taken.items()} == {
        "a.png": ("pen",),
        "b/c.png": ("set square",),
    }
    with pytest.raises(RequestError, match=r"sorted: is there already and is not overwritten"):
        write_folders(out, settled, paths)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("pen", "ruler"), r"a\.png: has 2 labels, and a photo is in one folder"),
        (("../pen",), r"label '\.\./pen': cannot name a folder"),
        (("a/b",), r"label 'a/b': cannot name a folder"),
        (("..",), r"label '\.\.': cannot name a folder"),
    ],
)
def test_labels_that_name_no_folder(tmp_path: Path, labels: tuple[str, ...], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        write_folders(tmp_path / "out", {"a.png": labels}, {})


def test_a_photo_that_is_gone_leaves_no_half_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_folders(tmp_path / "out", {"a.png": ("pen",)}, {"a.png": str(tmp_path / "a.png")})
    assert list(tmp_path.iterdir()) == []
