"""Every fault of a recipe's content, also those that hide behind others.

Owns: the rounds of checking, in which what is wrong is taken out so that the rest can be
judged. Does not own: the wording (``problems``), the checks across sections (``checks``).
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from tfclassify.recipe.checks import check_recipe, settle
from tfclassify.recipe.problems import MAX_FAULTS, Fault, drop_related, list_faults
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import KeyPath

#: Values that stand in for required keys while the rest of a faulty recipe is checked.
_STAND_INS: dict[str, Any] = {
    "name": "unnamed",
    "data": {"source": "data"},
    "source": "data",
    "model": {"backbone": "efficientnet_lite0"},
    "backbone": "efficientnet_lite0",
    "phases": [{"name": "unnamed", "epochs": 1}],
    "epochs": 1,
}
_ROUNDS = 6


def validate(content: Any) -> tuple[Recipe | None, list[Fault]]:
    """Check plain content against the schema and across sections.

    Args:
        content: Mappings, lists and scalars, as a document holds them.

    Returns:
        The settled recipe, None if there are faults; and every fault.
    """
    draft = _Draft(content)
    for _ in range(_ROUNDS):
        try:
            recipe = settle(Recipe.model_validate(_to_tuples(draft.content), strict=True))
        except ValidationError as error:
            draft.take_out(list_faults(error, draft.content))
            more = error.error_count() - MAX_FAULTS
            if more > 0:
                told = f"there are at least {more:,} more problems; mend these first"
                draft.faults.append(Fault((), "check", told))
                break
            continue
        draft.note(check_recipe(recipe))
        return (None if draft.faults else recipe), draft.faults
    return None, draft.faults


def _to_tuples(value: Any) -> Any:
    """Turn lists into tuples, which is what the strict schema asks for."""
    if isinstance(value, dict):
        return {key: _to_tuples(item) for key, item in value.items()}
    return tuple(_to_tuples(item) for item in value) if isinstance(value, list) else value


class _Draft:
    """A recipe's content on the way to being valid, and what was wrong with it."""

    def __init__(self, content: Any) -> None:
        self.content = content
        self.faults: list[Fault] = []
        self._wrong: list[KeyPath] = []
        self._renamed: dict[KeyPath, KeyPath] = {}

    def note(self, found: list[Fault]) -> None:
        """Remember faults, but for those that follow from earlier ones."""
        for fault in drop_related(found, self._wrong):
            self.faults.append(replace(fault, path=self._restore(fault.path)))

    def _restore(self, path: KeyPath) -> KeyPath:
        """Return a path as the user wrote it, misspelt keys included."""
        for length in range(len(path), 0, -1):
            written = self._renamed.get(path[:length])
            if written is not None:
                return (*self._restore(written[:-1]), written[-1], *path[length:])
        return path

    def take_out(self, found: list[Fault]) -> None:
        """Remember faults and take them out of a copy of the content."""
        self.note(found)
        self.content = copy.deepcopy(self.content)
        for fault in found:
            if fault.kind != "extra_forbidden":
                self._wrong.append(fault.path)
            self._repair(fault)

    def _repair(self, fault: Fault) -> None:
        """Rename, replace or remove the innermost key or phase that a fault lies in."""
        path, parents = fault.path, [self.content]
        for step in path[:-1]:
            try:
                parents.append(parents[-1][step])
            except (KeyError, IndexError, TypeError):
                return  # a fault above has already been repaired
        for depth in range(len(path) - 1, -1, -1):
            parent, step = parents[depth], path[depth]
            if isinstance(parent, dict):
                self._repair_key(parent, path[: depth + 1], fault.meant)
                return
            if isinstance(parent, list) and path[:depth] == ("phases",):
                parent[int(step)] = {"name": f"unnamed {step}", "epochs": 1}
                return

    def _repair_key(self, parent: dict[str, Any], path: KeyPath, meant: str | None) -> None:
        key = str(path[-1])
        if meant is not None and meant not in parent and key in parent:
            parent[meant] = parent.pop(key)
            self._renamed[(*path[:-1], meant)] = path
        elif meant is None and key in _STAND_INS:
            parent[key] = copy.deepcopy(_STAND_INS[key])
            if path[0] == "phases" and key == "name":
                parent[key] = f"unnamed {path[1]}"  # names of phases must differ
        else:
            parent.pop(key, None)
