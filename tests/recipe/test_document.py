from __future__ import annotations

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.recipe.strategies import anything, quick
from tfclassify.recipe.document import (
    MAX_CHARACTERS,
    MAX_MAPPINGS,
    MAX_SCALARS,
    Place,
    read_document,
    read_scalar,
    render_inline,
    render_yaml,
)

TEXT = """\
# a comment
name: plants
phases:
  - {name: head,
     epochs: 3}
  - name: whole
"""


def test_each_key_and_item_has_its_line() -> None:
    document = read_document(TEXT)
    assert document.content == {
        "name": "plants",
        "phases": [{"name": "head", "epochs": 3}, {"name": "whole"}],
    }
    lines = {path: place.line for path, place in document.places.items()}
    assert lines == {
        (): 2,
        ("name",): 2,
        ("phases",): 3,
        ("phases", 0): 4,
        ("phases", 0, "name"): 4,
        ("phases", 0, "epochs"): 5,
        ("phases", 1): 6,
        ("phases", 1, "name"): 6,
    }
    # What is not there is looked for where its parent is.
    assert document.locate(("phases", 1, "epochs")) == Place(6)
    assert read_document("").locate(("name",)) == Place(1)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("5.2e-5", 5.2e-5),
        (".5", 0.5),
        ("-7", -7),
        ("0x1F", 31),
        ("0o17", 15),
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("no", "no"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-11-22", "2026-11-22"),
        ("9" * 31, 1e31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    assert read_scalar(text) == value
    assert type(read_scalar(text)) is type(value)


def test_not_a_number_is_read() -> None:
    assert math.isnan(read_scalar(".nan"))


def test_quoted_scalars_are_text_and_keys_are_always_text() -> None:
    assert read_document("""{1: '2', true: "no", ~: 3}""").content == {
        "1": "2",
        "true": "no",
        "~": 3,
    }


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: &x 1", 2, "anchors and aliases are not allowed, got '&x'"),
        ("a: 1\nb: *x", 2, "anchors and aliases are not allowed, got '*x'"),
        ("a: !!python/object/apply:os.system [x]", 1, "YAML tags are not allowed"),
        ("a: !!int '3'", 1, "YAML tags are not allowed"),
        ("[" * 5000, 1, "nested more than 24 deep"),
        ("? [1]\n: 2", 1, "a key must be text, got a list or mapping"),
        ("a: 1\n---\nb: 2", 2, "a recipe is one document, got a second '---'"),
        ("a: b: c", 1, "not valid YAML: mapping values are not allowed here"),
        ("a:\n\t- b", 2, "not valid YAML: found character '\\t'"),
        ("a: [1,\nb: 2", 2, "not valid YAML"),
        ("a: 1\nb: \x07", 2, "not valid YAML: character '\\x07'"),
        ("a: 1\n" * MAX_CHARACTERS, 1, "a recipe has at most 262,144 characters"),
        ("a:\n" + "- {}\n" * MAX_MAPPINGS, MAX_MAPPINGS + 1, "at most 4,000 mappings and 40,0"),
        ("[" + "1," * (MAX_SCALARS + 1) + "]", 1, "at most 4,000 mappings and 40,000 values"),
        ('a: "\\UFFFFFFFF"', 1, "not valid YAML: "),
        ('a: 1\nb: "\\ud800"', 2, "not valid text: half of a character, got"),
    ],
)
def test_what_is_not_a_recipe_is_refused(text: str, line: int, message: str) -> None:
    document = read_document(text, "file.yaml")
    (problem,) = document.problems
    assert not document.is_readable
    assert message in problem.message
    assert (problem.line, problem.source) == (line, "file.yaml")


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{key}: &{key} [*{last}, *{last}]\n"
        for last, key in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert len(read_document(bomb).problems) == 1


def test_every_repeated_key_is_reported() -> None:
    document = read_document("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert document.is_readable
    assert [(item.path, item.line, item.message) for item in document.problems] == [
        ("b.c", 2, "the key is given twice, first on line 2; keep one"),
        ("a", 3, "the key is given twice, first on line 1; keep one"),
    ]


@quick
@given(st.text())
def test_no_text_breaks_the_reader(text: str) -> None:
    document = read_document(text)
    assert document.is_readable or len(document.problems) == 1
    for problem in document.problems:
        assert problem.line is not None
        assert 1 <= problem.line <= len(text) + 1


@quick
@given(st.dictionaries(st.text(max_size=8), anything, max_size=4))
def test_what_is_written_is_read_back(content: dict[str, object]) -> None:
    for text in (render_yaml(content), f"key: {render_inline(content)}"):
        document = read_document(text)
        assert not document.problems
        read = (
            document.content if text.startswith(render_yaml(content)) else document.content["key"]
        )
        assert repr(read) == repr(content)


@quick
@given(st.dictionaries(st.text("abcxyz", min_size=1), st.integers() | st.lists(st.booleans())))
def test_another_reader_agrees(content: dict[str, object]) -> None:
    assert yaml.safe_load(render_yaml(content)) == content
