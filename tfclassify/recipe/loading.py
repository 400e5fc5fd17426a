"""From a YAML file to a ``Recipe``, and back.

Owns: the order of the steps (read, inherit, override, validate, check) and that all
problems are reported at once. Does not own: any single step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from tfclassify.errors import Problem, RecipeError
from tfclassify.recipe.checks import settle
from tfclassify.recipe.document import Document, read_document
from tfclassify.recipe.inheritance import read_recipe
from tfclassify.recipe.overrides import Override, apply_override, parse_override, spread_override
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.validation import validate
from tfclassify.recipe.wording import show
from tfclassify.recipe.writing import render_yaml

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
    return _build(document, str(path), overrides)


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
    if problems or recipe is None:
        raise RecipeError(where, _sort(problems))
    return recipe


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
    content = settle(recipe).model_dump(mode="json")
    return render_yaml(content)
