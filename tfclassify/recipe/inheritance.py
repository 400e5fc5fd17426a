"""Recipes that build on another: ``base: other.yaml``.

Owns: reading a recipe file and its bases, and merging them. Mappings are merged key by
key, everything else (lists too) is replaced. Does not own: ``--set`` (``overrides``),
what the keys mean (``schema``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfclassify.errors import Problem, TargetError
from tfclassify.recipe.document import MAX_CHARACTERS, Document, Place, read_document
from tfclassify.recipe.wording import KeyPath, show, suggest

BASE_KEY = "base"
MAX_BASES = 16
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
        reason = getattr(error, "strerror", None) or error
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
