"""The receptive field of every tensor of a traced network.

Owns: what each operation does to a receptive field (windows, paddings, resizes, products,
reductions, changes of layout), and the walk over a graph and the functions that it calls.
Does not own: fields themselves (``fields``).

A rule takes a node and the field of each operand, None for one that does not depend on the
input, and returns the field of the first result. An operation without a rule makes what
follows it unknown, never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import tensorflow as tf

from tfclassify.profiler.control_flow import CALLS, called_graph, list_needed
from tfclassify.profiler.fields import (
    NOWHERE,
    Field,
    Place,
    Span,
    reshape_places,
    start_field,
    unite_fields,
)
from tfclassify.profiler.operations import ELEMENTWISE, filter_radius, split_equation

Operands = Sequence[Field | None]
Rule = Callable[[Any, Operands], Field | None]


class NoRuleError(Exception):
    """An operation is used in a way for which there is no rule."""


def static(tensor: Any) -> Any:
    """Return a tensor's constant value.

    Raises:
        NoRuleError: If the graph does not fix it.
    """
    value = tf.get_static_value(tensor)
    if value is None:
        raise NoRuleError
    return value


def lengths_of(tensor: Any) -> list[int]:
    """Return a tensor's shape.

    Raises:
        NoRuleError: If it is not fixed.
    """
    if not tensor.shape.is_fully_defined():
        raise NoRuleError
    return list(tensor.shape.as_list())


def change_spans(field: Field, axis: int, change: Callable[[Span], Span]) -> Field:
    """Apply a change to the span that a tensor's axis moves in.

    Raises:
        NoRuleError: If the axis moves in several, as after two were joined.
    """
    place = field.places[axis]
    if field.spans is None or not place:
        return field
    if len(place) > 1:
        raise NoRuleError
    number = place[0][0]
    spans = tuple(
        change(span) if n == number and not span.is_global else span
        for n, span in enumerate(field.spans)
    )
    return Field(field.places, spans)


def unite(node: Any, operands: Operands) -> Field:
    """Value by value, with broadcasting."""
    present = [field for field in operands if field is not None]
    return unite_fields(present, node.outputs[0].shape.rank)


def carry(node: Any, operands: Operands) -> Field | None:
    """The first operand as it is."""
    return operands[0]


def ignore(node: Any, operands: Operands) -> None:
    """Nothing of the values is looked at, only their shape."""
    return None


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
        is_filtered = node.type == "ScaleAndTranslate"
        is_centred = is_filtered or _has_flag(node, "half_pixel_centers")
        before, after = lengths_of(node.inputs[0]), lengths_of(node.outputs[0])
        for axis in (1, 2):
            ratio = Fraction(before[axis], after[axis])
            reach, has_ends = Fraction(radius), False
            if is_filtered:
                reach = Fraction(filter_radius(node))
                reach *= max(Fraction(1), ratio) if node.get_attr("antialias") else 1
                # A sinc that is cut off at its zero leaves something of it, by rounding.
                has_ends = node.get_attr("kernel_type").startswith(b"lanczos")
            below, above = find_reach(ratio, reach, is_centred=is_centred, has_ends=has_ends)
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


def find_reach(
    ratio: Fraction, reach: Fraction, *, is_centred: bool, has_ends: bool = False
) -> tuple[Fraction, Fraction]:
    """Return the least and the greatest offset of what an output reads from ``o * ratio``.

    Output o samples the input at ``(o + 1/2) * ratio - 1/2``, or at ``o * ratio``, and
    reads the positions nearer than ``reach``, with ``has_ends`` those that far off as well,
    or the nearest one where ``reach`` is 0. All phases are tried.
    """
    half = Fraction(1, 2) if is_centred else Fraction(0)
    lows, highs = [], []
    for output in range(ratio.denominator):
        sample = (output + half) * ratio - half
        if reach and has_ends:
            first, last = math.ceil(sample - reach), math.floor(sample + reach)
        elif reach:
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


_POOLS = ("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D")
_REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "All", "Any", "ArgMax", "ArgMin")
_LOOPS = (
    *("While", "StatelessWhile", "If", "StatelessIf"),
    *("TensorListFromTensor", "TensorListStack", "TensorListGetItem", "TensorListSetItem"),
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, unite),
    **dict.fromkeys(("LogicalAnd", "LogicalOr", "LogicalNot", "BroadcastTo"), unite),
    **dict.fromkeys(
        (
            *("Identity", "IdentityN", "Cast", "StopGradient", "Snapshot", "EnsureShape"),
            *("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3", "BiasAdd", "CheckNumerics"),
        ),
        carry,
    ),
    **dict.fromkeys(("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike", "Assert"), ignore),
    **dict.fromkeys(
        ("Conv", "Conv2D", "Conv3D", "DepthwiseConv2dNative"),
        window(kernel_taps),
    ),
    **dict.fromkeys(_POOLS, window(pool_taps)),
    **dict.fromkeys(
        (
            *("Conv2DBackpropInput", "Conv3DBackpropInputV2"),
            "DepthwiseConv2dNativeBackpropInput",
        ),
        transposed,
    ),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), pad),
    "ResizeBilinear": resize(1),
    "ResizeBicubic": resize(2),
    "ResizeNearestNeighbor": resize(0),
    "ScaleAndTranslate": resize(1),
    "SpaceToBatchND": space_to_batch,
    "BatchToSpaceND": batch_to_space,
    **dict.fromkeys(_REDUCTIONS, reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), mix_last),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), reshape),
    "Transpose": transpose,
    "ConcatV2": concatenate,
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), product),
    "Einsum": einsum,
    "ReverseV2": reverse,
    "StridedSlice": strided_slice,
    "Split": split(1, 0),
    "SplitV": split(0, 2),
    **dict.fromkeys(_LOOPS, everything),
}


def find_fields(nodes: Sequence[Any], starts: Mapping[str, Field]) -> dict[str, Field]:
    """Return the field of every tensor that depends on the input, by the tensor's name.

    Args:
        nodes: The nodes that run, in order.
        starts: The fields that are known from the start, by the tensor's name.
    """
    fields = dict(starts)
    for node in nodes:
        operands = [fields.get(tensor.name) for tensor in node.inputs]
        if all(operand is None for operand in operands):
            continue
        for tensor, field in zip(node.outputs, _apply(node, operands), strict=False):
            if field is not None:
                fields[tensor.name] = field
    return fields


def start_fields(inputs: Sequence[Any]) -> dict[str, Field]:
    """Return the fields of a network's inputs, whose batch is their first axis."""
    starts = {}
    for tensor in inputs:
        field = start_field(tensor.shape.rank)
        if field is not None:
            starts[tensor.name] = field
    return starts


def _apply(node: Any, operands: Operands) -> list[Field | None]:
    """Return the field of each result."""
    if node.type in CALLS:
        return _enter(node, operands)
    rule = RULES.get(node.type)
    try:
        if rule is None:
            raise NoRuleError
        field = rule(node, operands)
    except (NoRuleError, ValueError):
        return [_know_nothing(tensor) for tensor in node.outputs]
    return [_fit(field, tensor) for tensor in node.outputs]


def _fit(field: Field | None, tensor: Any) -> Field | None:
    """Return a field for a result of another rank than the rule had in mind."""
    rank = tensor.shape.rank or 0
    if field is None or len(field.places) == rank:
        return field
    return Field((NOWHERE,) * rank, field.spans)


def _know_nothing(tensor: Any) -> Field:
    return Field((NOWHERE,) * (tensor.shape.rank or 0), None)


def _enter(node: Any, operands: Operands) -> list[Field | None]:
    """Walk through a called function."""
    graph = called_graph(node, node.get_attr("f").name)
    starts = {
        argument.name: field
        for argument, field in zip(graph.inputs, operands, strict=True)
        if field is not None
    }
    fields = find_fields(list_needed(graph), starts)
    return [fields.get(tensor.name) for tensor in graph.outputs]
