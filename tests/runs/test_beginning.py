from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import RunError
from tfclassify.runs.beginning import load_beginning, name_changes, save_beginning


def test_what_was_noted_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "began.json"
    assert load_beginning(path) is None
    save_beginning(path, {"seed": 1}, "abc", {"numpy": "2.1"})
    assert load_beginning(path) == {
        "format": 1,
        "recipe": {"seed": 1},
        "images": "abc",
        "packages": {"numpy": "2.1"},
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe": 1, "packages": {}}'])
def test_damage_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "began.json"
    path.write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"began\.json: what the training began with cannot be read"):
        load_beginning(path)


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1.5}}, {"a": {"b": "x"}}, ['a.b: 1.5 -> "x"']),
        ({"a": [1, 2]}, {"a": [1]}, ["a[1]: 2 -> absent"]),
        ({"a": None}, {"a": {"b": 1}}, ["a: null -> absent", "a.b: absent -> 1"]),
        ({}, {"a": []}, ["a: absent -> []"]),
    ],
)
def test_changes_are_named_by_their_path(before: dict, now: dict, changes: list[str]) -> None:
    assert name_changes(before, now) == changes
