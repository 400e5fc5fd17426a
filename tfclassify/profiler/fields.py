"""Where a tensor's values come from in the input: the state of the receptive field walk.

Owns: the state of one tensor and how states are mixed and joined. Does not own: what an
operation does to it (``field_rules``). Imports no TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tfclassify.profiler.spans import Extent, Span, unite_spans

#: What a step along one axis of a tensor moves in: the input's axes, outermost first, each
#: with its length where several were joined into one; -1 stands for what is no place.
Place = tuple[tuple[int, int], ...]
NOWHERE: Place = ()


@dataclass(frozen=True)
class Field:
    """What the values of one tensor depend on.

    Attributes:
        places: For each axis of the tensor, what a step along it moves in.
        spans: The span in each of the input's spatial axes; None where it is not known.
    """

    places: tuple[Place, ...]
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
        touched = axes_of(*(self.places[axis] for axis in axes))
        if self.spans is None or not touched:
            return self
        spans = tuple(
            span.after_everything() if number in touched else span
            for number, span in enumerate(self.spans)
        )
        return Field(self.places, spans)

    def placed(self, places: Sequence[Place]) -> Field:
        """Return the field with other places; an axis met twice becomes global.

        Where a step along two different axes moves in the same input axis, as in a table
        of all pairs of positions, no single span says what a value depends on.
        """
        counts = [sum(number in axes_of(place) for place in places) for number in range(self.rank)]
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


def axes_of(*places: Place) -> set[int]:
    """Return the input's axes that some places move in."""
    return {axis for place in places for axis, _ in place if axis >= 0}


def _merge(one: Place, other: Place) -> Place:
    """Return the place of what is computed from two operands."""
    if not one or not other:
        return one or other
    return one if axes_of(one) == axes_of(other) else one + other


def start_field(rank: int) -> Field | None:
    """Return the field of an input of a rank, channels last; None if it has no map."""
    axes = rank - 2
    if axes < 1:
        return None
    places = (NOWHERE, *(((axis, 0),) for axis in range(axes)), NOWHERE)
    return Field(places, (Span(),) * axes)


def unite_fields(fields: Sequence[Field], rank: int) -> Field:
    """Return the field of what is computed value by value, with broadcasting.

    Args:
        fields: Those of the operands that depend on the input.
        rank: Of the result; operands of a lower rank are aligned at the right.
    """
    places: list[Place] = [NOWHERE] * rank
    for field in fields:
        for axis, place in enumerate(field.places):
            target = axis + rank - len(field.places)
            places[target] = _merge(places[target], place)
    if any(field.spans is None for field in fields):
        return Field(tuple(places), None)
    return Field(tuple(places), _unite_all(fields))


def _unite_all(fields: Sequence[Field]) -> tuple[Span, ...] | None:
    moving = [axes_of(*field.places) for field in fields]
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
    places: Sequence[Place], before: Sequence[int], after: Sequence[int]
) -> list[Place]:
    """Return the places of each axis after a reshape, which keeps the order of values.

    Axes are matched in the smallest groups of equal size. Within a group each is a factor,
    and the new axes take the factors in order, so that a map that was laid out in a row
    finds its two axes again.
    """
    result: list[Place] = []
    old = new = 0
    while new < len(after) or old < len(before):
        old_end, new_end = _match_group(before, after, old, new)
        factors = [
            factor
            for axis in range(old, old_end)
            if before[axis] != 1
            for factor in _list_factors(places[axis], before[axis])
        ]
        result += _deal_out(factors, after[new:new_end])
        old, new = old_end, new_end
    return result


def _list_factors(place: Place, length: int) -> list[tuple[int, int]]:
    if len(place) > 1:
        return list(place)
    return [(place[0][0] if place else -1, length)]


def _deal_out(factors: list[tuple[int, int]], lengths: Sequence[int]) -> list[Place]:
    """Give each new axis the factors whose product is its length."""
    if not axes_of(tuple(factors)):
        return [NOWHERE] * len(lengths)
    dealt: list[Place] = []
    left = list(factors)
    for length in lengths:
        taken: list[tuple[int, int]] = []
        while math.prod(size for _, size in taken) < length and left:
            axis, size = left.pop(0)
            missing = length // math.prod(each for _, each in taken)
            if axis < 0 and size > missing and size % missing == 0:
                left.insert(0, (axis, size // missing))
                size = missing
            taken.append((axis, size))
        if math.prod(size for _, size in taken) != length:
            # An axis of the map is cut into pieces: each of them moves in all of it.
            return [tuple(factors) * 2 if length != 1 else NOWHERE for length in lengths]
        dealt.append(_tidy(taken))
    return dealt


def _tidy(factors: list[tuple[int, int]]) -> Place:
    if not axes_of(tuple(factors)):
        return NOWHERE
    return ((factors[0][0], 0),) if len(factors) == 1 else tuple(factors)


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
