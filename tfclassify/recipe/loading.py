"""From YAML files and ``--set`` to a ``Recipe``, and back.

Owns: the order of the steps (read, inherit, override, validate, check), ``base``, the text
of an override, and that all problems are reported at once. Does not own: the YAML itself
(``document``), whether keys and values fit (``problems``).

Mappings are merged key by key with those of a base, everything else (lists too) is replaced.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from tfclassify.errors import Problem, RecipeError, TargetError, explain_unread
from tfclassify.recipe.document import (
    BASE_KEY,
    MAX_CHARACTERS,
    Document,
    Place,
    read_document,
    render_yaml,
)
from tfclassify.recipe.model_schema import WORDS as WEIGHT_WORDS
from tfclassify.recipe.model_schema import ModelRecipe, StackMemberRecipe
from tfclassify.recipe.names import OUTSIDE_SOURCES
from tfclassify.recipe.problems import to_plain, validate
from tfclassify.recipe.schema import Recipe, fill_defaults
from tfclassify.recipe.search_schema import check_search
from tfclassify.recipe.wording import KeyPath, parse_path, render_path, show, suggest

MAX_BASES = 16
_Network = TypeVar("_Network", ModelRecipe, StackMemberRecipe)
#: A little more than the longest recipe takes in UTF-8, so that its length is what is told.
_MAX_BYTES = 4 * MAX_CHARACTERS + 8


def read_recipe(path: Path) -> Document:
    """Read a recipe file with all its bases merged into one document.

    Raises:
        TargetError: If ``path`` is not a file that can be read. What is wrong inside
            of a file, or with a base, is in the document's ``problems``.
    """
    data = _read_bytes(path)
    return _read_chain(_decode(data, None), path, None, (path,))


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise TargetError(f"{path}: is a folder, a recipe is a YAML file{_suggest(path)}")
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES)
    except FileNotFoundError as error:
        raise TargetError(
            f"{path}: no such recipe{_suggest(path) or '; `tfclassify new` writes one'}"
        ) from error
    except (OSError, ValueError) as error:
        reason = explain_unread(error, "name a file of YAML")
        raise TargetError(f"{path}: the recipe cannot be read: {reason}") from error


def _suggest(path: Path) -> str:
    """Name the recipe nearby that was probably meant."""
    folder = path if path.is_dir() else path.parent
    names = sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")})
    if path.is_dir():
        return f", such as {str(names[0])!r}" if names else ""
    shipped = [Path("recipes", file.name) for file in Path("recipes").glob("*.yaml")]
    by_name = {file.name: str(file) for file in (*shipped, *names)}
    wanted = path.name if path.suffix in (".yaml", ".yml") else f"{path.name}.yaml"
    text = suggest(wanted, by_name)
    for name, file in by_name.items():
        text = text.replace(repr(name), repr(file))
    return text


def _decode(data: bytes, source: str | None) -> Document:
    try:
        return read_document(data.decode("utf-8-sig"), source)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem("", f"not UTF-8 text, got byte {data[error.start]:#04x}", line, source)
        return Document(None, problems=[problem], is_readable=False)


def _read_chain(
    document: Document, path: Path, source: str | None, chain: tuple[Path, ...]
) -> Document:
    """Take ``base`` out of a document and put the document on top of its base."""
    content = document.content
    if not document.is_readable or not isinstance(content, dict) or BASE_KEY not in content:
        return document
    named = content.pop(BASE_KEY)
    fault = _find_base_fault(named, path, chain)
    if fault:
        document.problems.append(document.make_problem((BASE_KEY,), fault))
        document.is_readable = False
        return document
    base_path = path.parent / named
    try:
        data = _read_bytes(base_path)
    except TargetError as error:
        document.problems.append(document.make_problem((BASE_KEY,), str(error)))
        document.is_readable = False
        return document
    base = _read_chain(
        _decode(data, str(base_path)), base_path, str(base_path), (*chain, base_path)
    )
    if base.is_readable and not isinstance(base.content, dict):
        base.problems.append(
            base.make_problem((), f"must be a mapping of keys, got {show(base.content)}")
        )
        base.is_readable = False
    return merge_documents(base, document)


def _find_base_fault(named: Any, path: Path, chain: tuple[Path, ...]) -> str | None:
    """Say what is wrong with the value of ``base``, if anything is."""
    if not isinstance(named, str) or not named:
        return f"must be the path of another recipe, got {show(named)}"
    try:
        target = (path.parent / named).resolve()
        seen = [file.resolve() for file in chain]
        is_odd = target.exists() and not target.is_file() and not target.is_dir()
    except (OSError, ValueError, RuntimeError):
        return f"must be the path of another recipe, got {show(named)}"
    if len(chain) > MAX_BASES:
        return f"more than {MAX_BASES} recipes build on one another; merge some of them"
    if is_odd:
        return f"must be a file, got the pipe or device {show(named)}"
    if target in seen:
        circle = [*chain[seen.index(target) :], path.parent / named]
        return "the recipes build on one another in a circle: " + " -> ".join(map(str, circle))
    return None


def merge_documents(base: Document, child: Document) -> Document:
    """Return ``child`` on top of ``base``: mappings merged, all else replaced.

    Each value keeps the place it was written at, the base's file included.
    """
    places = dict(base.places)
    if base.is_readable and child.is_readable:
        replaced: set[KeyPath] = set()
        content = _merge(base.content, child.content, (), replaced)
        places = {path: place for path, place in places.items() if not _is_in(path, replaced)}
        places.update(child.places)
    else:
        content = child.content
    return Document(
        content,
        places,
        [*child.problems, *base.problems],
        base.is_readable and child.is_readable,
    )


def _merge(base: Any, child: Any, path: KeyPath, replaced: set[KeyPath]) -> Any:
    """Merge two values, and note the paths at which the child's takes the base's place."""
    if isinstance(base, dict) and isinstance(child, dict):
        merged = dict(base)
        for key, value in child.items():
            merged[key] = _merge(base.get(key), value, (*path, key), replaced)
        return merged
    replaced.add(path)
    return child


def _is_in(path: KeyPath, replaced: set[KeyPath]) -> bool:
    """Say whether a path is at or under one of others."""
    return any(path[:length] in replaced for length in range(len(path) + 1))


def replace_places(
    places: dict[KeyPath, Place], path: KeyPath, others: dict[KeyPath, Place]
) -> None:
    """Let the places at and under ``path`` be those of ``others``."""
    depth = len(path)
    for old in [known for known in places if known[:depth] == path]:
        del places[old]
    places.update({new: place for new, place in others.items() if new[:depth] == path})


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
    return RecipeError(OPTION, [Problem(path, message, source=OPTION)])


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
        step = _find_step(content, step, walked)
        walked = (*walked, step)
        if isinstance(content, dict) and content.get(step) is None:
            if isinstance(override.path[depth + 1], int):
                raise _make_error(
                    render_path(override.path),
                    f"{render_path(walked)} is not in the recipe; set the whole list: "
                    f"{render_path(walked)}=[…]",
                )
            content[step] = {}
            document.places[walked] = Place(None, OPTION)
        content = content[step]
    last = _find_step(content, override.path[-1], walked)
    walked = (*walked, last)
    content[last] = override.value
    replace_places(document.places, walked, {walked: Place(None, OPTION)})


def _find_step(content: Any, step: str | int, walked: KeyPath) -> Any:
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


__all__ = ["Override", "dump_recipe", "load_recipe", "parse_override", "parse_recipe"]


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file, its bases and the changes from the command line.

    Args:
        path: The YAML file.
        overrides: Changes such as ``phases[1].epochs=3``, applied in order.

    Returns:
        The recipe, with every default filled in.

    Raises:
        TargetError: If there is no such file.
        RecipeError: If anything in it is wrong; it lists every problem.
    """
    document = read_recipe(Path(path))
    recipe = _build(document, str(path), overrides)
    return _resolve_paths(recipe, document, Path(path).parent)


def parse_recipe(text: str, where: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from text; ``base`` is not available there.

    Args:
        text: YAML.
        where: What problems name as the place.
        overrides: Changes such as ``phases[1].epochs=3``, applied in order.

    Raises:
        RecipeError: If anything in it is wrong; it lists every problem.
    """
    return _build(read_document(text), where, overrides)


def build_recipe(
    content: Mapping[str, Any] | Recipe, where: str = "recipe", overrides: Sequence[str] = ()
) -> Recipe:
    """Make a recipe of what a file would hold, without a file and its lines.

    Args:
        content: Mappings, lists and scalars by the keys of a recipe, sections among them.
        where: What problems name as the place.
        overrides: Changes such as ``phases[1].epochs=3``, applied in order.

    Raises:
        RecipeError: If anything in it is wrong; it lists every problem with its path.
    """
    return _build(Document(to_plain(content), {(): Place(None)}), where, overrides)


def is_there(path: str | PathLike[str]) -> bool:
    """Say whether a path leads to something, also where no path can read so."""
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError):  # too long for a name; no such user's home
        return False


def _resolve_paths(recipe: Recipe, document: Document, folder: Path) -> Recipe:
    """Name the recipe's files so that a copy of the recipe elsewhere still finds them.

    A path that is not in the working folder but beside the file that it stands in, or beside
    the recipe, gets that folder in front; every other text stays as the user wrote it.
    """

    def resolve_path(text: str, *path: str | int) -> str:
        prefix = next((sign for sign in OUTSIDE_SOURCES if text.startswith(sign)), "")
        name = text.removeprefix(prefix)
        if not name or "://" in name or name.startswith("builtin:") or name in WEIGHT_WORDS:
            return text
        if is_there(name):
            return text
        written = document.locate(path).source
        beside = [folder] if written in (None, OPTION) else [Path(str(written)).parent, folder]
        found = (str(place / name) for place in beside if is_there(place / name))
        return next((prefix + path for path in found), text)

    def resolve_member(member: _Network, *path: str | int) -> _Network:
        keys = ("backbone", "weights")
        changes = {key: resolve_path(getattr(member, key), *path, key) for key in keys}
        return member.model_copy(update=changes)

    model = resolve_member(recipe.model, "model")
    stack = [resolve_member(each, "model", "stack", at) for at, each in enumerate(model.stack)]
    places = {"source": resolve_path(recipe.data.source, "data", "source")}
    if recipe.data.corrections is not None:
        places["corrections"] = resolve_path(recipe.data.corrections, "data", "corrections")
    distil = recipe.distil
    if distil is not None:
        teacher = resolve_path(distil.teacher, "distil", "teacher")
        distil = distil.model_copy(update={"teacher": teacher})
    return recipe.model_copy(
        update={
            "distil": distil,
            "data": recipe.data.model_copy(update=places),
            "model": model.model_copy(
                update={
                    "stack": tuple(stack),
                    "start_from": resolve_path(model.start_from, "model", "start_from"),
                }
            ),
        }
    )


def _build(document: Document, where: str, overrides: Sequence[str]) -> Recipe:
    problems = list(document.problems)
    if not document.is_readable:
        raise RecipeError(where, _sort(problems))
    if document.content is None:
        problems.append(Problem("", "the recipe is empty; `tfclassify new` writes one", 1))
        raise RecipeError(where, problems)
    if not isinstance(document.content, dict):
        got = show(document.content)
        problems.append(document.make_problem((), f"must be a mapping of keys, got {got}"))
        raise RecipeError(where, problems)
    for text in overrides:
        try:
            for each in spread_override(document, text):
                apply_override(document, parse_override(each))
        except RecipeError as error:
            problems += error.problems
    recipe, faults = validate(document.content)
    problems += [document.make_problem(fault.path, fault.message) for fault in faults]
    if recipe is not None and recipe.search is not None:
        found = check_search(recipe, document.content, _list_faults)
        problems += [document.make_problem(path, message) for path, message in found]
    if problems or recipe is None:
        raise RecipeError(where, _sort(problems))
    return recipe


def _list_faults(content: Any) -> list[tuple[KeyPath, str]]:
    return [(fault.path, fault.message) for fault in validate(content)[1]]


def _sort(problems: list[Problem]) -> list[Problem]:
    """Order problems as a reader meets them: the recipe, its bases, the command line."""
    sources = list(dict.fromkeys(problem.source for problem in problems if problem.source))

    def rank(problem: Problem) -> tuple[bool, int, float]:
        file = sources.index(problem.source) + 1 if problem.source else 0
        return problem.line is None, file, problem.line or math.inf

    return sorted(problems, key=rank)


def dump_recipe(recipe: Recipe) -> str:
    """Write a recipe in full, every default spelt out, as YAML.

    ``parse_recipe`` reads it back to an equal recipe.
    """
    content = fill_defaults(recipe).model_dump(mode="json")
    return render_yaml(content)
