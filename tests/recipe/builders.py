"""Recipes with one thing changed, and what is said of them."""

from __future__ import annotations

from typing import Any

from tfclassify.recipe.problems import validate
from tfclassify.recipe.wording import parse_path, render_path


def make_recipe(**changes: Any) -> dict[str, Any]:
    """Make a right recipe and set values in it by path, ``__`` for a dot."""
    content: dict[str, Any] = {
        "name": "x",
        "data": {"source": "photos"},
        "augment": {"mix": {}},
        "model": {"backbone": "vgg16", "head": {}},
        "phases": [{"name": "head", "epochs": 3}],
    }
    for name, value in changes.items():
        *path, last = parse_path(name.replace("__", ".").replace("phases", "phases[0]", 1))
        target: Any = content
        for step in path:
            target = target.setdefault(step, {}) if isinstance(target, dict) else target[step]
        target[last] = value
    return content


def describe(content: Any) -> list[str]:
    """Return the faults of a recipe, each with its path."""
    _, faults = validate(content)
    return [f"{render_path(fault.path)}: {fault.message}" for fault in faults]
