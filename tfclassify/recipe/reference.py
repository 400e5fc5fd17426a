"""The reference of every recipe key: JSON Schema for editors, Markdown for people.

Owns: both texts, generated from the schema so that they cannot fall behind it.
Does not own: the schema, where the texts are written.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tfclassify.recipe.backbone_names import BACKBONE_NAMES, OUTSIDE_SOURCES
from tfclassify.recipe.inheritance import BASE_KEY
from tfclassify.recipe.keys import (
    Slot,
    describe_slot,
    find_item_section,
    find_section,
    iterate_keys,
)
from tfclassify.recipe.layer_names import ACTIVATION_NAMES, INITIALIZER_NAMES
from tfclassify.recipe.metric_names import METRIC_NAMES, MULTI_LABEL_METRIC_NAMES
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.writing import render_inline

_BASE_MEANING = (
    "Another recipe, relative to this file, that this one changes: mappings are merged key by "
    "key, everything else is replaced."
)
_METRICS = tuple(dict.fromkeys((*METRIC_NAMES, *MULTI_LABEL_METRIC_NAMES)))
#: Key -> names that the schema itself leaves open, for completion in editors.
_NAMES = {
    "backbone": BACKBONE_NAMES,
    "metric": _METRICS,
    "keep_best": _METRICS,
    "activation": ACTIVATION_NAMES,
    "initializer": INITIALIZER_NAMES,
}
#: A backbone that is not of the catalog.
_OUTSIDE = {"type": "string", "pattern": f"^({'|'.join(OUTSIDE_SOURCES)}).+"}
_PAIR_KEYS = ("rotate", "zoom", "shift", "shear", "brightness", "contrast", "saturation", "hue")


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a recipe file.

    It takes what a file may say, shorthands and ``base`` included. A file with ``base``
    has no required keys; what is missing is judged after the merge.
    """
    schema = Recipe.model_json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    _admit_shorthands(definitions)
    for section in (schema, *definitions.values()):
        for key, shape in section.get("properties", {}).items():
            shape.pop("title", None)
            if key in _NAMES:
                _name_values(shape, _NAMES[key])
            if key == "backbone":
                _add_alternative(shape, _OUTSIDE, is_first=False)
    _admit_member_names(definitions)
    definitions["DataRecipe"].pop("required")
    schema["properties"] = {
        BASE_KEY: {"type": "string", "description": _BASE_MEANING},
        **schema["properties"],
    }
    complete = {
        "required": schema.pop("required"),
        "properties": {
            "data": {"required": ["source"]},
            "model": {"anyOf": [{"required": ["backbone"]}, {"required": ["stack"]}]},
        },
    }
    schema["anyOf"] = [{"required": [BASE_KEY]}, complete]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "tfclassify recipe",
    }


def _admit_shorthands(definitions: dict[str, Any]) -> None:
    """Let one number or word stand where the loader lets it stand."""
    image_size = definitions["DataRecipe"]["properties"]["image_size"]
    side = image_size["prefixItems"][0]
    _add_alternative(image_size, side)
    augment = definitions["AugmentRecipe"]["properties"]
    for key in _PAIR_KEYS:
        _add_alternative(augment[key], {"type": "number"})
    schedule = definitions["PhaseRecipe"]["properties"]["schedule"]
    kind = definitions["ScheduleRecipe"]["properties"]["kind"]
    _add_alternative(schedule, {"type": "string", "enum": kind["enum"]})


def _admit_member_names(definitions: dict[str, Any]) -> None:
    """Let a name alone stand for a member of a stack."""
    names = definitions["StackMemberRecipe"]["properties"]["backbone"]["anyOf"]
    stack = definitions["ModelRecipe"]["properties"]["stack"]
    stack["items"] = {"anyOf": [{"anyOf": names}, stack["items"]]}


def _add_alternative(
    shape: dict[str, Any], other: dict[str, Any], *, is_first: bool = True
) -> None:
    kept = {"description", "default", "title"}
    own = {key: shape.pop(key) for key in list(shape) if key not in kept}
    shape["anyOf"] = [other, own] if is_first else [own, other]


def _name_values(shape: dict[str, Any], names: tuple[str, ...]) -> None:
    for arm in shape.get("anyOf", [shape]):
        if arm.get("type") == "string":
            arm["enum"] = list(names)


def render_reference() -> str:
    """Return the Markdown reference of every key: type, default, meaning."""
    parts = [
        "# The recipe, key by key\n",
        "Generated from the schema. A key that is not listed here is an error. Lists are written "
        "`phases[]`; `--set phases[1].epochs=3` changes one item, `phases[].epochs=3` every one.\n",
        _render_table("", Recipe, [f"| `{BASE_KEY}` | text | — | {_BASE_MEANING} |"]),
    ]
    for name, slot in iterate_keys():
        section, title = find_section(slot), name
        if section is None:
            section, title = find_item_section(slot), f"{name}[]"
        if section is not None:
            summary = (section.__doc__ or "").strip().splitlines()[0]
            parts.append(f"## `{title}`\n\n{summary}\n")
            parts.append(_render_table(title, section, []))
    parts.append(_render_names())
    return "\n".join(parts)


def _render_table(prefix: str, section: type[BaseModel], first_rows: list[str]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|", *first_rows]
    for name, field in section.model_fields.items():
        slot = Slot(field.annotation, tuple(field.metadata), field)
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(
            f"| `{name}` | {_word_type(prefix, name, slot)} | {_word_default(field.default)} "
            f"| {meaning} |"
        )
    return "\n".join(rows) + "\n"


def _word_type(prefix: str, name: str, slot: Slot) -> str:
    """Describe the type; what has its own table or list of names is a link to it."""
    words = describe_slot(slot).replace("|", "\\|")
    null = ", or null" if words.endswith(", or null") else ""
    if name in _NAMES and words.startswith("text"):
        return f"[name](#names){null}"
    title = f"{prefix}.{name}" if prefix else name
    # What a web view of Markdown makes of the heading.
    anchor = "".join(sign for sign in title.lower() if sign.isalnum() or sign in "_-")
    if find_item_section(slot) is not None:
        return f"a list of [mappings](#{anchor})"
    if find_section(slot) is not None:
        return f"{words.partition('a mapping with')[0]}a [mapping](#{anchor}){null}"
    return words


def _word_default(default: Any) -> str:
    if default is PydanticUndefined:
        return "**required**"
    if isinstance(default, BaseModel):
        return "its defaults"
    content = list(default) if isinstance(default, tuple) else default
    text = render_inline(content)
    return f"`{text}`" if text not in ("''", '""') else "empty"


def _render_names() -> str:
    titles = {
        "Backbones": BACKBONE_NAMES,
        "Metrics": METRIC_NAMES,
        "Activations": ACTIVATION_NAMES,
        "Initialisers": INITIALIZER_NAMES,
    }
    blocks = [
        f"**{title}:** {', '.join(f'`{name}`' for name in names)}."
        for title, names in titles.items()
    ]
    return "## Names\n\n" + "\n\n".join(blocks) + "\n"
