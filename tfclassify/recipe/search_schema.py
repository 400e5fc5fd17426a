"""The section ``search`` of a recipe: what a search may change, and within what.

Owns: its keys and forms, the named spaces, the check that every value it could propose
would make a valid recipe. Does not own: proposing (``tuning``), the rest of the recipe.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from tfclassify.recipe.fields import Section
from tfclassify.recipe.wording import KeyPath, join_names, parse_path, render_path, show

if TYPE_CHECKING:
    from tfclassify.recipe.schema import Recipe

Pair = tuple[float, float]


def to_dimension(value: Any) -> Any:
    """Let ``[a, b, c]`` stand for ``{choices: [a, b, c]}``."""
    return {"choices": value} if isinstance(value, (list, tuple)) else value


class DimensionRecipe(Section):
    """What one key may be: one of some choices, or a number between two bounds."""

    choices: Annotated[tuple[Any, ...], Field(min_length=1)] | None = Field(
        None, description="The values to choose from; a plain list means this."
    )
    range: Pair | None = Field(None, description="Lowest and highest number.")
    log: Pair | None = Field(None, description="The same, on a logarithmic scale.")
    int: Pair | None = Field(None, description="Lowest and highest whole number.")
    step: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Distance between the numbers of range and int."
    )
    when: dict[str, Any] = Field(
        {}, description="Other keys of the search and the values at which this one is asked for."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("choices", "range", "log", "int") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("give exactly one of choices, range, log and int")
        bounds = self.bounds
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"{given[0]} must rise from the first to the second number")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError("log must begin above 0")
        if self.int is not None and any(bound != round(bound) for bound in self.int):
            raise ValueError("int must be two whole numbers")
        if self.step is not None and (self.choices or self.log):
            raise ValueError("step must stand beside range or int")
        return self

    @property
    def bounds(self) -> Pair | None:
        """The lowest and the highest number, or None where there are choices."""
        return self.range or self.log or self.int

    def list_extremes(self) -> list[Any]:
        """Return every choice, or both bounds."""
        if self.choices is not None:
            return list(self.choices)
        assert self.bounds is not None
        low, high = self.bounds
        return [int(low), int(high)] if self.int is not None else [low, high]


SpaceName = Literal["head", "augment", "whole"]
SearchRecipe = SpaceName | dict[str, Annotated[DimensionRecipe, BeforeValidator(to_dimension)]]


def find_space(recipe: Recipe) -> dict[str, DimensionRecipe]:
    """Return the space of a recipe's search, a named one spelt out, by recipe key.

    ``head`` is what is behind the backbone, ``augment`` how much images are changed, and
    ``whole``, which also stands where the recipe has no search, how the backbone is
    fine-tuned, and the head.
    """
    if isinstance(recipe.search, dict):
        return recipe.search
    spaces = {"head": _make_head_space, "augment": _make_augment_space, "whole": _make_whole_space}
    raw = spaces[recipe.search or "whole"](recipe)
    return {key: DimensionRecipe(**values) for key, values in raw.items()}


def _make_head_space(recipe: Recipe) -> dict[str, dict[str, Any]]:
    space: dict[str, dict[str, Any]] = {
        "model.head.dropout": {"range": (0.0, 0.6)},
        "model.head.dense": {"choices": ((), (128,), (256,), (512,))},
        "loss.label_smoothing": {"choices": (0.0, 0.05, 0.1)},
        "class_weights": {"choices": ("none", "balanced")},
    }
    for number, phase in enumerate(recipe.phases):
        if phase.train == "head":
            space[f"phases[{number}].learning_rate"] = {"log": (1e-4, 2e-2)}
            space[f"phases[{number}].optimizer"] = {"choices": ("adam", "adamw", "sgd")}
    return (
        space
        if recipe.task == "multi_class"
        else {key: values for key, values in space.items() if key != "loss.label_smoothing"}
    )


def _make_augment_space(recipe: Recipe) -> dict[str, dict[str, Any]]:
    return {
        "augment.rotate": {"range": (0.0, 0.25)},
        "augment.zoom": {"range": (0.0, 0.3)},
        "augment.brightness": {"range": (0.0, 0.3)},
        "augment.contrast": {"range": (0.0, 0.3)},
        "augment.mix.cutmix": {"range": (0.0, 0.5)},
        "augment.mix.mixup": {"range": (0.0, 0.5)},
    }


def _make_whole_space(recipe: Recipe) -> dict[str, dict[str, Any]]:
    space: dict[str, dict[str, Any]] = {"model.head.dropout": {"range": (0.0, 0.6)}}
    for number, phase in enumerate(recipe.phases):
        low, high = (1e-4, 2e-2) if phase.train == "head" else (2e-5, 1e-3)
        space[f"phases[{number}].learning_rate"] = {"log": (low, high)}
        if phase.train != "head":
            space[f"phases[{number}].weight_decay"] = {"log": (1e-4, 1e-1)}
            space[f"phases[{number}].layer_decay"] = {"choices": (None, 0.9, 0.75)}
    return space


ListFaults = Callable[[Any], list[tuple[KeyPath, str]]]
#: Sections that decide which images a trial is judged on, and by what; and what of them may
#: be searched all the same.
_NOT_SEARCHED = ("name", "seed", "task", "metric", "data", "search")
_SEARCHED_DATA = ("data.image_size", "data.resize")


def check_search(
    recipe: Recipe, content: Mapping[str, Any], list_faults: ListFaults
) -> Iterator[tuple[KeyPath, str]]:
    """Find what is wrong in a recipe's search: path and message.

    Every choice and both bounds of every key are put into the recipe in turn and checked
    as if they had been written there.

    Args:
        recipe: The recipe.
        content: The same as plain mappings and lists.
        list_faults: Lists the faults of such content.
    """
    space = find_space(recipe)
    plain = {key: value for key, value in content.items() if key != "search"}
    for key, dimension in space.items():
        path: KeyPath = ("search", key)
        try:
            target = parse_path(key)
        except ValueError as error:
            yield path, f"{error}; write it as phases[0].learning_rate"
            continue
        if render_path(target[:2]) not in _SEARCHED_DATA and target[0] in _NOT_SEARCHED:
            yield (
                path,
                f"{target[0]!r} cannot be searched: trials are compared on the same images by "
                "the same metric",
            )
            continue
        yield from _check_conditions(key, dimension, space)
        yield from _check_values(plain, path, target, dimension, list_faults)


def _check_conditions(
    key: str, dimension: DimensionRecipe, search: Mapping[str, DimensionRecipe]
) -> Iterator[tuple[KeyPath, str]]:
    known = list(search)
    for other, value in dimension.when.items():
        path: KeyPath = ("search", key, "when", other)
        if other not in search:
            yield path, f"is not searched itself; allowed are {join_names(known, 'and')}"
        elif known.index(other) >= known.index(key):
            yield path, f"must stand before {key!r} in the search"
        elif search[other].choices is None:
            yield path, "is a number between bounds; a condition needs a key with choices"
        elif value not in (search[other].choices or ()):
            choices = join_names([show(choice) for choice in search[other].choices or ()])
            yield path, f"is never {show(value)}; its choices are {choices}"


def _check_values(
    content: Mapping[str, Any],
    path: KeyPath,
    target: KeyPath,
    dimension: DimensionRecipe,
    list_faults: ListFaults,
) -> Iterator[tuple[KeyPath, str]]:
    kind = next(name for name in ("choices", "range", "log", "int") if getattr(dimension, name))
    told: set[str] = set()
    for number, value in enumerate(dimension.list_extremes()):
        try:
            changed = put_value(content, target, value)
        except ValueError as error:
            yield path, str(error)
            return
        for place, message in list_faults(changed):
            text = message if place == target else f"{render_path(place)}: {message}"
            if text not in told:
                told.add(text)
                yield (*path, kind, number), text


def put_value(content: Mapping[str, Any], path: KeyPath, value: Any) -> dict[str, Any]:
    """Return a copy of a recipe's content with one key set; mappings on the way are made.

    Raises:
        ValueError: If the path leads through something that has no such part.
    """
    result = copy.deepcopy(dict(content))
    place: Any = result
    for depth, step in enumerate(path[:-1]):
        if isinstance(place, dict) and isinstance(step, str):
            if place.get(step) is None:
                place[step] = {}
            place = place[step]
        elif isinstance(place, list) and isinstance(step, int) and -len(place) <= step < len(place):
            place = place[step]
        else:
            raise ValueError(f"{render_path(path[: depth + 1])} is not in the recipe")
    last = path[-1]
    is_item = isinstance(place, list) and isinstance(last, int) and -len(place) <= last < len(place)
    if not is_item and not (isinstance(place, dict) and isinstance(last, str)):
        raise ValueError(f"{render_path(path)} is not in the recipe")
    place[last] = [*value] if isinstance(value, tuple) else value
    return result
