"""What a training began with, so that it is gone on with the same.

Owns: ``state/began.json`` and naming what has changed since. Does not own: what happens
then (``workflows.resume_checks``), the images' own bytes (``data.changes``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfclassify.errors import RunError
from tfclassify.files import write_json

#: Packages whose version decides what a training computes.
DECISIVE = ("tfclassify", "tensorflow", "keras", "numpy")
_FORMAT = 1


def save_beginning(path: Path, recipe: Mapping[str, Any], images: str, packages: Any) -> None:
    """Note what a training begins with.

    Args:
        path: Where to.
        recipe: The recipe as plain values.
        images: Fingerprint of the index.
        packages: Versions by package.
    """
    facts = {"format": _FORMAT, "recipe": recipe, "images": images, "packages": packages}
    write_json(path, facts)


def load_beginning(path: Path) -> dict[str, Any] | None:
    """Read what ``save_beginning`` noted; None where nothing was.

    Raises:
        RunError: If the file is damaged.
    """
    try:
        facts = json.loads(path.read_text("utf-8"))
        if not isinstance(facts["recipe"], dict) or not isinstance(facts["packages"], dict):
            raise ValueError("recipe and packages must be mappings")
        return {"images": "", **facts}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise RunError(
            f"{path}: what the training began with cannot be read ({error}); train anew, or "
            "remove the file to go on unchecked"
        ) from error


def name_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name each value that differs between two mappings, nested ones by their dotted path.

    >>> name_changes({"phases": [{"epochs": 3}]}, {"phases": [{"epochs": 5}]})
    ['phases[0].epochs: 3 -> 5']
    """
    one, other = dict(_flatten("", before)), dict(_flatten("", now))
    return [
        f"{key}: {_show(one, key)} -> {_show(other, key)}"
        for key in dict.fromkeys([*one, *other])
        if key not in one or key not in other or one[key] != other[key]
    ]


def _flatten(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flatten(f"{path}.{key}" if path else str(key), item)
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _flatten(f"{path}[{number}]", item)
    elif path:
        yield path, value


def _show(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "absent"
