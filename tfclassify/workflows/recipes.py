"""From what a user names to a recipe: a recipe file, a mapping, or images alone.

Owns: telling these apart, and the shorthands for what is changed most.
Does not own: reading a recipe (``recipe.loading``), fitting one to images (``create``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfclassify.errors import RequestError, TargetError
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.document import read_document, render_inline
from tfclassify.recipe.loading import build_recipe, is_there, load_recipe
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import suggest
from tfclassify.runs.directory import is_run
from tfclassify.workflows.create import draft_recipe

#: A recipe file, a folder, archive or table of images, a mapping like a recipe file, or a recipe.
Given = str | os.PathLike[str] | Mapping[str, Any] | Recipe


def open_recipe(
    given: Given,
    overrides: Sequence[str] = (),
    observer: Observer = SILENT,
    columns: Mapping[str, str | None] = {},
) -> Recipe:
    """Return the recipe that was named, or one that fits the images that were named.

    Args:
        given: A recipe file, a mapping, a recipe, or a source of images.
        overrides: ``key=value`` texts, as after ``--set``.
        observer: Told of progress, where images are looked at.
        columns: Which column of a table holds what, for images without a recipe.

    Raises:
        TargetError: If nothing is there.
        RequestError: If a run was named, or the images have no labels.
        RecipeError: If the recipe is wrong; it lists every problem.
        DataError: If the images cannot be read.
    """
    if columns and not is_source(given):
        raise RequestError(
            "--columns: is for a table without a recipe; set data.columns in the recipe instead"
        )
    if isinstance(given, Recipe | Mapping):
        return build_recipe(given, "recipe", overrides)
    if not is_source(given):
        return load_recipe(Path(given), overrides)
    source = os.fspath(given)
    _check_source(source)
    draft = draft_recipe(_name_source(source), source, observer, columns)
    return build_recipe(read_document(draft).content, source, overrides)


def is_source(given: Given) -> bool:
    """Say whether images were named, and no recipe."""
    if isinstance(given, Recipe | Mapping):
        return False
    return Path(given).suffix.lower() not in (".yaml", ".yml")


def list_overrides(
    changes: Mapping[str, Any] | Sequence[str],
    *,
    backbone: str | None = None,
    image_size: str | int | tuple[int, int] | None = None,
    epochs: int | None = None,
) -> tuple[str, ...]:
    """Return ``key=value`` texts for changes and for the shorthands of three of them.

    Example:
        >>> list_overrides({"seed": 3}, image_size="96x128", epochs=2)
        ('data.image_size=[96, 128]', 'phases[].epochs=2', 'seed=3')
    """
    texts = []
    if backbone is not None:
        texts.append(f"model.backbone={render_inline(backbone)}")
    if image_size is not None:
        sides = re.split("[xX]", image_size) if isinstance(image_size, str) else image_size
        shown = sides if isinstance(sides, int) else ", ".join(map(str, sides))
        is_square = isinstance(sides, int) or len(sides) == 1
        texts.append(f"data.image_size={shown if is_square else f'[{shown}]'}")
    if epochs is not None:
        texts.append(f"phases[].epochs={epochs}")
    if isinstance(changes, Mapping):
        return (*texts, *(f"{key}={render_inline(value)}" for key, value in changes.items()))
    return (*texts, *([changes] if isinstance(changes, str) else changes))


def _check_source(source: str) -> None:
    """Refuse what is no source of images before anything is read."""
    if "://" in source or source.startswith("builtin:"):
        return
    path = Path(source).expanduser()
    if is_run(path):
        raise RequestError(
            f"{source}: is a run; resume it with `tfclassify train --resume {source}`, or train "
            f"its recipe anew: `tfclassify train {path / 'recipe.yaml'}`"
        )
    refuse_absent([source], "give a recipe (.yaml), or a folder, zip, tar or table of images")


def refuse_absent(paths: Sequence[str | os.PathLike[str]], advice: str) -> None:
    """Refuse paths none of which leads anywhere, before anything is started.

    Args:
        paths: One or more, as the user named them.
        advice: What to name instead, in the imperative.

    Raises:
        TargetError: If none is there; the nearest name is given.
    """
    if any(is_there(path) for path in paths):
        return
    path = Path(paths[0]).expanduser()
    siblings = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
    others = f" (nor any of {len(paths) - 1:,} others)" if len(paths) > 1 else ""
    raise TargetError(
        f"{paths[0]}: there is no such file or folder{others}{suggest(path.name, siblings)}; "
        f"{advice}"
    )


def _name_source(source: str) -> str:
    """Return a name for the runs of a source: ``photos/`` is photos, ``a b.tar.gz`` a_b."""
    stem = re.split(r"[/\\:]", source.rstrip("/\\"))[-1]
    stem = re.sub(r"(\.tar)?\.\w+$", "", stem) or Path(source).resolve().name
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).lstrip("._-")[:80]
    return name or "images"
