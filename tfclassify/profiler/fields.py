"""The part of an input axis that one output position depends on, in exact arithmetic.

Owns: the interval and its rules, and the state of one tensor. Does not own: which operation
does which (``receptive_field``). Imports no TensorFlow.

Position ``o`` of an output depends on the input positions from ``low + o * stride`` to
``high + o * stride``, ends included, so that

    size = high - low + 1        padding = -low

as in Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural
Networks" (distill.pub), whose recurrences the functions here are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Span:
    """What one output position depends on along one input axis.

    Attributes:
        low: First input position that output position 0 depends on.
        high: Last one.
        stride: Input positions between two neighbouring output positions.
        is_global: Whether every output depends on the whole axis.
        is_aligned: Whether all paths to the output share their centre.
    """

    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    stride: Fraction = Fraction(1)
    is_global: bool = False
    is_aligned: bool = True

    @property
    def size(self) -> Fraction:
        """Return the number of input positions in it."""
        return self.high - self.low + 1

    @property
    def padding(self) -> Fraction:
        """Return how far it reaches before the first input position."""
        return -self.low

    def after_window(self, taps: int, step: Fraction | int, pad: int, dilation: int = 1) -> Span:
        """Return the span after a window of ``taps`` moved by ``step``, ``pad`` before."""
        reach = Fraction(dilation * (taps - 1))
        return replace(
            self,
            low=self.low - pad * self.stride,
            high=self.high + (reach - pad) * self.stride,
            stride=self.stride * step,
        )

    def after_transposed_window(self, taps: int, step: int, pad: int) -> Span:
        """Return the span after a transposed convolution, ``pad`` cropped before.

        Output o meets the inputs i with ``i * step <= o + pad <= i * step + taps - 1``.
        """
        return replace(
            self,
            low=self.low + self.stride * Fraction(pad - taps + 1, step),
            high=self.high + self.stride * Fraction(pad, step),
            stride=self.stride / step,
        )

    def after_shift(self, positions: int) -> Span:
        """Return the span after the first ``positions`` are cut off; negative pads."""
        offset = positions * self.stride
        return replace(self, low=self.low + offset, high=self.high + offset)

    def after_crop(self, positions: int, step: int) -> Span:
        """Return the span where every ``step``-th position is kept, behind a shift."""
        return self.after_shift(positions).after_window(1, step, 0)

    def after_interleaving(self, block: int, crop: int) -> Span:
        """Return the span where ``block`` thinned maps fall into each other again."""
        return self.after_window(1, Fraction(1, block), 0).after_shift(crop)

    def after_scaling(self, ratio: Fraction, below: Fraction, above: Fraction) -> Span:
        """Return the span where output o reads ``o * ratio + below`` to ``… + above``."""
        return replace(
            self,
            low=self.low + below * self.stride,
            high=self.high + above * self.stride,
            stride=self.stride * ratio,
        )

    def after_everything(self) -> Span:
        """Return the span of what depends on the whole axis."""
        return replace(self, is_global=True)


def unite_spans(one: Span, other: Span) -> Span | None:
    """Return the smallest span that holds both; None where their strides differ."""
    if one.is_global or other.is_global:
        return replace(one, is_global=True)
    if one.stride != other.stride:
        return None
    return Span(
        min(one.low, other.low),
        max(one.high, other.high),
        one.stride,
        is_aligned=one.is_aligned
        and other.is_aligned
        and one.low + one.high == other.low + other.high,
    )


@dataclass(frozen=True)
class Extent:
    """A receptive field: one span for each spatial axis of the input."""

    spans: tuple[Span, ...]

    @property
    def is_global(self) -> bool:
        """Return whether the whole input is in it."""
        return all(span.is_global for span in self.spans)

    @property
    def is_aligned(self) -> bool:
        """Return whether all paths to the output share their centres."""
        return all(span.is_aligned for span in self.spans)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: one number where the axes agree, else a list."""
        if self.is_global:
            return {"global": True}
        facts = {
            "size": [span.size for span in self.spans],
            "stride": [span.stride for span in self.spans],
            "padding": [span.padding for span in self.spans],
        }
        plain = {
            name: _merge_numbers([_plain(n) for n in values]) for name, values in facts.items()
        }
        return {"global": False, **plain, "aligned": self.is_aligned}

    def describe(self) -> str:
        """Return it for a table: ``483/32``, ``7x1/2`` or ``global``."""
        if self.is_global:
            return "global"
        sizes = ["all" if span.is_global else str(_plain(span.size)) for span in self.spans]
        strides = [str(_plain(span.stride)) for span in self.spans]
        mark = "" if self.is_aligned else " uneven"
        return f"{_join(sizes)}/{_join(strides)}{mark}"


def _plain(number: Fraction) -> int | float:
    return number.numerator if number.denominator == 1 else float(number)


def _merge_numbers(values: list[int | float]) -> int | float | list[int | float]:
    return values[0] if len(set(values)) == 1 else values


def _join(words: list[str]) -> str:
    return words[0] if len(set(words)) == 1 else "x".join(words)


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
