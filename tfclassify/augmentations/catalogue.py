"""The catalogue of augmentations: one entry says all that there is to know of one.

Owns: what an entry is, the entries together, in the order of their work, and users' own.
Does not own: a single entry (``geometry``, ``colour``, ``degradation``), running them
(``pipeline.augmentation``), checking a recipe's values (``recipe.augment_schema``, whose
keys are made from the entries).

A picture is first taken, then lit, then damaged: positions, colours, pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from tfclassify.augmentations import colour, degradation, geometry
from tfclassify.augmentations.entry import Augmentation

#: Name -> entry, in the order of their work; users' own after those.
AUGMENTATIONS: dict[str, Augmentation] = {
    entry.name: entry for entry in (*geometry.ENTRIES, *colour.ENTRIES, *degradation.ENTRIES)
}
#: The entries that are keys of a recipe by themselves; others stand under ``custom``.
BUILT_IN = tuple(AUGMENTATIONS)
#: Where installed packages announce entries: each entry point is an ``Augmentation``.
ENTRY_POINTS = "tfclassify.augmentations"


class Chosen(Protocol):
    """What a recipe chose; ``AugmentRecipe`` is one. Built-in names are attributes."""

    @property
    def custom(self) -> Mapping[str, Any]:
        """Users' own augmentations and their values."""


def register_augmentation(entry: Augmentation) -> None:
    """Add an augmentation of one's own; recipes name it under ``augment.custom``.

    One from the same module replaces the one before, so a notebook's cell may run twice.

    Args:
        entry: The augmentation. Its key must be a range or a fraction, and the only one.

    Raises:
        ValueError: If the name is taken, or is no name, or the key is of another kind.

    Example:
        >>> import numpy as np
        >>> def darken(image, factor):
        ...     return (image * factor).astype(np.uint8)
        >>> register_augmentation(
        ...     Augmentation(
        ...         name="darkness",
        ...         acts_on="pixels",
        ...         key=Key("fraction", "Largest share of light taken away.", 0.0),
        ...         draw=lambda most, draws, size: (1 - draws.uniform("darkness", 0, most),),
        ...         apply=darken,
        ...         words=lambda most: f"darkness up to {100 * most:g} %",
        ...     )
        ... )
    """
    if not entry.name.isidentifier():
        raise ValueError(
            f"register_augmentation: a name is letters, digits and underscores, got {entry.name!r}"
        )
    there = AUGMENTATIONS.get(entry.name, entry)
    if entry.name in BUILT_IN or there.draw.__module__ != entry.draw.__module__:
        raise ValueError(
            f"register_augmentation: there is an augmentation {entry.name!r}; choose another name"
        )
    if entry.options or entry.key.kind not in ("range", "fraction"):
        raise ValueError(
            f"register_augmentation: {entry.name!r} must take one range or fraction, got "
            f"{entry.key.kind!r} and {len(entry.options)} options"
        )
    AUGMENTATIONS[entry.name] = entry


def find_custom(name: str) -> Augmentation:
    """Return a user's own augmentation, registered here or by an installed package.

    What is loaded are the packages that are installed, all of them, whatever the name.

    Raises:
        ValueError: If there is none of the name, or a package's entry is none.
    """
    _load_packages()
    if name not in AUGMENTATIONS or name in BUILT_IN:
        own = ", ".join(sorted(set(AUGMENTATIONS) - set(BUILT_IN))) or "none"
        raise ValueError(
            f"no augmentation {name!r} is registered (there is: {own}); install the package "
            "that has it or call register_augmentation first"
        )
    return AUGMENTATIONS[name]


def list_chosen(chosen: Chosen) -> list[tuple[Augmentation, Any]]:
    """List what a recipe switches on, with its value, in the order of the work.

    Raises:
        ValueError: If a user's own is not registered; see ``find_custom``.
    """
    built_in = ((AUGMENTATIONS[name], getattr(chosen, name)) for name in BUILT_IN)
    found = [(entry, value) for entry, value in built_in if value != entry.key.default]
    for name, value in sorted(chosen.custom.items()):
        entry = find_custom(name)
        # Beside its kind: one that acts on positions joins the one resampling.
        kinds = [other.acts_on for other, _ in found]
        place = max((k + 1 for k, kind in enumerate(kinds) if kind == entry.acts_on), default=None)
        if place is None:
            place = {"positions": 0, "pixels": len(found)}.get(
                entry.acts_on, sum(kind == "positions" for kind in kinds)
            )
        found.insert(place, (entry, value))
    return found


def describe_chosen(chosen: Chosen) -> list[str]:
    """Say what a recipe switches on, as a report does: ``rotation ±36°``.

    What is not registered here is said in the recipe's words.
    """
    built_in = ((AUGMENTATIONS[name], getattr(chosen, name)) for name in BUILT_IN)
    said = [entry.words(value) for entry, value in built_in if value != entry.key.default]
    for name, value in sorted(chosen.custom.items()):
        entry = AUGMENTATIONS.get(name)
        said.append(entry.words(value) if entry is not None else f"{name} {value}")
    return said


@lru_cache(maxsize=1)
def _load_packages() -> None:
    """Register what installed packages announce, once."""
    for point in entry_points(group=ENTRY_POINTS):
        entry = point.load()
        if not isinstance(entry, Augmentation):
            raise ValueError(
                f"entry point {point.value!r} of {ENTRY_POINTS} must be an Augmentation, got "
                f"{type(entry).__name__}"
            )
        register_augmentation(entry)
