from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tfclassify.recipe.reference import (
    describe_bounds,
    describe_slot,
    find_item_section,
    find_section,
    find_slot,
    iterate_keys,
    json_schema,
    list_literals,
    render_reference,
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
    assert {"data.columns.file", "phases[].schedule.kind", "search.KEY.log"} <= set(keys)
    assert "model.layers[].conv" in keys
    assert len(keys) > 100
    for name, slot in keys.items():
        assert slot.field is not None
        assert slot.field.description, f"{name} has no description"
        assert "a value" not in describe_slot(slot), f"{name} has no words for its type"


def test_a_slot_without_bounds_has_none() -> None:
    slot = find_slot(("name",))
    assert slot is not None
    assert describe_bounds(slot) == ""


SCHEMA_KINDS = ("constant", "cosine", "plateau", "one_cycle", "multi_step", "exponential")


def find(schema: dict[str, Any], path: str) -> dict[str, Any]:
    """Walk a JSON Schema along ``phases[].schedule.kind`` or ``search.KEY.log``."""
    shape: dict[str, Any] = schema
    inner = {"[]": "items", "KEY": "additionalProperties"}
    for name in path.replace("[]", ".[]").split("."):
        shape = resolve(schema, shape, inner.get(name, "properties"))
        shape = shape[inner[name]] if name in inner else shape["properties"][name]
    return shape


def resolve(schema: dict[str, Any], shape: dict[str, Any], wanted: str) -> dict[str, Any]:
    for arm in [shape, *shape.get("anyOf", [])]:
        target = schema["$defs"][arm["$ref"].rpartition("/")[2]] if "$ref" in arm else arm
        for inner in [target, *target.get("anyOf", [])]:
            if "$ref" in inner:
                inner = schema["$defs"][inner["$ref"].rpartition("/")[2]]
            if wanted in inner:
                return inner
    raise AssertionError(f"no {wanted} in {shape}")


def test_the_json_schema_has_every_key_with_its_meaning() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for path, slot in iterate_keys():
        assert slot.field is not None
        assert find(schema, path)["description"] == slot.field.description


def test_the_json_schema_takes_what_the_loader_takes() -> None:
    schema = json_schema()
    assert {"type": "number"} in find(schema, "augment.rotate")["anyOf"]
    size = {"type": "integer", "minimum": 8, "maximum": 4096}
    assert size in find(schema, "data.image_size")["anyOf"]
    kinds = {"type": "string", "enum": list(SCHEMA_KINDS)}
    assert kinds in find(schema, "phases[].schedule")["anyOf"]
    assert schema["properties"]["base"]["type"] == "string"
    assert {"required": ["base"]} in schema["anyOf"]
    assert schema["additionalProperties"] is False


def test_the_json_schema_admits_backbones_outside_of_the_catalog() -> None:
    schema = json_schema()
    for path in ("model.backbone", "model.stack[].backbone"):
        names, outside = find(schema, path)["anyOf"]
        assert "convnext_large" in names["enum"]
        for text in ("hub:https://tfhub.dev/a/b/1", "hub:folder", "keras_hub:vit_base"):
            assert re.search(outside["pattern"], text)
        for text in ("", "hub:", "keras_hub:", "hubble:a", "resnet"):
            assert not re.search(outside["pattern"], text)
    member, mapping = find(schema, "model.stack")["items"]["anyOf"]
    assert {"type": "string"}.items() <= member["anyOf"][0].items()
    assert "convnext_large" in member["anyOf"][0]["enum"]
    assert mapping == {"$ref": "#/$defs/StackMemberRecipe"}


def test_the_reference_has_a_row_for_every_key() -> None:
    text = render_reference()
    tables = dict(re.findall(r"^## `(.+?)`\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL))
    for path, slot in iterate_keys():
        section, _, name = path.rpartition(".")
        table = tables[section] if section else text.partition("\n## ")[0]
        assert slot.field is not None
        assert re.search(rf"^\| `{name}` \| .+ \| .+ \| .*\|$", table, re.MULTILINE), path


ROWS = """\
| `batch_size` | a whole number from 1 to 65536 or auto | `32` | Images
| `backbone` | [name](#names) | **required** | As model.backbone;
| `mix` | a [mapping](#augmentmix) | its defaults | CutMix and
| `erasing` | a [mapping](#augmenterasing), or null | `null` | Random
| `phases` | a list of [mappings](#phases) | **required** | Stretches
| `separator` | text | `","` | Field separator
| `extension` | text, or null | `null` | Extension that
"""


@pytest.mark.parametrize("row", ROWS.splitlines())
def test_a_row_says_type_default_and_meaning(row: str) -> None:
    assert f"\n{row} " in render_reference()


def test_every_link_of_the_reference_has_its_heading() -> None:
    text = render_reference()
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    # What a web view makes of a heading: lower case, no punctuation, spaces as dashes.
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert len(anchors) == len(headings)
    assert set(re.findall(r"\]\(#(.*?)\)", text)) <= anchors
