"""Words the name that was probably meant, at the end of an error about data.

Owns: the wording. Does not own: the search for it (``recipe.wording``).
"""

from __future__ import annotations

from collections.abc import Iterable

from tfclassify.recipe.wording import find_nearest


def suggest(name: str, known: Iterable[str]) -> str:
    """Return ``; nearest is 'x'``, or nothing where no known name is like it."""
    nearest = find_nearest(name, known)
    return f"; nearest is {nearest!r}" if nearest is not None else ""
