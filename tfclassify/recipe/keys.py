"""The schema as a tree of keys: what each place of a recipe may hold, in words.

Owns: walking the schema along a key path, the words for a type and its bounds.
Does not own: the schema, the messages (``problems``), the documents (``reference``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from tfclassify.recipe import fields
from tfclassify.recipe.schema import Recipe, Section
from tfclassify.recipe.wording import KeyPath, join_names

_BASIC = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True)
class Slot:
    """What one place of a recipe may hold.

    Attributes:
        annotation: The type, without its outermost ``Annotated``.
        metadata: Bounds and validators of the type.
        field: The schema's field, where the place is a key of a section.
    """

    annotation: Any
    metadata: tuple[Any, ...] = ()
    field: FieldInfo | None = None


def find_slot(path: KeyPath) -> Slot | None:
    """Return what the place at ``path`` may hold, or None if there is no such place."""
    slot: Slot | None = Slot(Recipe)
    for step in path:
        if slot is None:
            return None
        slot = _find_child(slot, step)
    return slot


def find_section(slot: Slot | None) -> type[Section] | None:
    """Return the section that a slot may hold, if it may hold one."""
    for arm in _list_arms(slot) if slot is not None else ():
        if isinstance(arm.annotation, type) and issubclass(arm.annotation, Section):
            return arm.annotation
    return None


def find_item_section(slot: Slot | None) -> type[Section] | None:
    """Return the section that each item of a slot's list is, if it is one."""
    for arm in _list_arms(slot) if slot is not None else ():
        if get_origin(arm.annotation) is tuple and find_section(_find_child(arm, 0)) is not None:
            return find_section(_find_child(arm, 0))
    return None


def iterate_keys(section: type[Section] = Recipe, prefix: str = "") -> Iterator[tuple[str, Slot]]:
    """Yield every key of the schema with its slot, sections before their keys.

    Keys inside a list of sections are written ``phases[].epochs``.
    """
    for name, field in section.model_fields.items():
        slot = _from_field(field)
        yield prefix + name, slot
        nested, item = find_section(slot), find_item_section(slot)
        if nested is not None:
            yield from iterate_keys(nested, f"{prefix}{name}.")
        elif item is not None:
            yield from iterate_keys(item, f"{prefix}{name}[].")


def list_literals(slot: Slot) -> list[str]:
    """Return the words that a slot names, such as ``head`` and ``all``."""
    words: list[str] = []
    for arm in _list_arms(slot):
        if get_origin(arm.annotation) is Literal:
            words += [word for word in get_args(arm.annotation) if isinstance(word, str)]
        elif _is_named_by_kind(arm):
            words += list_literals(_from_field(arm.annotation.model_fields["kind"]))
    return words


def _is_named_by_kind(arm: Slot) -> bool:
    """Say whether a word may stand for a section of that kind, as ``cosine`` does."""
    return any(
        isinstance(item, BeforeValidator) and item.func is fields.to_kind for item in arm.metadata
    )


def describe_slot(slot: Slot) -> str:
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


def describe_bounds(slot: Slot) -> str:
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


def _from_field(field: FieldInfo) -> Slot:
    return Slot(field.annotation, tuple(field.metadata), field)


def _unwrap(annotation: Any, metadata: tuple[Any, ...] = ()) -> Slot:
    """Move an ``Annotated``'s metadata to where a field keeps its own."""
    if get_origin(annotation) is not Annotated:
        return Slot(annotation, metadata)
    inner, *extras = get_args(annotation)
    for extra in extras:
        metadata += tuple(extra.metadata) if isinstance(extra, FieldInfo) else (extra,)
    return _unwrap(inner, metadata)


def _list_arms(slot: Slot) -> list[Slot]:
    """Return the alternatives of a union, or the slot itself."""
    if get_origin(slot.annotation) not in (Union, UnionType):
        return [slot]
    arms = [_unwrap(arm, slot.metadata) for arm in get_args(slot.annotation)]
    return [leaf for arm in arms for leaf in _list_arms(arm)]


def _find_child(slot: Slot, step: str | int) -> Slot | None:
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


def _describe_arm(arm: Slot) -> str:
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
        section = find_section(item)
        if section is not None:
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
