from __future__ import annotations

import pytest

from tfclassify.recipe.keys import (
    describe_bounds,
    describe_slot,
    find_item_section,
    find_section,
    find_slot,
    iterate_keys,
    list_literals,
)
from tfclassify.recipe.schema import PhaseRecipe, TrainPartRecipe
from tfclassify.recipe.wording import KeyPath

KINDS = ("constant", "cosine", "plateau", "one_cycle", "multi_step", "exponential")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("name",), "text"),
        (("data", "validation"), "a number of at least 0 and below 1"),
        (("data", "image_size"), "[height, width] or one number, each from 8 to 4096"),
        (("data", "classes"), "a list of texts, or null"),
        (("data", "classes", 7), "text"),
        (("data", "merge_classes"), "a mapping of names to a list of texts"),
        (("data", "merge_classes", "any", 0), "text"),
        (("augment", "zoom"), "[low, high] or one number for both sides"),
        (("augment", "crop"), "[low, high], each from 0 to 1, or null"),
        (("augment", "crop", 1), "a number from 0 to 1"),
        (("augment", "flip"), "a list of horizontal or vertical"),
        (("model", "head", "dense"), "a list of whole numbers from 1 to 65536"),
        (("phases",), "a list of mappings"),
        (("phases", 3, "epochs"), "a whole number of at least 1"),
        (("phases", 0, "clip_norm"), "a number above 0 and at most 100, or null"),
        (
            ("phases", 0, "train"),
            "head, all or a mapping with the keys last_blocks and freeze_layers",
        ),
        (("phases", 0, "train", "last_blocks"), "a whole number of at least 1, or null"),
        (("class_weights", "any class"), "a number above 0 and at most 100"),
        (("runtime", "jit"), "true or false"),
    ],
)
def test_what_a_key_may_hold_is_put_into_words(path: KeyPath, words: str) -> None:
    slot = find_slot(path)
    assert slot is not None
    assert describe_slot(slot) == words


@pytest.mark.parametrize("path", [("nme",), ("name", "x"), ("name", 0), ("data", 0), ("a", "b", 1)])
def test_a_place_that_the_schema_does_not_have(path: KeyPath) -> None:
    assert find_slot(path) is None


def test_sections_are_found_through_lists_and_alternatives() -> None:
    assert find_item_section(find_slot(("phases",))) is PhaseRecipe
    assert find_section(find_slot(("phases", 0))) is PhaseRecipe
    assert find_section(find_slot(("phases", 0, "train"))) is TrainPartRecipe
    assert find_section(find_slot(("class_weights",))) is None
    assert find_section(None) is None
    assert find_item_section(None) is None


def test_words_are_listed_also_where_a_word_stands_for_a_mapping() -> None:
    words = {path: find_slot(("phases", 0, path)) for path in ("train", "schedule", "epochs")}
    assert {path: list_literals(slot) for path, slot in words.items() if slot is not None} == {
        "train": ["head", "all"],
        "schedule": list(KINDS),
        "epochs": [],
    }


def test_every_key_is_visited_and_has_a_meaning() -> None:
    keys = dict(iterate_keys())
    assert {"data.columns.file", "phases[].schedule.kind", "model.layers[].conv"} <= set(keys)
    assert len(keys) > 100
    for name, slot in keys.items():
        assert slot.field is not None
        assert slot.field.description, f"{name} has no description"
        assert "a value" not in describe_slot(slot), f"{name} has no words for its type"


def test_a_slot_without_bounds_has_none() -> None:
    slot = find_slot(("name",))
    assert slot is not None
    assert describe_bounds(slot) == ""
