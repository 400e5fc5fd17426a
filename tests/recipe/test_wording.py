from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.recipe.strategies import quick
from tfclassify.recipe.wording import (
    find_nearest,
    join_names,
    parse_path,
    render_path,
    show,
    suggest,
)

paths = st.tuples(st.text(max_size=6)).flatmap(
    lambda first: st.lists(st.text(max_size=6) | st.integers(0, 999), max_size=5).map(
        lambda rest: (*first, *rest)
    )
)


def test_a_path_reads_as_in_the_design() -> None:
    assert render_path(("phases", 1, "epochs")) == "phases[1].epochs"
    assert parse_path("phases[1].epochs") == ("phases", 1, "epochs")
    assert parse_path("phases[-1]") == ("phases", -1)
    assert parse_path('class_weights."T. rex"') == ("class_weights", "T. rex")


@quick
@given(paths)
def test_every_path_can_be_read_back(path: tuple[str | int, ...]) -> None:
    assert parse_path(render_path(path)) == path


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("a..b", 3),
        ("", 1),
        ("a.", 3),
        ("a b", 2),
        ("a[x]", 2),
        ("a.[1]", 3),
        ("[1]b", 4),
        ("a]", 2),
    ],
)
def test_a_broken_path_says_where(text: str, position: int) -> None:
    with pytest.raises(ValueError, match=f"cannot be read from character {position} on"):
        parse_path(text)


def test_a_broken_quotation_says_where() -> None:
    with pytest.raises(ValueError, match="has a broken quotation at character 3"):
        parse_path(r'a."\x"')


def test_values_are_shown_as_a_recipe_writes_them() -> None:
    assert show({"a": [None, True, "x"]}) == "{a: [null, true, 'x']}"
    assert show("y" * 200) == "'" + "y" * 57 + " …"


def test_the_nearest_name_ignores_case_and_dashes() -> None:
    names = ("resnet50", "resnet50_v2", "convnext_large")
    assert find_nearest("ResNet-50", names) == "resnet50"
    assert find_nearest("ResNet50V2", names) == "resnet50_v2"
    assert find_nearest("convnext_lrge", names) == "convnext_large"
    assert find_nearest("conv", names) == "convnext_large"
    assert find_nearest("zzz", names) is None
    assert find_nearest(3, names) is None
    assert suggest("zzz", names) == ""
    assert suggest("resnet5", names) == "; did you mean 'resnet50'?"


def test_names_are_joined_for_a_sentence() -> None:
    assert join_names(["a", "b", "c"]) == "a, b or c"
    assert join_names(["a", "b"], "and") == "a and b"
    assert join_names(["a"]) == "a"
    assert join_names([]) == ""
