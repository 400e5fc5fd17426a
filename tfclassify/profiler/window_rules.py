"""What windows, paddings and resizes do to a receptive field.

Owns: the rules of operations that work along the map's axes, position by position.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

from tfclassify.profiler.field_changes import (
    NoRuleError,
    Operands,
    Rule,
    change_spans,
    lengths_of,
    static,
)
from tfclassify.profiler.fields import Field
from tfclassify.profiler.spans import Span


def window(taps_of: Callable[[Any], list[int]]) -> Rule:
    """Make the rule of a window that moves over the map."""

    def apply(node: Any, operands: Operands) -> Field | None:
        field = operands[0]
        if field is None:
            raise NoRuleError
        rank = len(field.places)
        first = 2 if _is_channels_first(node) else 1
        strides = list(node.get_attr("strides"))
        dilations = _dilations(node, rank)
        lengths = lengths_of(node.inputs[0])
        for number, taps in enumerate(taps_of(node)):
            axis = first + number
            step, dilation = strides[axis], dilations[axis]
            pad = _pad_before(node, axis, lengths[axis], taps, step, dilation)
            field = change_spans(
                field,
                axis,
                partial(Span.after_window, taps=taps, step=step, pad=pad, dilation=dilation),
            )
        return field

    return apply


def _dilations(node: Any, rank: int) -> list[int]:
    try:
        return list(node.get_attr("dilations"))
    except ValueError:
        return [1] * rank


def _is_channels_first(node: Any) -> bool:
    return node.get_attr("data_format").decode().startswith("NC")


def _pad_before(node: Any, axis: int, length: int, taps: int, step: int, dilation: int) -> int:
    """Return the padding before the first position, as TensorFlow lays it out."""
    padding = node.get_attr("padding").decode()
    if padding == "EXPLICIT":
        return int(node.get_attr("explicit_paddings")[2 * axis])
    if padding == "VALID":
        return 0
    reach = dilation * (taps - 1) + 1
    return max(0, (-(-length // step) - 1) * step + reach - length) // 2


def kernel_taps(node: Any) -> list[int]:
    """Return the taps of a convolution along each spatial axis."""
    return lengths_of(node.inputs[1])[:-2]


def pool_taps(node: Any) -> list[int]:
    """Return the window of a pooling along each spatial axis."""
    sizes = list(node.get_attr("ksize"))
    return sizes[2:] if _is_channels_first(node) else sizes[1:-1]


def transposed(node: Any, operands: Operands) -> Field | None:
    """A transposed convolution; its input is the third operand."""
    field = operands[2]
    if field is None:
        raise NoRuleError
    strides, first = list(node.get_attr("strides")), 2 if _is_channels_first(node) else 1
    lengths = lengths_of(node.outputs[0])
    for number, taps in enumerate(kernel_taps(node)):
        axis, step = first + number, strides[first + number]
        pad = _pad_before(node, axis, lengths[axis], taps, step, 1)
        field = change_spans(
            field, axis, partial(Span.after_transposed_window, taps=taps, step=step, pad=pad)
        )
    return field


def pad(node: Any, operands: Operands) -> Field | None:
    """Padding before the first position shifts the map."""
    field = operands[0]
    if field is None:
        raise NoRuleError
    for axis, (before, _) in enumerate(static(node.inputs[1]).tolist()):
        field = change_spans(field, axis, partial(Span.after_shift, positions=-before))
    return field


def resize(radius: int) -> Rule:
    """Make the rule of a resize whose filter reaches ``radius`` positions; 0 takes the nearest."""

    def apply(node: Any, operands: Operands) -> Field | None:
        field = operands[0]
        if field is None or _has_flag(node, "align_corners"):
            raise NoRuleError
        is_antialiased = node.type == "ScaleAndTranslate"
        is_centred = is_antialiased or _has_flag(node, "half_pixel_centers")
        before, after = lengths_of(node.inputs[0]), lengths_of(node.outputs[0])
        for axis in (1, 2):
            ratio = Fraction(before[axis], after[axis])
            reach = radius * max(Fraction(1), ratio) if is_antialiased else Fraction(radius)
            below, above = find_reach(ratio, reach, is_centred=is_centred)
            field = change_spans(
                field, axis, partial(Span.after_scaling, ratio=ratio, below=below, above=above)
            )
        return field

    return apply


def _has_flag(node: Any, name: str) -> bool:
    try:
        return bool(node.get_attr(name))
    except ValueError:
        return False


def find_reach(ratio: Fraction, reach: Fraction, *, is_centred: bool) -> tuple[Fraction, Fraction]:
    """Return the least and the greatest offset of what an output reads from ``o * ratio``.

    Output o samples the input at ``(o + 1/2) * ratio - 1/2``, or at ``o * ratio``, and
    reads the positions nearer than ``reach``, or the nearest one. All phases are tried.
    """
    half = Fraction(1, 2) if is_centred else Fraction(0)
    lows, highs = [], []
    for output in range(ratio.denominator):
        sample = (output + half) * ratio - half
        if reach:
            first, last = math.floor(sample - reach) + 1, math.ceil(sample + reach) - 1
        else:
            first = last = math.floor(sample + half)
        lows.append(first - output * ratio)
        highs.append(last - output * ratio)
    return min(lows), max(highs)


def space_to_batch(node: Any, operands: Operands) -> Field | None:
    """Padding, then every n-th position: how TensorFlow dilates a depthwise kernel."""
    field = operands[0]
    if field is None:
        raise NoRuleError
    blocks, pads = static(node.inputs[1]).tolist(), static(node.inputs[2]).tolist()
    for axis, (block, (before, _)) in enumerate(zip(blocks, pads, strict=True), start=1):
        field = change_spans(
            field,
            axis,
            partial(Span.after_crop, positions=-before, step=block),
        )
    return field


def batch_to_space(node: Any, operands: Operands) -> Field | None:
    """The reverse: positions fall back into their places, then a crop."""
    field = operands[0]
    if field is None:
        raise NoRuleError
    blocks, crops = static(node.inputs[1]).tolist(), static(node.inputs[2]).tolist()
    for axis, (block, (before, _)) in enumerate(zip(blocks, crops, strict=True), start=1):
        field = change_spans(
            field,
            axis,
            partial(Span.after_interleaving, block=block, crop=before),
        )
    return field
