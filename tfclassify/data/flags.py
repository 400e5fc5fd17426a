"""Marks of images, such as blurred or dark, that a table packs into the bits of a number.

Owns: ``data.flags`` and what follows from a mark. Does not own: the column
(``csv_source``).
"""

from __future__ import annotations

import math

from tfclassify.data.listing import Row
from tfclassify.errors import SourceError
from tfclassify.recipe.schema import DataRecipe


def decode_flags(value: str, place: str, data: DataRecipe) -> tuple[str, ...]:
    """Return the marks that a number stands for.

    Args:
        value: The cell: a whole number, or nothing for 0.
        place: Where it stands, for messages.
        data: Its ``flags`` name the bits.

    Returns:
        The marks, in the order of ``data.flags``.

    Raises:
        SourceError: If it is no whole number, or holds a bit without a name.
    """
    if not value:
        return ()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (number.is_integer() and 0 <= number < 2**53):
        raise SourceError(
            f"{place}: flags must be a whole number of at least 0, got {value!r} "
            f"(data.columns.flags: {data.columns.flags!r})"
        )
    bits = int(number)
    unknown = bits & ~sum(data.flags.values())
    if unknown:
        known = ", ".join(f"{name} {bit}" for name, bit in data.flags.items())
        raise SourceError(
            f"{place}: flags {bits} hold the bit {unknown & -unknown}, which data.flags does not "
            f"name; it has {known}; name the bit there"
        )
    return tuple(name for name, bit in data.flags.items() if bits & bit)


def select_by_flags(rows: list[Row], data: DataRecipe) -> list[Row]:
    """Leave out the rows that ``drop_flags`` and ``keep_flags`` say."""
    dropped, kept = set(data.drop_flags), set(data.keep_flags)
    return [
        row
        for row in rows
        if dropped.isdisjoint(row.flags) and (not kept or not kept.isdisjoint(row.flags))
    ]


def weigh_flags(flags: tuple[str, ...], data: DataRecipe) -> float:
    """Return what an image's marks multiply its weight by."""
    return math.prod(data.flag_weights.get(flag, 1.0) for flag in flags)
