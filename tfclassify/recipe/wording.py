"""How places in a recipe, values, names, sizes and times are put into words.

Owns: the text of key paths (``phases[1].epochs``) and its reverse, the text of
values, the search for the nearest name, and the one way to write a number of bytes or
seconds. Does not own: any message (``problems``, ``schema``), scores (``pages.wording``).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

#: Keys and list positions from the top of a recipe down to one place.
KeyPath = tuple[str | int, ...]

_PLAIN_KEY = re.compile(r"[^\s.\[\]\"'=]+")
_STEP = re.compile(
    r"""(?P<key>[^\s.\[\]"'=]+)
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | \[\s*(?P<index>-?[0-9]{1,9})\s*\]""",
    re.VERBOSE,
)
_LONGEST = 60
_COMPARED = 2_000  # names among which the nearest is looked for


def render_path(path: Sequence[str | int]) -> str:
    """Write a key path as users do: ``phases[1].epochs``.

    A key that holds a dot, a bracket or a space is put in quotes.

    Example:
        >>> render_path(("class_weights", "T. rex"))
        'class_weights."T. rex"'
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        key = step if _PLAIN_KEY.fullmatch(step) else json.dumps(step, ensure_ascii=False)
        text += f".{key}" if text else key
    return text


def parse_path(text: str) -> KeyPath:
    """Read a key path; the reverse of ``render_path``.

    A list position may be negative, as in Python.

    Raises:
        ValueError: With the position of the first character that does not fit.
    """
    steps: list[str | int] = []
    at = 0
    while at < len(text) or not steps:
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"cannot be read from character {at + 1} on")
        if match["index"] is not None:
            steps.append(int(match["index"]))
        elif match["key"] is not None:
            steps.append(match["key"])
        else:
            steps.append(_unquote(match["quoted"], at))
        at = match.end()
        if at < len(text) and text[at] == ".":
            at += 1
            if at == len(text) or text[at] == "[":
                raise ValueError(f"cannot be read from character {at + 1} on")
        elif at < len(text) and text[at] != "[":
            raise ValueError(f"cannot be read from character {at + 1} on")
    return tuple(steps)


def _unquote(body: str, at: int) -> str:
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError as error:
        raise ValueError(f"has a broken quotation at character {at + 1}") from error


def show(value: Any) -> str:
    """Write a value as the recipe would, shortened where it is long.

    Example:
        >>> show(None), show(True), show("a"), show([1, 2])
        ('null', 'true', "'a'", '[1, 2]')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    else:
        text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 2] + " …"


def find_nearest(name: Any, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, or None.

    Case, dashes and spaces do not count: ``ResNet-50`` is nearest to ``resnet50``.
    """
    if not isinstance(name, str) or not name:
        return None
    known = list(islice(names, _COMPARED))
    simple = {_simplify(other): other for other in reversed(known)}
    wanted = _simplify(name[:200])
    if wanted in simple:
        return simple[wanted]
    close = difflib.get_close_matches(wanted, simple, n=1, cutoff=0.6)
    if not close and len(wanted) >= 3:
        close = [other for other in simple if other.startswith(wanted)]
    return simple[close[0]] if close else None


def _simplify(name: str) -> str:
    return re.sub(r"[\s_.-]+", "", name.casefold())


def suggest(name: Any, names: Iterable[str]) -> str:
    """Write ``; did you mean 'x'?``, or nothing where no name is near."""
    nearest = find_nearest(name, names)
    return f"; did you mean {nearest!r}?" if nearest is not None else ""


def join_names(names: Iterable[str], last: str = "or") -> str:
    """Join names for a sentence: ``a, b or c``."""
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return f"{', '.join(listed[:-1])} {last} {listed[-1]}"


def format_seconds(seconds: float) -> str:
    """Write a time, such as ``4.2 s``, ``12 min 5 s`` or ``3 h 20 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min"


def format_bytes(size: float) -> str:
    """Write a size, such as ``18.8 MB``; a kilobyte has 1000 bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
