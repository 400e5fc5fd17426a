"""What a labeller may say of an image: labels, sub-labels and marks, with keys and colours.

Owns: the vocabulary's form, its defaults, its checks, reading it from names or a file. Does
not own: what was said (``session``), how it looks (``web``).

    several: false
    labels:
      - {name: pen, key: "1", code: "1", sublabels: [{name: ballpoint, key: p}]}
      - pencil
    marks:
      - {name: blurred, key: b, bit: 2}
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tfclassify.errors import RequestError
from tfclassify.files import read_yaml
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.wording import suggest

#: Keys that the page needs for itself.
PAGE_KEYS = " ?/,.;+-=[]"
#: Keys that labels get where they name none, in this order.
_LABEL_KEYS = "1234567890"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_MOST_LABELS, _MOST_BYTES = 20_000, 4 << 20

Key = Annotated[str, Field(max_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Part(BaseModel):
    """One entry of a file; a name alone stands for an entry that says nothing else."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    name: Name = Field(description="As people and tables write it.")
    key: Key = Field("", description="The key that gives it; empty: the next free one, or none.")

    @model_validator(mode="before")
    @classmethod
    def _widen(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given


_Kind = TypeVar("_Kind", bound=_Part)


class Sublabel(_Part):
    """A finer label below one label."""

    code: str = Field("", description="What another program's table holds for it.")


class Label(_Part):
    """One label."""

    code: str = Field("", description="What another program's table holds for it.")
    colour: Annotated[str, Field(pattern=r"^(#[0-9a-fA-F]{6})?$")] = Field(
        "", description="Such as #1f6f8b; empty: one is chosen."
    )
    sublabels: tuple[Sublabel, ...] = Field((), strict=False)


class Mark(_Part):
    """Something else that may be true of an image, whatever its label."""

    bit: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        0, description="Its bit in a table's column of marks; 0: the next free one."
    )


#: Marks of a vocabulary that names none.
_MARKS = (
    Mark(name="wrong", key="x"),
    Mark(name="blurred", key="b"),
    Mark(name="dark", key="d"),
    Mark(name="hard", key="h"),
)
#: The mark that is proposed for an image that cannot be shown.
BROKEN_MARKS = ("wrong", "broken", "unreadable")


class Vocabulary(BaseModel):
    """Everything a labeller may say."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
    labels: tuple[Label, ...] = Field(strict=False, min_length=1, max_length=_MOST_LABELS)
    marks: tuple[Mark, ...] = Field(_MARKS, strict=False, max_length=31)
    several: bool = Field(False, description="Whether an image may have several labels, or none.")

    @model_validator(mode="after")
    def _complete(self) -> Vocabulary:
        """Give keys, bits and colours to what names none, and check what is there."""
        _check_names(self)
        marks = _give_bits(self.marks)
        taken = {part.key for part in (*self.labels, *marks) if part.key}
        taken |= {finer.key for label in self.labels for finer in label.sublabels if finer.key}
        keys = _LABEL_KEYS if len(self.labels) <= len(_LABEL_KEYS) else _LABEL_KEYS + _LETTERS
        labels = _give_keys(self.labels, keys, taken)
        taken |= {label.key for label in labels}
        marks = _give_keys(marks, _LETTERS, taken)
        taken |= {mark.key for mark in marks}
        labels = tuple(
            label.model_copy(
                update={
                    "colour": label.colour or _choose_colour(number, len(labels)),
                    "sublabels": _give_keys(label.sublabels, _LETTERS, taken),
                }
            )
            for number, label in enumerate(labels)
        )
        for name, value in (("labels", labels), ("marks", marks)):
            object.__setattr__(self, name, value)
        _check_keys(self)
        return self

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels' names, in their order."""
        return tuple(label.name for label in self.labels)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Place of each label by its name."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def mark_names(self) -> tuple[str, ...]:
        """The marks' names, in their order."""
        return tuple(mark.name for mark in self.marks)

    @property
    def is_multi_label(self) -> bool:
        """Whether an image may have several labels."""
        return self.several

    @property
    def broken_mark(self) -> str:
        """The mark for an image that cannot be shown; empty if there is none."""
        return next((name for name in BROKEN_MARKS if name in self.mark_names), "")

    def to_plain(self) -> dict[str, Any]:
        """Return what a file holds: names alone where keys and colours are the usual ones."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        short = {**content, "labels": list(self.names)}
        return short if Vocabulary.model_validate(short) == self else content

    def find_fault(self, labels: Sequence[str], sublabel: str, marks: Iterable[str]) -> str:
        """Say what of an answer is no part of the vocabulary; empty if nothing is."""
        for name in labels:
            if name not in self.positions:
                return f"label {name!r} is not in the vocabulary{suggest(name, self.names)}"
        for name in marks:
            if name not in self.mark_names:
                return f"mark {name!r} is not in the vocabulary{suggest(name, self.mark_names)}"
        if len(labels) > 1 and not self.several:
            return f"an image has one label, got {', '.join(labels)}"
        if len(set(labels)) < len(labels):
            return f"a label is there twice, got {', '.join(labels)}"
        if sublabel:
            return self._find_sublabel_fault(labels, sublabel)
        return ""

    def _find_sublabel_fault(self, labels: Sequence[str], sublabel: str) -> str:
        if len(labels) != 1:
            return f"sub-label {sublabel!r} needs one label, got {len(labels)}"
        finer = [each.name for each in self.labels[self.positions[labels[0]]].sublabels]
        if sublabel in finer:
            return ""
        return f"{labels[0]!r} has no sub-label {sublabel!r}{suggest(sublabel, finer)}"

    def order_labels(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return labels in the vocabulary's order, each once."""
        return tuple(sorted(set(names), key=self.positions.__getitem__))

    def join_bits(self, marks: Iterable[str]) -> int:
        """Return the sum of the marks' bits."""
        return sum(mark.bit for mark in self.marks if mark.name in set(marks))


def _check_names(vocabulary: Vocabulary) -> None:
    groups: list[tuple[str, Sequence[_Part]]] = [
        ("labels", vocabulary.labels),
        ("marks", vocabulary.marks),
    ]
    groups += [(f"sub-labels of {each.name!r}", each.sublabels) for each in vocabulary.labels]
    for kind, parts in groups:
        seen: set[str] = set()
        for part in parts:
            if part.name in seen:
                raise ValueError(f"{kind}: {part.name!r} is there twice")
            seen.add(part.name)
            if _is_unclean(part.name):
                raise ValueError(
                    f"{kind}: {part.name!r} has spaces around it, control characters or "
                    f"{JOINING_SIGN!r}, which joins names; rename it"
                )


def _is_unclean(name: str) -> bool:
    is_odd = any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    return is_odd or name != name.strip() or JOINING_SIGN in name


def _give_bits(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    taken = [mark.bit for mark in marks if mark.bit]
    for bit in taken:
        if bit & (bit - 1) or taken.count(bit) > 1:
            raise ValueError(f"marks: each has a bit of its own (1, 2, 4, 8, ...), got {bit}")
    free = (1 << place for place in range(31) if 1 << place not in taken)
    return tuple(mark.model_copy(update={"bit": mark.bit or next(free)}) for mark in marks)


def _give_keys(parts: Sequence[_Kind], keys: str, taken: set[str]) -> tuple[_Kind, ...]:
    """Give each part without a key the first free one: of digits, or of its name's letters."""
    taken, given = set(taken), []
    for part in parts:
        own = "" if keys[0].isdigit() else "".join(each for each in part.name if each in keys)
        key = part.key or next((key for key in own + keys if key not in taken), "")
        taken.add(key)
        given.append(part if part.key else part.model_copy(update={"key": key}))
    return tuple(given)


def _check_keys(vocabulary: Vocabulary) -> None:
    shared: dict[str, str] = {}
    for part in (*vocabulary.labels, *vocabulary.marks):
        _claim_key(part, shared)
    for label in vocabulary.labels:
        own = dict(shared)
        for finer in label.sublabels:
            _claim_key(finer, own)


def _claim_key(part: _Part, taken: dict[str, str]) -> None:
    if not part.key:
        return
    if part.key in PAGE_KEYS or not part.key.isprintable():
        raise ValueError(f"{part.name!r}: the page needs the key {part.key!r} itself; use another")
    if part.key in taken:
        raise ValueError(f"{part.name!r}: its key {part.key!r} is that of {taken[part.key]!r}")
    taken[part.key] = part.name


#: Told apart by most people, also by those who see few colours; others follow around the wheel.
_COLOURS = (
    "#1f6f8b", "#c98a2b", "#7b6ca8", "#b4472f", "#3f8f5f", "#4a6fc4", "#a8517f", "#6b7a2f",
    "#8a5a36", "#4d8a93",
)  # fmt: skip


def _choose_colour(number: int, count: int) -> str:
    if number < len(_COLOURS):
        return _COLOURS[number]
    import colorsys

    hue = (number * 0.618033988749895) % 1.0  # neighbours are far apart, however many there are
    red, green, blue = colorsys.hls_to_rgb(hue, 0.45, 0.5)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def make_vocabulary(
    names: Iterable[str], *, several: bool = False, where: str = "--labels"
) -> Vocabulary:
    """Make a vocabulary of names alone.

    Raises:
        RequestError: If there is none, or a name is there twice.
    """
    return check_vocabulary({"labels": list(names), "several": several}, where)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary's YAML.

    Raises:
        RequestError: If it cannot be read or says what is impossible, all of it at once.
    """
    try:
        content = read_yaml(path, limit=_MOST_BYTES)
    except OSError as error:
        raise RequestError(
            f"{path}: cannot be read ({error.strerror}); write labels: and marks: into a YAML file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{path}: is no YAML ({reason:.200}); mend it") from error
    return check_vocabulary(content, str(path))


def check_vocabulary(content: Any, where: str) -> Vocabulary:
    """Make a vocabulary of plain values.

    Raises:
        RequestError: With every problem, each with its place.
    """
    try:
        return Vocabulary.model_validate(content)
    except ValidationError as error:
        problems = list(_word_problems(error))
        shown = "\n".join(f"  {line}" for line in problems[:20])
        raise RequestError(
            f"{where}: the vocabulary has {len(problems)} problem"
            f"{'s' if len(problems) > 1 else ''}\n{shown}"
        ) from error


def _word_problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        place = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in problem["loc"]
        ).removeprefix(".")
        message = problem["msg"].removeprefix("Value error, ")
        got = "" if problem["type"] == "value_error" else f", got {problem['input']!r:.60}"
        yield f"{place}: {message}{got}" if place else f"{message}{got}"


def split_names(text: str) -> tuple[str, ...]:
    """Split ``a,b,c`` into names."""
    return tuple(itertools.filterfalse(lambda name: not name, map(str.strip, text.split(","))))
