"""The part of an input axis that one output position depends on, in exact arithmetic.

Owns: the interval and its rules: windows, shifts, unions. Does not own: which operation
does which (``field_rules``). Imports no TensorFlow.

Position ``o`` of an output depends on the input positions from ``low + o * stride`` to
``high + o * stride``, ends included, so that

    size = high - low + 1        padding = -low

as in Araujo, Norris and Sim 2019, "Computing Receptive Fields of Convolutional Neural
Networks" (distill.pub), whose recurrences the functions here are.
"""

from __future__ import annotations

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
        plain = {name: _merge([_plain(n) for n in values]) for name, values in facts.items()}
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


def _merge(values: list[int | float]) -> int | float | list[int | float]:
    return values[0] if len(set(values)) == 1 else values


def _join(words: list[str]) -> str:
    return words[0] if len(set(words)) == 1 else "x".join(words)
