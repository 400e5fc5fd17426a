"""Labels, sub-labels and marks, with their keys, colours and bits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import RequestError
from tfclassify.labelling.vocabulary import (
    check_vocabulary,
    make_vocabulary,
    read_vocabulary,
    split_names,
)

SCHOOL = """
labels:
  - {name: pen, key: "1", code: "1", sublabels: [ballpoint, {name: felt, key: t}]}
  - {name: ruler, sublabels: [wood]}
marks:
  - {name: broken, key: b, bit: 1}
  - dark
"""


def test_names_alone_get_keys_bits_and_colours() -> None:
    words = make_vocabulary(split_names("pen, pencil,,rubber "))
    assert words.names == ("pen", "pencil", "rubber")
    assert [label.key for label in words.labels] == ["1", "2", "3"]
    assert len({label.colour for label in words.labels}) == 3
    assert [(mark.name, mark.key, mark.bit) for mark in words.marks] == [
        ("wrong", "x", 1),
        ("blurred", "b", 2),
        ("dark", "d", 4),
        ("hard", "h", 8),
    ]
    assert words.broken_mark == "wrong"


def test_more_labels_than_digits_get_letters_that_no_mark_has() -> None:
    words = make_vocabulary(str(number) for number in range(40))
    keys = [label.key for label in words.labels if label.key]
    assert keys == list("1234567890acefgijklmnopqrstuvwyz")
    assert words.labels[39].key == ""


def test_ten_thousand_labels_are_taken() -> None:
    words = make_vocabulary(f"class {number}" for number in range(10_000))
    assert len({label.colour for label in words.labels}) > 500
    assert words.positions["class 9999"] == 9_999
    assert "did you mean 'class 12'" in words.find_fault(["clas 12"], "", [])


def test_a_file_says_what_it_wants_and_gets_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "school.yaml"
    path.write_text(SCHOOL, "utf-8")
    words = read_vocabulary(path)
    pen, ruler = words.labels
    assert (pen.key, pen.code, ruler.key) == ("1", "1", "2")
    assert [finer.key for finer in pen.sublabels] == ["a", "t"]
    assert [finer.key for finer in ruler.sublabels] == ["w"]
    assert [(mark.key, mark.bit) for mark in words.marks] == [("b", 1), ("d", 2)]
    assert words.broken_mark == "broken"
    assert words.join_bits(["dark", "broken"]) == 3
    # What is written down is what is read.
    assert check_vocabulary(words.to_plain(), "x") == words
    assert words.to_plain()["labels"][1] != "ruler"
    plain = make_vocabulary(["a", "b"], several=True)
    assert plain.to_plain()["labels"] == ["a", "b"]
    assert check_vocabulary(plain.to_plain(), "x") == plain


@pytest.mark.parametrize(
    ("labels", "sublabel", "marks", "words"),
    [
        (["pan"], "", [], r"label 'pan' is not in the vocabulary; did you mean 'pen'"),
        (["pen"], "", ["drak"], r"mark 'drak' is not in the vocabulary; did you mean 'dark'"),
        (["pen", "ruler"], "", [], r"an image has one label, got pen, ruler"),
        (["pen"], "wood", [], r"'pen' has no sub-label 'wood'"),
        ([], "wood", [], r"sub-label 'wood' needs one label, got 0"),
    ],
)
def test_what_is_not_in_the_vocabulary(
    labels: list[str], sublabel: str, marks: list[str], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "school.yaml"
    path.write_text(SCHOOL, "utf-8")
    assert words in read_vocabulary(path).find_fault(labels, sublabel, marks)


def test_an_image_may_have_several_labels_each_once() -> None:
    words = make_vocabulary(["a", "b"], several=True)
    assert words.find_fault(["b", "a"], "", []) == ""
    assert words.order_labels(["b", "a"]) == ("a", "b")
    assert "a label is there twice" in words.find_fault(["a", "a"], "", [])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"labels": []}, r"labels: Tuple should have at least 1 item"),
        ({"labels": ["a", "a"]}, r"labels: 'a' is there twice"),
        ({"labels": ["a|b"]}, r"'\|', which joins names; rename it"),
        ({"labels": [" a"]}, r"has spaces around it"),
        ({"labels": ["a\nb"]}, r"control characters"),
        ({"labels": ["\ud800"]}, r"labels\[0\].name: .*unicode"),
        ({"labels": [{"name": "a", "key": "?"}]}, r"'a': the page needs the key '\?' itself"),
        (
            {"labels": [{"name": "a", "key": "12"}]},
            r"labels\[0\].key: String should have at",
        ),
        ({"labels": [{"name": "a", "key": "x"}]}, r"'wrong': its key 'x' is that of 'a'"),
        ({"labels": [{"name": "a", "colour": "red"}]}, r"labels\[0\].colour: String should match"),
        ({"labels": [{"name": "a", "clour": "red"}]}, r"labels\[0\].clour: Extra inputs"),
        ({"labels": [{"name": "a", "sublabels": ["b", "b"]}]}, r"sub-labels of 'a': 'b' is there"),
        ({"labels": ["a"], "marks": [{"name": "m", "bit": 3}]}, r"a bit of its own .*got 3"),
        (
            {"labels": ["a"], "marks": [{"name": "m", "bit": 2}, {"name": "n", "bit": 2}]},
            r"a bit of its own .*got 2",
        ),
        ("pen", r"--labels: the vocabulary has 1 problem"),
    ],
)
def test_an_impossible_vocabulary(content: object, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        check_vocabulary(content, "--labels")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no\.yaml: cannot be read \(No such file"):
        read_vocabulary(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("labels: [", "utf-8")
    with pytest.raises(RequestError, match=r"bad\.yaml: is no YAML"):
        read_vocabulary(tmp_path / "bad.yaml")
    (tmp_path / "code.yaml").write_text("labels: !!python/object/apply:os.getcwd []", "utf-8")
    with pytest.raises(RequestError, match=r"code\.yaml: is no YAML"):
        read_vocabulary(tmp_path / "code.yaml")
