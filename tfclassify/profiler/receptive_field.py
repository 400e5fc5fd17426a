"""The receptive field of every tensor of a traced network.

Owns: which operation has which rule, and the walk over a graph and the functions that it
calls. Does not own: the rules (``field_rules``, ``field_rules``).

An operation without a rule makes what follows it unknown, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfclassify.profiler import field_rules
from tfclassify.profiler.control_flow import CALLS, called_graph, list_needed
from tfclassify.profiler.field_rules import NoRuleError, Operands, Rule, carry, ignore, unite
from tfclassify.profiler.fields import NOWHERE, Field, start_field
from tfclassify.profiler.operations import ELEMENTWISE

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
        field_rules.window(field_rules.kernel_taps),
    ),
    **dict.fromkeys(_POOLS, field_rules.window(field_rules.pool_taps)),
    **dict.fromkeys(
        (
            *("Conv2DBackpropInput", "Conv3DBackpropInputV2"),
            "DepthwiseConv2dNativeBackpropInput",
        ),
        field_rules.transposed,
    ),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), field_rules.pad),
    "ResizeBilinear": field_rules.resize(1),
    "ResizeBicubic": field_rules.resize(2),
    "ResizeNearestNeighbor": field_rules.resize(0),
    "ScaleAndTranslate": field_rules.resize(1),
    "SpaceToBatchND": field_rules.space_to_batch,
    "BatchToSpaceND": field_rules.batch_to_space,
    **dict.fromkeys(_REDUCTIONS, field_rules.reduce),
    **dict.fromkeys(("Softmax", "LogSoftmax"), field_rules.mix_last),
    **dict.fromkeys(("Reshape", "Squeeze", "ExpandDims"), field_rules.reshape),
    "Transpose": field_rules.transpose,
    "ConcatV2": field_rules.concatenate,
    **dict.fromkeys(
        ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), field_rules.product
    ),
    "Einsum": field_rules.einsum,
    "ReverseV2": field_rules.reverse,
    "StridedSlice": field_rules.strided_slice,
    "Split": field_rules.split(1, 0),
    "SplitV": field_rules.split(0, 2),
    **dict.fromkeys(_LOOPS, field_rules.everything),
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
