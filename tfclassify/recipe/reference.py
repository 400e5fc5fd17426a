"""The schema as a tree of keys: what each may hold, in words and as texts.

Owns: walking the schema along a key path, the words for a type and its bounds, the JSON
Schema for editors and the Markdown for people, generated so that they cannot fall behind.
Does not own: the schema, the messages (``problems``), where the texts are written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tfclassify.augmentations.catalogue import AUGMENTATIONS, BUILT_IN
from tfclassify.recipe import fields
from tfclassify.recipe.document import BASE_KEY, render_inline
from tfclassify.recipe.names import (
    ACTIVATION_NAMES,
    BACKBONE_NAMES,
    INITIALIZER_NAMES,
    METRIC_NAMES,
    MULTI_LABEL_METRIC_NAMES,
    OUTSIDE_SOURCES,
)
from tfclassify.recipe.schema import Recipe, Section
from tfclassify.recipe.wording import KeyPath, join_names

_BASIC = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class KeySlot:
    """What one place of a recipe may hold.

    Attributes:
        annotation: The type, without its outermost ``Annotated``.
        metadata: Bounds and validators of the type.
        field: The schema's field, where the place is a key of a section.
    """

    annotation: Any
    metadata: tuple[Any, ...] = ()
    field: FieldInfo | None = None


def find_slot(path: KeyPath) -> KeySlot | None:
    """Return what the place at ``path`` may hold, or None if there is no such place."""
    slot: KeySlot | None = KeySlot(Recipe)
    for step in path:
        if slot is None:
            return None
        slot = _find_child(slot, step)
    return slot


def find_section(slot: KeySlot | None) -> type[Section] | None:
    """Return the section that a slot may hold, if it may hold one."""
    for arm in _list_arms(slot) if slot is not None else ():
        if isinstance(arm.annotation, type) and issubclass(arm.annotation, Section):
            return arm.annotation
    return None


def find_item_section(slot: KeySlot | None) -> type[Section] | None:
    """Return the section that each item of a slot's list or mapping is, if it is one."""
    for arm in _list_arms(slot) if slot is not None else ():
        is_list = get_origin(arm.annotation) is tuple
        if is_list or get_origin(arm.annotation) is dict:
            found = find_section(_find_child(arm, 0 if is_list else "KEY"))
            if found is not None:
                return found
    return None


def mark_items(slot: KeySlot) -> str:
    """Write what stands for any item of a slot: ``[]`` of a list, ``.KEY`` of a mapping."""
    has_list = any(get_origin(arm.annotation) is tuple for arm in _list_arms(slot))
    return "[]" if has_list else ".KEY"


def iterate_keys(
    section: type[Section] = Recipe, prefix: str = ""
) -> Iterator[tuple[str, KeySlot]]:
    """Yield every key of the schema with its slot, sections before their keys.

    Keys inside a list of sections are written ``phases[].epochs``, those inside a mapping
    of sections ``search.KEY.range``.
    """
    for name, field in section.model_fields.items():
        slot = _from_field(field)
        yield prefix + name, slot
        nested, item = find_section(slot), find_item_section(slot)
        if nested is not None:
            yield from iterate_keys(nested, f"{prefix}{name}.")
        elif item is not None:
            yield from iterate_keys(item, f"{prefix}{name}{mark_items(slot)}.")


def list_literals(slot: KeySlot) -> list[str]:
    """Return the words that a slot names, such as ``head`` and ``all``."""
    words: list[str] = []
    for arm in _list_arms(slot):
        if get_origin(arm.annotation) is Literal:
            words += [word for word in get_args(arm.annotation) if isinstance(word, str)]
        elif _is_named_by_kind(arm):
            words += list_literals(_from_field(arm.annotation.model_fields["kind"]))
    return words


def _is_named_by_kind(arm: KeySlot) -> bool:
    """Say whether a word may stand for a section of that kind, as ``cosine`` does."""
    return any(
        isinstance(item, BeforeValidator) and item.func is fields.to_kind for item in arm.metadata
    )


def describe_slot(slot: KeySlot) -> str:
    """Say what a slot may hold: ``a whole number of at least 1 or null``."""
    words: list[str] = []
    arms = _list_arms(slot)
    for arm in arms:
        if get_origin(arm.annotation) is Literal:
            words += [str(word) for word in get_args(arm.annotation)]
        elif arm.annotation is not NoneType:
            words.append(_describe_arm(arm))
    text = join_names(dict.fromkeys(words))
    return f"{text}, or null" if any(arm.annotation is NoneType for arm in arms) else text


def describe_bounds(slot: KeySlot) -> str:
    """Say a number's bounds, ``from 0 to 1`` or ``at least 1``; empty if it has none."""
    bounds = {
        type(item).__name__.lower(): item for arm in _list_arms(slot) for item in arm.metadata
    }
    ge, le = (getattr(bounds.get(name), name, None) for name in ("ge", "le"))
    gt, lt = (getattr(bounds.get(name), name, None) for name in ("gt", "lt"))
    if ge is not None and le is not None:
        return f"from {_round(ge)} to {_round(le)}"
    signed = {"at least": ge, "above": gt, "at most": le, "below": lt}
    return " and ".join(f"{sign} {_round(at)}" for sign, at in signed.items() if at is not None)


def _round(number: Any) -> str:
    """Write 1.0 as 1."""
    return str(int(number)) if number == int(number) else str(number)


def _from_field(field: FieldInfo) -> KeySlot:
    return KeySlot(field.annotation, tuple(field.metadata), field)


def _unwrap(annotation: Any, metadata: tuple[Any, ...] = ()) -> KeySlot:
    """Move an ``Annotated``'s metadata to where a field keeps its own."""
    if get_origin(annotation) is not Annotated:
        return KeySlot(annotation, metadata)
    inner, *extras = get_args(annotation)
    for extra in extras:
        metadata += tuple(extra.metadata) if isinstance(extra, FieldInfo) else (extra,)
    return _unwrap(inner, metadata)


def _list_arms(slot: KeySlot) -> list[KeySlot]:
    """Return the alternatives of a union, or the slot itself."""
    if get_origin(slot.annotation) not in (Union, UnionType):
        return [slot]
    arms = [_unwrap(arm, slot.metadata) for arm in get_args(slot.annotation)]
    return [leaf for arm in arms for leaf in _list_arms(arm)]


def _find_child(slot: KeySlot, step: str | int) -> KeySlot | None:
    for arm in _list_arms(slot):
        annotation, arguments = arm.annotation, get_args(arm.annotation)
        if isinstance(step, int):
            if get_origin(annotation) is tuple and arguments:
                return _unwrap(
                    arguments[min(step, len(arguments) - 1) if arguments[-1] is not ... else 0]
                )
        elif get_origin(annotation) is dict:
            return _unwrap(arguments[1])
        elif isinstance(annotation, type) and issubclass(annotation, Section):
            field = annotation.model_fields.get(step)
            return _from_field(field) if field is not None else None
    return None


def _describe_arm(arm: KeySlot) -> str:
    """Describe one alternative that is neither null nor a choice of words."""
    annotation, arguments = arm.annotation, get_args(arm.annotation)
    origin = get_origin(annotation)
    validators = [item.func for item in arm.metadata if isinstance(item, BeforeValidator)]
    if fields.to_pair in validators:
        return "[low, high] or one number for both sides"
    if fields.to_size in validators:
        return "[height, width] or one number, each " + describe_bounds(_unwrap(arguments[0]))
    if origin is tuple:
        return _describe_list(arguments)
    if origin is dict and _unwrap(arguments[1]).annotation is Any:
        return "a mapping of keys to values"
    if origin is dict:
        return f"a mapping of names to {_make_plural(describe_slot(_unwrap(arguments[1])))}"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        keys = f"a mapping with the keys {join_names(annotation.model_fields, 'and')}"
        kinds = list_literals(arm)
        return f"{join_names(kinds)}, or {keys}" if kinds else keys
    bounds = describe_bounds(arm)
    words = _BASIC.get(annotation, "a value")
    return f"{words} {'of ' if bounds.startswith('at') else ''}{bounds}" if bounds else words


def _describe_list(arguments: tuple[Any, ...]) -> str:
    if arguments[-1] is ...:
        item = _unwrap(arguments[0])
        if item.annotation is Any:
            return "a list of values"
        if find_section(item) is not None:
            return "a list of mappings"
        return f"a list of {_make_plural(describe_slot(item))}"
    bounds = describe_bounds(_unwrap(arguments[0]))
    return "[low, high]" + (f", each {bounds}" if bounds else "")


def _make_plural(words: str) -> str:
    for one, many in (
        ("a whole number", "whole numbers"),
        ("a number", "numbers"),
        ("text", "texts"),
    ):
        if words.startswith(one):
            return many + words[len(one) :]
    return words


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
    _admit_choices(schema)
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
    for name in BUILT_IN:
        if AUGMENTATIONS[name].key.kind == "range":
            _add_alternative(augment[name], {"type": "number"})
    schedule = definitions["PhaseRecipe"]["properties"]["schedule"]
    kind = definitions["ScheduleRecipe"]["properties"]["kind"]
    _add_alternative(schedule, {"type": "string", "enum": kind["enum"]})


def _admit_choices(schema: dict[str, Any]) -> None:
    """Let a plain list stand for the choices of a search's key."""
    choices = schema["$defs"]["DimensionRecipe"]["properties"]["choices"]["anyOf"][0]
    for arm in schema["properties"]["search"]["anyOf"]:
        if "additionalProperties" in arm:
            arm["additionalProperties"] = {"anyOf": [choices, arm["additionalProperties"]]}


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
            section, title = find_item_section(slot), f"{name}{mark_items(slot)}"
        if section is not None:
            summary = (section.__doc__ or "").strip().splitlines()[0]
            parts.append(f"## `{title}`\n\n{summary}\n")
            parts.append(_render_table(title, section, []))
    parts.append(_render_names())
    return "\n".join(parts)


def _render_table(prefix: str, section: type[BaseModel], first_rows: list[str]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|", *first_rows]
    for name, field in section.model_fields.items():
        slot = KeySlot(field.annotation, tuple(field.metadata), field)
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(
            f"| `{name}` | {_word_type(prefix, name, slot)} | {_word_default(field.default)} "
            f"| {meaning} |"
        )
    return "\n".join(rows) + "\n"


def _word_type(prefix: str, name: str, slot: KeySlot) -> str:
    """Describe the type; what has its own table or list of names is a link to it."""
    words = describe_slot(slot).replace("|", "\\|")
    null = ", or null" if words.endswith(", or null") else ""
    if name in _NAMES and words.startswith("text"):
        return f"[name](#names){null}"
    title = f"{prefix}.{name}" if prefix else name
    # What a web view of Markdown makes of the heading.
    anchor = "".join(sign for sign in title.lower() if sign.isalnum() or sign in "_-")
    if find_item_section(slot) is not None and mark_items(slot) == "[]":
        return f"a list of [mappings](#{anchor})"
    if find_item_section(slot) is not None:
        words = words.partition("a mapping of")[0]
        return f"{words}a mapping of keys to [mappings](#{anchor}key){null}"
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
