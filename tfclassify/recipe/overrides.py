"""Changes from the command line: ``--set phases[1].epochs=3``.

Owns: the text of an override and its application to a document. Does not own: whether
the key exists in the schema or the value fits (``problems`` says so, as for a file).
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from tfclassify.errors import Problem, RecipeError
from tfclassify.recipe.document import Document, Place, read_document
from tfclassify.recipe.inheritance import BASE_KEY, replace_places
from tfclassify.recipe.wording import KeyPath, parse_path, render_path, show

OPTION = "--set"

#: A key, in which quoted parts may hold any sign, then the first ``=`` outside of them.
_OVERRIDE = re.compile(r'((?:[^="]|"(?:[^"\\]|\\.)*")+)=(.*)', re.DOTALL)


@dataclass(frozen=True)
class Override:
    """One change.

    Attributes:
        path: The key that is set; list positions may be negative.
        value: What it is set to.
    """

    path: KeyPath
    value: Any


def parse_override(text: str) -> Override:
    """Read ``a.b[1].c=value``; the value is YAML, so ``[1, 2]`` is a list.

    Raises:
        RecipeError: If the path or the value cannot be read.

    Example:
        >>> parse_override("phases[1].epochs=3")
        Override(path=('phases', 1, 'epochs'), value=3)
    """
    match = _OVERRIDE.fullmatch(text)
    if match is None:
        raise _make_error("", f"must be KEY=VALUE, such as phases[0].epochs=3, got {text!r}")
    name, value = match[1].strip(), match[2]
    try:
        path = parse_path(name)
    except ValueError as error:
        raise _make_error("", f"the key {name!r} {error}; write it as phases[0].epochs") from (
            error
        )
    if path[0] == BASE_KEY:
        raise _make_error("base", "cannot be set here; it belongs in a recipe file")
    document = read_document(value)
    if document.problems:
        faults = "; ".join(problem.message for problem in document.problems)
        raise _make_error(render_path(path), f"{faults}, got {show(value)}")
    return Override(path, document.content)


def spread_override(document: Document, text: str) -> list[str]:
    """Write a change of every item of a list, ``phases[].epochs=3``, once for each item.

    Any other text is returned as it is.
    """
    name, mark, rest = text.partition("[]")
    content = document.content
    if not mark or "=" in name:
        return [text]
    with contextlib.suppress(KeyError, IndexError, TypeError, ValueError):
        for step in parse_path(name.strip()):
            content = content[step]
        if isinstance(content, list) and content:
            return [f"{name}[{number}]{rest}" for number in range(len(content))]
    raise _make_error(name, f"is no list of the recipe, so {text!r} changes nothing")


def _make_error(path: str, message: str) -> RecipeError:
    return RecipeError(OPTION, [Problem(path, message)])


def apply_override(document: Document, override: Override) -> None:
    """Set one key of a document in place; mappings on the way are made.

    Raises:
        RecipeError: If the path leads through something that has no such part.
    """
    if not isinstance(document.content, dict):
        document.content = {}
    content: Any = document.content
    walked: KeyPath = ()
    for depth, step in enumerate(override.path[:-1]):
        step = _settle_step(content, step, walked)
        walked = (*walked, step)
        if isinstance(content, dict) and content.get(step) is None:
            if isinstance(override.path[depth + 1], int):
                raise _make_error(
                    render_path(override.path),
                    f"{render_path(walked)} is not in the recipe; set the whole list: "
                    f"{render_path(walked)}=[…]",
                )
            content[step] = {}
            document.places[walked] = Place(None)
        content = content[step]
    last = _settle_step(content, override.path[-1], walked)
    walked = (*walked, last)
    content[last] = override.value
    replace_places(document.places, walked, {walked: Place(None)})


def _settle_step(content: Any, step: str | int, walked: KeyPath) -> Any:
    """Check one step against what is there; return it with a list position from 0."""
    where, path = render_path(walked) or "the recipe", render_path((*walked, step))
    if isinstance(step, str):
        if isinstance(content, dict):
            return step
        hint = f"; choose an item, such as {where}[0]" if isinstance(content, list) else ""
        kind = "a list" if isinstance(content, list) else show(content)
        raise _make_error(path, f"{where} is {kind}, not a mapping{hint}")
    if not isinstance(content, list):
        kind = "a mapping" if isinstance(content, dict) else show(content)
        raise _make_error(path, f"{where} is {kind}, not a list")
    count = len(content)
    if not -count <= step < count:
        allowed = f"positions are 0 to {count - 1}" if count else "it is empty"
        raise _make_error(
            path, f"{where} has {count} item{'s' if count != 1 else ''}; {allowed}, got {step}"
        )
    return step % count
