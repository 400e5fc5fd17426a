"""One YAML file, read safely with the line of every key, and written.

Owns: the subset of YAML that a recipe may use, duplicate keys, limits on size and depth,
the record of where each value came from, and how plain values become text that every
reader takes in the same way. Does not own: what the keys mean (``schema``), several files
(``loading``).

Scalars follow YAML 1.2's core schema: ``1e-3`` is a number, ``no`` and ``1:30`` are
text. Keys are always text. Anchors, aliases and tags are refused: a recipe needs none,
and they are how a small file grows without bound or names a Python object. So the parser's
events are read, with their marks, rather than the tree of ``yaml.compose``: that is whole before
it can be refused, which deep nesting ends in a RecursionError, and aliases are followed in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from tfclassify.errors import Problem
from tfclassify.recipe.wording import KeyPath, render_path, show

#: The key that names another recipe, which ``loading`` takes out.
BASE_KEY = "base"
MAX_CHARACTERS = 1 << 18
MAX_DEPTH = 24
MAX_MAPPINGS = 4_000
MAX_SCALARS = 40_000

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,30}|0o[0-7]{1,30}|0x[0-9a-fA-F]{1,30}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SPECIAL_FLOAT = re.compile(r"(?P<sign>[-+]?)\.(?P<word>inf|Inf|INF|nan|NaN|NAN)")


@dataclass(frozen=True)
class Place:
    """Where a value was written.

    Attributes:
        line: Line from 1, or None where there is no file.
        source: The file, where it is not the recipe itself; or ``--set``.
    """

    line: int | None
    source: str | None = None


@dataclass
class Document:
    """What one or several files say, before it is checked against the schema.

    Attributes:
        content: Plain mappings, lists and scalars.
        places: Where each key and list item was written.
        problems: Faults found while reading.
        is_readable: Whether ``content`` is what was meant; else only ``problems`` counts.
    """

    content: Any
    places: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    is_readable: bool = True

    def locate(self, path: KeyPath) -> Place:
        """Return the place of a key, or of the innermost part that is there."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                return place
        return Place(1)

    def make_problem(self, path: KeyPath, message: str) -> Problem:
        """Make the problem of a key, with its line and file."""
        place = self.locate(path)
        return Problem(render_path(path), message, place.line, place.source)


def read_document(text: str, source: str | None = None) -> Document:
    """Read YAML text; faults are in the result's ``problems``, nothing is raised.

    Args:
        text: The whole file.
        source: Name of the file for problems, where it is not the recipe itself.
    """
    builder = _Builder(source)
    if len(text) > MAX_CHARACTERS:
        builder.reject(1, f"a recipe has at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
        return builder.document
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.add(event)
            if not builder.document.is_readable:
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(part for part in (error.problem, error.context) if part)
        builder.reject(mark.line + 1 if mark else 1, f"not valid YAML: {reason}")
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        builder.reject(line, f"not valid YAML: character {chr(int(error.character))!r}")
    except (OverflowError, ValueError) as error:  # an escape beyond the last character
        builder.reject(1, f"not valid YAML: {error}")
    return builder.document


def read_scalar(text: str) -> Any:
    """Return what an unquoted scalar means: null, a boolean, a number, else text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    special = _SPECIAL_FLOAT.fullmatch(text)
    return float(special["sign"] + special["word"]) if special else text


@dataclass
class _Level:
    """A mapping or list that is being read."""

    container: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None
    key_line: int = 0


class _Builder:
    """Builds a document from parser events, without recursion."""

    def __init__(self, source: str | None) -> None:
        self.document = Document(None)
        self.source = source
        self.levels: list[_Level] = []
        self.documents = self.mappings = self.scalars = 0

    def reject(self, line: int, message: str, path: KeyPath = ()) -> None:
        """Note a fault after which the content means nothing."""
        self.document.is_readable = False
        self._note(line, message, path)

    def _note(self, line: int, message: str, path: KeyPath) -> None:
        problem = Problem(render_path(path), message, line, self.source)
        self.document.problems.append(problem)

    def add(self, event: Event) -> None:
        """Take the parser's next event."""
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.reject(_line_of(event), "a recipe is one document, got a second '---'")
        elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
            self.levels.pop()
        elif isinstance(event, NodeEvent):
            self._add_node(event, _line_of(event))

    def _add_node(self, event: NodeEvent, line: int) -> None:
        fault = self._find_fault(event)
        if fault:
            self.reject(line, fault, self._next_path() if len(self.levels) < MAX_DEPTH else ())
        elif isinstance(event, ScalarEvent):
            if self._awaits_key():
                self._start_key(event.value, line)
            else:
                is_plain = event.implicit[0]
                self._place(read_scalar(event.value) if is_plain else event.value, line)
        elif self._awaits_key():
            self.reject(line, "a key must be text, got a list or mapping", self.levels[-1].path)
        else:
            container: dict[str, Any] | list[Any]
            container = {} if isinstance(event, MappingStartEvent) else []
            path = self._place(container, line)
            self.levels.append(_Level(container, path))

    def _find_fault(self, event: NodeEvent) -> str | None:
        if isinstance(event, AliasEvent) or event.anchor:
            sign = "*" if isinstance(event, AliasEvent) else "&"
            return (
                f"anchors and aliases are not allowed, got {show(f'{sign}{event.anchor}')}; "
                "write the value out, or share it through base:"
            )
        tag = getattr(event, "tag", None)
        if tag is not None:
            return f"YAML tags are not allowed, got {show(tag)}; write the plain value"
        self.mappings += isinstance(event, MappingStartEvent)
        self.scalars += isinstance(event, ScalarEvent)
        if self.mappings > MAX_MAPPINGS or self.scalars > MAX_SCALARS:
            return f"a recipe has at most {MAX_MAPPINGS:,} mappings and {MAX_SCALARS:,} values"
        if isinstance(event, ScalarEvent) and not is_text(event.value):
            return f"not valid text: half of a character, got {show(event.value)}"
        is_container = isinstance(event, (MappingStartEvent, SequenceStartEvent))
        if is_container and len(self.levels) >= MAX_DEPTH:
            return f"nested more than {MAX_DEPTH} deep"
        return None

    def _awaits_key(self) -> bool:
        return bool(self.levels) and (
            isinstance(self.levels[-1].container, dict) and self.levels[-1].key is None
        )

    def _start_key(self, key: str, line: int) -> None:
        level = self.levels[-1]
        level.key, level.key_line = key, line
        path = (*level.path, key)
        if key in level.container:
            first = self.document.places[path].line
            self._note(line, f"the key is given twice, first on line {first}; keep one", path)

    def _next_path(self) -> KeyPath:
        if not self.levels:
            return ()
        level = self.levels[-1]
        if isinstance(level.container, list):
            return (*level.path, len(level.container))
        return level.path if level.key is None else (*level.path, level.key)

    def _place(self, value: Any, line: int) -> KeyPath:
        """Put a value where the levels say, and remember its line."""
        path = self._next_path()
        if not self.levels:
            self.document.content = value
        else:
            level = self.levels[-1]
            if isinstance(level.container, list):
                level.container.append(value)
            elif level.key is not None:
                line = level.key_line
                level.container[level.key] = value
                level.key = None
        self.document.places[path] = Place(line, self.source)
        return path


def is_text(value: str) -> bool:
    """Say whether a text can be written as UTF-8, as one with lone surrogates cannot."""
    return value.isascii() or not _SURROGATE.search(value)


def _line_of(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1


#: Words that some YAML reader takes for something else than text.
_RESERVED = frozenset(("y", "n", "yes", "no", "on", "off", "null", "true", "false"))


class _Dumper(yaml.SafeDumper):
    """The safe dumper without aliases, which recipes do not have."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Quoting whatever is not an ordinary word keeps '1e-3', '1:30' and 'no' text everywhere.
    is_word = text.isascii() and text.replace("_", "").isalnum() and text[0].isalpha()
    style = None if is_word and text.lower() not in _RESERVED else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def render_yaml(content: Any) -> str:
    """Write mappings, lists and scalars as YAML, short collections on one line."""
    text: str = yaml.dump(
        content,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
    return text


def render_inline(value: Any) -> str:
    """Write one value as YAML on one line, as it stands after ``key:``."""
    text: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=True,
        width=1 << 30,
    )
    return text.removesuffix("\n").removesuffix("\n...").strip()
