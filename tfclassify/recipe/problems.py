"""Every fault of a recipe's content, in this project's words.

Owns: the message and the place of every fault that the schema reports, and the rounds of
checking in which what is wrong is taken out so that the rest can be judged. Does not own:
the schema, the checks across keys (``schema``), lines (``loading``).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from tfclassify.errors import Problem, RecipeError
from tfclassify.recipe.document import BASE_KEY, is_text
from tfclassify.recipe.fields import Section
from tfclassify.recipe.reference import (
    KeySlot,
    describe_bounds,
    describe_slot,
    find_section,
    find_slot,
    iterate_keys,
    list_literals,
)
from tfclassify.recipe.schema import SINGLE_VALUES, Recipe, check_recipe, fill_defaults
from tfclassify.recipe.wording import KeyPath, find_nearest, join_names, render_path, show, suggest

_PATTERNS = {
    "name": "must start with a letter or digit and continue with letters, digits, '.', '_' or '-'",
    "sha256": "must be 64 lower-case hexadecimal digits",
}
#: Faults that are told at once; a file with more of them is no recipe.
MAX_FAULTS = 100
_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
_NO_VALUE = object()


@dataclass(frozen=True)
class Fault:
    """One fault of a document, not yet tied to a line.

    Attributes:
        path: The key, as far as it is in the document or should be.
        kind: The schema's name for it, such as ``missing``; ``check`` for our own checks.
        message: What is wrong, what was got, what is allowed.
        meant: The key that an unknown key was probably meant to be.
    """

    path: KeyPath
    kind: str
    message: str
    meant: str | None = None


def list_faults(error: ValidationError, content: Any) -> list[Fault]:
    """Translate what the schema reported about ``content``.

    Args:
        error: The schema's report.
        content: The document that was checked: plain mappings, lists and scalars.

    Returns:
        One fault for each thing that a user has to change, without repetition; at most
        ``MAX_FAULTS``.
    """
    faults: dict[tuple[KeyPath, str], Fault] = {}
    for item in error.errors(include_url=False, include_input=False):
        if len(faults) == MAX_FAULTS:
            break
        kind = item["type"]
        path, is_alternative = _trace(content, item["loc"], kind)
        value = _get(content, path)
        if is_alternative and isinstance(value, dict) and kind == "literal_error":
            continue  # the mapping is judged as a mapping, not as one of the words
        if (
            kind == "too_short"
            and isinstance(value, list)
            and len(value) >= item["ctx"]["min_length"]
        ):
            continue  # only the items that failed were not counted
        if is_alternative and not isinstance(value, dict):
            kind = "alternative"
        fault = _make_fault(path, kind, value, item.get("ctx", {}))
        faults.setdefault((fault.path, fault.message), fault)
    # A key that is there under a misspelt name is not missing as well.
    meant = {(*fault.path[:-1], fault.meant) for fault in faults.values() if fault.meant}
    return [
        fault for fault in faults.values() if fault.kind != "missing" or fault.path not in meant
    ]


def _trace(content: Any, location: tuple[str | int, ...], kind: str) -> tuple[KeyPath, bool]:
    """Turn the schema's location into a key path of the document.

    The schema also names the alternatives it tried and the parts of values that stand
    for more than they say (``image_size: 96``); neither is in the document.

    Returns:
        The path, and whether the fault is about one of several alternatives as a whole.
    """
    path: list[str | int] = []
    is_alternative = False
    for number, step in enumerate(location):
        is_last = number == len(location) - 1
        is_here = (isinstance(content, dict) and isinstance(step, str) and step in content) or (
            isinstance(content, list) and isinstance(step, int) and step < len(content)
        )
        if is_here:
            path.append(step)
            content = content[step]
        elif is_last and kind == "missing" and isinstance(step, str):
            path.append(step)
        elif isinstance(step, str):
            is_alternative = is_last and find_section_key(tuple(path), step) is None
    return tuple(path), is_alternative


def find_section_key(path: KeyPath, key: str) -> KeySlot | None:
    """Return what ``key`` may hold inside of the section at ``path``."""
    section = find_section(find_slot(path))
    return find_slot((*path, key)) if section is not None and key in section.model_fields else None


def _get(content: Any, path: KeyPath) -> Any:
    for step in path:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return _NO_VALUE
    return content


def _make_fault(path: KeyPath, kind: str, value: Any, context: dict[str, Any]) -> Fault:
    if kind == "value_error":
        return _make_section_fault(path, str(context["error"]))
    if kind == "extra_forbidden":
        return _make_unknown_fault(path)
    slot = find_slot(path)
    if kind == "missing" and value is _NO_VALUE:
        meaning = slot.field.description if slot is not None and slot.field is not None else ""
        message = f"missing; it is required: {meaning}"
    elif slot is None:
        message = f"is not allowed here, got {show(value)}"
    else:
        message = _word_misfit(path, kind, value, slot)
    return Fault(path, kind, message)


def _make_section_fault(path: KeyPath, message: str) -> Fault:
    """Put a section's own check at the key that it speaks of first, if it speaks of one."""
    first, _, rest = message.partition(" ")
    if rest.startswith("must") and find_section_key(path, first) is not None:
        return Fault((*path, first), "value_error", rest)
    return Fault(path, "value_error", message)


def _make_unknown_fault(path: KeyPath) -> Fault:
    key = str(path[-1])
    section = find_section(find_slot(path[:-1]))
    allowed = list(section.model_fields) if section is not None else []
    if len(path) == 1:
        allowed.append(BASE_KEY)
    nearest = find_nearest(key, allowed)
    homes = [name for name, _ in iterate_keys() if name.rpartition(".")[2] == key]
    if nearest is not None:
        message = f"unknown key {key!r}; did you mean {nearest!r}?"
    elif homes:
        message = f"unknown key {key!r} here; it is known as {join_names(homes)}"
    else:
        message = f"unknown key {key!r}; allowed are {join_names(allowed, 'and')}"
    return Fault(path, "extra_forbidden", message, None if nearest == BASE_KEY else nearest)


def _word_misfit(path: KeyPath, kind: str, value: Any, slot: KeySlot) -> str:
    """Say what a value must be instead."""
    got = f"got {show(value)}"
    if kind in _BOUNDS:
        return f"must be {describe_bounds(slot) or describe_slot(slot)}, {got}"
    if kind == "string_pattern_mismatch":
        return f"{_PATTERNS.get(str(path[-1]), 'is not well formed')}, {got}"
    if kind == "string_too_short":
        return f"must not be empty, {got}"
    if kind == "string_too_long":
        return f"is too long, {got} of {len(value)} characters"
    if kind == "too_short":
        return f"must have at least one item, {got}"
    if kind == "finite_number":
        return f"must be a finite number, {got}"
    words = list_literals(slot)
    allowed = describe_slot(slot)
    if kind == "literal_error" and len(words) > 1:
        allowed = f"one of {', '.join(words)}"
    hint = suggest(value, words)
    is_scalar = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "string_type" and is_scalar:
        hint = f'; put it in quotes: "{value}"'
    return f"must be {allowed}, {got}{hint}"


def drop_related(faults: Iterable[Fault], known: Iterable[KeyPath]) -> list[Fault]:
    """Leave out the faults that follow from a place already known to be wrong.

    Those are the faults at, above or below such a place; but a section's own check only
    follows from a wrong key of the section if it speaks of that key.
    """
    places = list(known)
    return [fault for fault in faults if not any(_follows(fault, place) for place in places)]


def _follows(fault: Fault, place: KeyPath) -> bool:
    depth = len(fault.path)
    if place[:depth] == fault.path and len(place) > depth and fault.kind == "value_error":
        return str(place[depth]) in re.findall(r"\w+", fault.message)
    return place[:depth] == fault.path or fault.path[: len(place)] == place


#: Values that stand in for required keys while the rest of a faulty recipe is checked.
_STAND_INS: dict[str, Any] = {
    "name": "unnamed",
    "data": {"source": "data"},
    "source": "data",
    "model": {"backbone": "efficientnet_lite0"},
    "backbone": "efficientnet_lite0",
    "phases": [{"name": "unnamed", "epochs": 1}],
    "epochs": 1,
}
_ROUNDS = 6


def validate(content: Any) -> tuple[Recipe | None, list[Fault]]:
    """Check plain content against the schema and across sections.

    Args:
        content: Mappings, lists and scalars, as a document holds them.

    Returns:
        The whole recipe, None if there are faults; and every fault.
    """
    draft = _Draft(content)
    draft.take_out(list(islice(_find_broken_texts(content), MAX_FAULTS)))
    for _ in range(_ROUNDS):
        try:
            shaped = _to_tuples(draft.content)
            recipe = Recipe.model_validate(shaped, strict=True, context=SINGLE_VALUES)
        except ValidationError as error:
            draft.take_out(list_faults(error, draft.content))
            more = error.error_count() - MAX_FAULTS
            if more > 0:
                told = f"there are at least {more:,} more problems; mend these first"
                draft.faults.append(Fault((), "check", told))
                break
            continue
        recipe = fill_defaults(recipe)
        found = islice(check_recipe(recipe), MAX_FAULTS)
        draft.note([Fault(path, "check", message) for path, message in found])
        return (None if draft.faults else recipe), draft.faults
    return None, draft.faults


def check_content(value: Any) -> Recipe:
    """Check what a recipe is to be made of in Python, as a file's content is checked.

    Raises:
        RecipeError: With every problem and its path.
    """
    recipe, faults = validate(to_plain(value))
    if recipe is None:
        problems = [Problem(render_path(fault.path), fault.message) for fault in faults]
        raise RecipeError("recipe", problems)
    return recipe


def to_plain(value: Any) -> Any:
    """Return the mappings, lists and scalars that a file would hold; paths become text."""
    if isinstance(value, Section):
        # What was not written stays so, since defaults may give way to other keys.
        return {key: to_plain(getattr(value, key)) for key in value.model_fields_set}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, PurePath) else value


def _find_broken_texts(value: Any, path: KeyPath = ()) -> Iterator[Fault]:
    """Find texts that no file can hold, since they are no UTF-8."""
    if isinstance(value, str) and not is_text(value):
        yield Fault(path, "text", f"not valid text: half of a character, got {show(value)}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _find_broken_texts(item, (*path, number))
    elif isinstance(value, dict):
        for key, item in value.items():
            if is_text(key):
                yield from _find_broken_texts(item, (*path, key))
            else:
                told = f"a key is not valid text: half of a character, got {show(key)}"
                yield Fault(path, "text", told)


def _to_tuples(value: Any) -> Any:
    """Turn lists into tuples, which is what the strict schema asks for."""
    if isinstance(value, dict):
        return {key: _to_tuples(item) for key, item in value.items()}
    return tuple(_to_tuples(item) for item in value) if isinstance(value, list) else value


class _Draft:
    """A recipe's content on the way to being valid, and what was wrong with it."""

    def __init__(self, content: Any) -> None:
        self.content = content
        self.faults: list[Fault] = []
        self._wrong: list[KeyPath] = []
        self._renamed: dict[KeyPath, KeyPath] = {}

    def note(self, found: list[Fault]) -> None:
        """Remember faults, but for those that follow from earlier ones."""
        for fault in drop_related(found, self._wrong):
            self.faults.append(replace(fault, path=self._restore(fault.path)))

    def _restore(self, path: KeyPath) -> KeyPath:
        """Return a path as the user wrote it, misspelt keys included."""
        for length in range(len(path), 0, -1):
            written = self._renamed.get(path[:length])
            if written is not None:
                return (*self._restore(written[:-1]), written[-1], *path[length:])
        return path

    def take_out(self, found: list[Fault]) -> None:
        """Remember faults and take them out of a copy of the content."""
        self.note(found)
        self.content = copy.deepcopy(self.content)
        for fault in found:
            if fault.kind != "extra_forbidden":
                self._wrong.append(fault.path)
            self._repair(fault)

    def _repair(self, fault: Fault) -> None:
        """Rename, replace or remove the innermost key or phase that a fault lies in."""
        path, parents = fault.path, [self.content]
        for step in path[:-1]:
            try:
                parents.append(parents[-1][step])
            except (KeyError, IndexError, TypeError):
                return  # a fault above has already been repaired
        for depth in range(len(path) - 1, -1, -1):
            parent, step = parents[depth], path[depth]
            if isinstance(parent, dict):
                self._repair_key(parent, path[: depth + 1], fault.meant)
                return
            if isinstance(parent, list) and path[:depth] == ("phases",):
                parent[int(step)] = {"name": f"unnamed {step}", "epochs": 1}
                return

    def _repair_key(self, parent: dict[str, Any], path: KeyPath, meant: str | None) -> None:
        key = str(path[-1])
        if meant is not None and meant not in parent and key in parent:
            parent[meant] = parent.pop(key)
            self._renamed[(*path[:-1], meant)] = path
        elif meant is None and key in _STAND_INS:
            parent[key] = copy.deepcopy(_STAND_INS[key])
            if path[0] == "phases" and key == "name":
                parent[key] = f"unnamed {path[1]}"  # names of phases must differ
        else:
            parent.pop(key, None)
