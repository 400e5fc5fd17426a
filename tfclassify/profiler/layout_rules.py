"""What products, reductions and changes of layout do to a receptive field.

Owns: the rules of operations that mix positions or move them between axes.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from tfclassify.profiler.einsum import split_equation
from tfclassify.profiler.field_changes import (
    NoRuleError,
    Operands,
    Rule,
    change_spans,
    lengths_of,
    static,
    unite,
)
from tfclassify.profiler.fields import NOWHERE, Field, Place, reshape_places, unite_fields
from tfclassify.profiler.spans import Span


def reduce(node: Any, operands: Operands) -> Field | None:
    """Positions along the reduced axes are mixed."""
    field = operands[0]
    if field is None:
        raise NoRuleError
    rank = len(field.places)
    axes = {int(axis) % rank for axis in static(node.inputs[1]).reshape(-1)}
    mixed = field.mixed(axes)
    try:
        keeps = bool(node.get_attr("keep_dims"))
    except ValueError:
        keeps = False
    places = [
        NOWHERE if axis in axes else place
        for axis, place in enumerate(mixed.places)
        if keeps or axis not in axes
    ]
    return mixed.placed(places)


def mix_last(node: Any, operands: Operands) -> Field | None:
    """Positions along the last axis are mixed, as by a softmax."""
    field = operands[0]
    return None if field is None else field.mixed([len(field.places) - 1])


def reshape(node: Any, operands: Operands) -> Field | None:
    """The order of the values stays; axes are joined and split."""
    field = operands[0]
    if field is None:
        raise NoRuleError
    before, after = lengths_of(node.inputs[0]), lengths_of(node.outputs[0])
    places = reshape_places(field.places, before, after)
    return Field(tuple(places), field.spans)


def transpose(node: Any, operands: Operands) -> Field | None:
    """Axes change their order."""
    field = operands[0]
    if field is None:
        raise NoRuleError
    return Field(tuple(field.places[axis] for axis in static(node.inputs[1])), field.spans)


def concatenate(node: Any, operands: Operands) -> Field:
    """Maps side by side in their channels; along the map there is no rule."""
    axis = int(static(node.inputs[-1]))
    united = unite(node, operands[:-1])
    if united.places[axis]:
        raise NoRuleError
    return united


def product(node: Any, operands: Operands) -> Field:
    """A matrix product mixes the axis that it sums over."""
    is_plain = node.type == "MatMul"
    flips = ("transpose_a", "transpose_b") if is_plain else ("adj_x", "adj_y")
    rank = node.outputs[0].shape.rank
    parts = []
    for number, (field, flip) in enumerate(zip(operands[:2], flips, strict=True)):
        if field is None:
            continue
        is_flipped = bool(node.get_attr(flip))
        own = len(field.places)
        summed = own - 1 if (number == 0) != is_flipped else own - 2
        kept = own - 1 if summed == own - 2 else own - 2
        places: list[Place] = [NOWHERE] * rank
        for axis in range(own - 2):
            places[axis + rank - own] = field.places[axis]
        places[rank - 2 + number] = field.places[kept]
        parts.append(Field(tuple(places), field.mixed([summed]).spans))
    united = unite_fields(parts, rank)
    return united.placed(united.places)


def einsum(node: Any, operands: Operands) -> Field:
    """An einsum mixes the labels that its result has not."""
    ranks = [tensor.shape.rank for tensor in node.inputs]
    labels, output = split_equation(node.get_attr("equation").decode(), ranks)
    parts = []
    for text, field in zip(labels, operands, strict=True):
        if field is None:
            continue
        summed = [axis for axis, label in enumerate(text) if label not in output]
        places = tuple(
            field.places[text.index(label)] if label in text else NOWHERE for label in output
        )
        parts.append(Field(places, field.mixed(summed).spans))
    united = unite_fields(parts, len(output))
    return united.placed(united.places)


def strided_slice(node: Any, operands: Operands) -> Field | None:
    """A crop shifts the map, a step thins it out."""
    field = operands[0]
    if field is None or node.get_attr("new_axis_mask"):
        raise NoRuleError
    begins, steps = static(node.inputs[1]).tolist(), static(node.inputs[3]).tolist()
    lengths = lengths_of(node.inputs[0])
    begin_mask, shrink = node.get_attr("begin_mask"), node.get_attr("shrink_axis_mask")
    ellipsis = node.get_attr("ellipsis_mask")
    removed, axis = set(), 0
    for entry, (begin, step) in enumerate(zip(begins, steps, strict=True)):
        if ellipsis >> entry & 1:
            axis = len(lengths) - (len(begins) - entry - 1)
            continue
        first = 0 if begin_mask >> entry & 1 else begin % max(1, lengths[axis])
        if step < 0 and field.places[axis]:
            raise NoRuleError
        if shrink >> entry & 1:
            removed.add(axis)
        field = change_spans(field, axis, partial(Span.after_crop, positions=first, step=step))
        axis += 1
    places = tuple(place for axis, place in enumerate(field.places) if axis not in removed)
    return Field(places, field.spans)


def split(value: int, axis_at: int) -> Rule:
    """Make the rule of a split; ``value`` and ``axis_at`` are operands' positions."""

    def apply(node: Any, operands: Operands) -> Field | None:
        field = operands[value]
        if field is None or field.places[int(static(node.inputs[axis_at]))]:
            raise NoRuleError
        return field

    return apply


def reverse(node: Any, operands: Operands) -> Field | None:
    """The order of channels changes; a mirrored map has no rule."""
    field = operands[0]
    if field is None or any(field.places[axis] for axis in static(node.inputs[1]).tolist()):
        raise NoRuleError
    return field


def everything(node: Any, operands: Operands) -> Field:
    """A loop over positions: each result may depend on all of them."""
    known = [field.spans for field in operands if field is not None and field.spans]
    if not known:
        raise NoRuleError
    return Field((), tuple(span.after_everything() for span in known[0]))
