"""Where a tensor's values come from in the input: the state of the receptive field walk.

Owns: the state of one tensor and how states are mixed and joined. Does not own: what an
operation does to it (``field_rules``). Imports no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfclassify.profiler.spans import Extent, Span, unite_spans

Places = tuple[frozenset[int], ...]
NOWHERE: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Field:
    """What the values of one tensor depend on.

    Attributes:
        places: For each axis of the tensor, the input's spatial axes that a step along
            it moves in.
        spans: The span in each of the input's spatial axes; None where it is not known.
    """

    places: Places
    spans: tuple[Span, ...] | None

    @property
    def extent(self) -> Extent | None:
        """Return the receptive field, or None where it is not known."""
        return Extent(self.spans) if self.spans else None

    def unknown(self, rank: int) -> Field:
        """Return a field of which nothing is known but that it depends on the input."""
        return Field((NOWHERE,) * rank, None)

    def mixed(self, axes: Iterable[int]) -> Field:
        """Return the field after all positions along some axes were mixed."""
        touched = frozenset[int]().union(*(self.places[axis] for axis in axes))
        if self.spans is None or not touched:
            return self
        spans = tuple(
            span.after_everything() if number in touched else span
            for number, span in enumerate(self.spans)
        )
        return Field(self.places, spans)

    def placed(self, places: Sequence[frozenset[int]]) -> Field:
        """Return the field with other places; an axis met twice becomes global.

        Where a step along two different axes moves in the same input axis, as in a table
        of all pairs of positions, no single span says what a value depends on.
        """
        counts = [sum(number in place for place in places) for number in range(self.rank)]
        if self.spans is None or max(counts, default=0) < 2:
            return Field(tuple(places), self.spans)
        spans = tuple(
            span.after_everything() if count > 1 else span
            for span, count in zip(self.spans, counts, strict=True)
        )
        return Field(tuple(places), spans)

    @property
    def rank(self) -> int:
        """Return the number of the input's spatial axes."""
        return len(self.spans or ())


def start_field(rank: int) -> Field | None:
    """Return the field of an input of a rank, channels last; None if it has no map."""
    axes = rank - 2
    if axes < 1:
        return None
    places = (NOWHERE, *(frozenset({axis}) for axis in range(axes)), NOWHERE)
    return Field(places, (Span(),) * axes)


def unite_fields(fields: Sequence[Field], rank: int) -> Field:
    """Return the field of what is computed value by value, with broadcasting.

    Args:
        fields: Those of the operands that depend on the input.
        rank: Of the result; operands of a lower rank are aligned at the right.
    """
    places = [NOWHERE] * rank
    for field in fields:
        for axis, place in enumerate(field.places):
            target = axis + rank - len(field.places)
            places[target] = places[target] | place
    if any(field.spans is None for field in fields):
        return Field(tuple(places), None)
    return Field(tuple(places), _unite_all(fields))


def _unite_all(fields: Sequence[Field]) -> tuple[Span, ...] | None:
    moving = [frozenset[int]().union(*field.places) for field in fields]
    spans = fields[0].spans
    for field, moves in zip(fields[1:], moving[1:], strict=True):
        if spans is None or field.spans is None or len(spans) != len(field.spans):
            return None
        united = []
        for number, (one, other) in enumerate(zip(spans, field.spans, strict=True)):
            # One that stands still beside one that moves has no span in common with it.
            stands_still = (number in moving[0]) != (number in moves)
            both = unite_spans(one, other)
            if both is None or (stands_still and not both.is_global):
                return None
            united.append(both)
        spans = tuple(united)
    return spans


def reshape_places(
    places: Places, before: Sequence[int], after: Sequence[int]
) -> list[frozenset[int]]:
    """Return the places of each axis after a reshape, which keeps the order of values.

    Axes are matched in the smallest groups of equal size. An axis that stands alone in
    its group keeps its place; those of a larger group get all places of the group.
    """
    result: list[frozenset[int]] = []
    old = new = 0
    while new < len(after) or old < len(before):
        old_end, new_end = _match_group(before, after, old, new)
        here = [axis for axis in range(old, old_end) if before[axis] != 1]
        joined = frozenset[int]().union(*(places[axis] for axis in here))
        targets = [axis for axis in range(new, new_end) if after[axis] != 1]
        for axis in range(new, new_end):
            result.append(joined if axis in targets else NOWHERE)
        old, new = old_end, new_end
    return result


def _match_group(
    before: Sequence[int], after: Sequence[int], old: int, new: int
) -> tuple[int, int]:
    """Return where the next smallest group of equal size ends on both sides."""
    old_end, new_end = min(old + 1, len(before)), min(new + 1, len(after))
    while True:
        left, right = math.prod(before[old:old_end]), math.prod(after[new:new_end])
        if left == right:
            return old_end, new_end
        if left < right and old_end < len(before):
            old_end += 1
        elif new_end < len(after):
            new_end += 1
        else:
            return len(before), len(after)
