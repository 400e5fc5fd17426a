"""What each operation of TensorFlow costs.

Owns: the counting of one node, and which operations are counted how. Does not own: the
walk over a graph (``control_flow``), the record of a cost (``results``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfclassify.profiler.results import Cost


@dataclass(frozen=True)
class EinsumPlan:
    """What an einsum costs.

    Attributes:
        macs: Multiply-accumulates; 0 where nothing is multiplied and summed.
        elementwise: Additions and plain products, by name.
        contracted: For each operand, the axes that the result no longer has.
    """

    macs: int
    elementwise: dict[str, int] = field(default_factory=dict)
    contracted: tuple[tuple[int, ...], ...] = ()


def split_equation(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """Return the labels of each operand and of the result, one character an axis.

    An ellipsis becomes capital Greek letters, right-aligned, so that it broadcasts.
    """
    left, _, output = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    spread = [
        rank - len(text.replace("...", "")) for text, rank in zip(operands, ranks, strict=True)
    ]
    longest = max(spread)
    names = "".join(chr(0x391 + number) for number in range(longest))
    labels = [
        text.replace("...", names[longest - width :] if width else "")
        for text, width in zip(operands, spread, strict=True)
    ]
    return labels, output.replace("...", names)


def parse_equation(equation: str, shapes: Sequence[Sequence[int]]) -> EinsumPlan | None:
    """Work out an einsum's cost; None where it has more than two operands.

    A label that only one operand has and the result has not is summed over before the
    product. What is left costs one multiply-accumulate for each combination of labels,
    or one plain multiplication where no label is contracted.

    Example:
        >>> parse_equation("abc,cd->abd", [(1, 5, 7), (7, 3)]).macs
        105
    """
    if not 1 <= len(shapes) <= 2:
        return None
    labels, output = split_equation(equation, [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    for text, shape in zip(labels, shapes, strict=True):
        for label, size in zip(text, shape, strict=True):
            sizes[label] = max(sizes.get(label, 1), size)
    contracted = tuple(
        tuple(axis for axis, label in enumerate(text) if label not in output) for text in labels
    )
    additions, kept = 0, []
    for number, text in enumerate(labels):
        others = "".join(labels[:number] + labels[number + 1 :]) + output
        remaining = [label for label in dict.fromkeys(text) if label in others]
        before = math.prod(sizes[label] for label in dict.fromkeys(text))
        additions += before - math.prod(sizes[label] for label in remaining)
        kept.append(remaining)
    if len(shapes) == 1:
        return EinsumPlan(0, {"Sum": additions}, contracted)
    every = dict.fromkeys(kept[0] + kept[1])
    products = math.prod(sizes[label] for label in every)
    if any(label not in output for label in every):
        return EinsumPlan(products, {"Sum": additions}, contracted)
    return EinsumPlan(0, {"Sum": additions, "Multiply": products}, contracted)


Counting = Callable[[Any], Cost]


class UnknownShapeError(Exception):
    """A node's shape is not known, so that it cannot be counted."""


def size_of(tensor: Any) -> int:
    """Return the number of values in a tensor.

    Raises:
        UnknownShapeError: If a dimension is not known.
    """
    return math.prod(shape_of(tensor))


def shape_of(tensor: Any) -> tuple[int, ...]:
    """Return a tensor's whole shape, batch included.

    Raises:
        UnknownShapeError: If a dimension is not known.
    """
    if not tensor.shape.is_fully_defined():
        raise UnknownShapeError
    return tuple(tensor.shape.as_list())


def _work(**elementwise: int) -> Cost:
    return Cost(elementwise=Counter({name: n for name, n in elementwise.items() if n}))


def count_convolution(node: Any) -> Cost:
    """Count a convolution of any rank, grouped and dilated ones included.

    Each output value is one dot product over a window: ``K_h * K_w * C_in / groups``
    taps, which is the kernel's size without its last axis.
    """
    return Cost(macs=size_of(_find_result(node)) * math.prod(shape_of(node.inputs[1])[:-1]))


def _find_result(node: Any) -> Any:
    """Return what a convolution is computed for.

    TensorFlow dilates a kernel by dealing the map out to a batch, padded to whole blocks,
    and putting it together again: what is cropped then belongs to no result.
    """
    if _pass(node.inputs[0].op, forward=False).type != "SpaceToBatchND":
        return node.outputs[0]
    last = _pass(node, forward=True)
    return last.outputs[0] if last.type == "BatchToSpaceND" else node.outputs[0]


_LAYOUT = frozenset({"ExpandDims", "Squeeze", "Reshape", "Identity"})


def _pass(node: Any, *, forward: bool) -> Any:
    """Return the first node, going on or back, that does more than change the layout."""
    while True:
        if forward:
            consumers = node.outputs[0].consumers()
            if len(consumers) != 1:
                return node
            node = consumers[0]
        if node.type not in _LAYOUT:
            return node
        if not forward:
            node = node.inputs[0].op


def count_depthwise(node: Any) -> Cost:
    """Count a depthwise convolution, whose kernel is ``(K_h, K_w, C_in, multiplier)``."""
    height, width, _, _ = shape_of(node.inputs[1])
    return Cost(macs=size_of(_find_result(node)) * height * width)


def count_transposed(node: Any) -> Cost:
    """Count a transposed convolution: each input value meets the whole kernel once.

    The kernel is ``(…, C_out, C_in)``. Products that padding crops away count too.
    """
    return Cost(macs=size_of(node.inputs[2]) * math.prod(shape_of(node.inputs[1])[:-1]))


def count_transposed_depthwise(node: Any) -> Cost:
    """Count a transposed depthwise convolution."""
    height, width, _, _ = shape_of(node.inputs[1])
    return Cost(macs=size_of(node.inputs[2]) * height * width)


def count_product(node: Any) -> Cost:
    """Count a matrix product, batched or not: one dot product an output value."""
    rows_first = "transpose_a" if node.type == "MatMul" else "adj_x"
    left = shape_of(node.inputs[0])
    return Cost(macs=size_of(node.outputs[0]) * left[-2 if node.get_attr(rows_first) else -1])


def count_einsum(node: Any) -> Cost:
    """Count an einsum of one or two operands by its equation."""
    equation = node.get_attr("equation").decode()
    shapes = [shape_of(tensor) for tensor in node.inputs]
    plan = parse_equation(equation, shapes)
    if plan is None:
        return Cost(uncounted=Counter({"Einsum": 1}))
    return Cost(plan.macs, Counter({k: n for k, n in plan.elementwise.items() if n}))


def per_output(name: str, each: int = 1) -> Counting:
    """Make the count of what does ``each`` operations for each output value."""

    def count(node: Any) -> Cost:
        return _work(**{name: each * size_of(node.outputs[0])})

    return count


def per_input(name: str, each: int = 1) -> Counting:
    """Make the count of what does ``each`` operations for each value of the first input."""

    def count(node: Any) -> Cost:
        return _work(**{name: each * size_of(node.inputs[0])})

    return count


def count_sum_of_many(node: Any) -> Cost:
    """Count the sum of n tensors: n - 1 additions a value."""
    return _work(Add=(len(node.inputs) - 1) * size_of(node.outputs[0]))


def reduction(name: str) -> Counting:
    """Make the count of a reduction: n values take n - 1 operations."""

    def count(node: Any) -> Cost:
        return _work(**{name: size_of(node.inputs[0]) - size_of(node.outputs[0])})

    return count


def count_mean(node: Any) -> Cost:
    """Count a mean: the sum, then one division a mean."""
    outputs = size_of(node.outputs[0])
    return _work(Sum=size_of(node.inputs[0]) - outputs, Divide=outputs)


def count_softmax(node: Any) -> Cost:
    """Count a softmax: maximum, subtraction, exponential, sum and division a value."""
    values = size_of(node.outputs[0])
    rows = values // max(1, shape_of(node.outputs[0])[-1])
    return _work(Softmax=5 * values - 2 * rows)


def count_pool(node: Any) -> Cost:
    """Count a pooling: the comparisons, or additions and the division, of a window."""
    window = math.prod(node.get_attr("ksize"))
    is_maximum = node.type.startswith("MaxPool")
    each = window - 1 if is_maximum else window
    name = "MaxPool" if is_maximum else "AveragePool"
    return _work(**{name: each * size_of(node.outputs[0])})


def count_batch_norm(node: Any) -> Cost:
    """Count a fused batch normalisation: a factor and an addend a value.

    In training mode mean and variance come on top, four operations a value.
    """
    each = 6 if node.get_attr("is_training") else 2
    return _work(BatchNorm=each * size_of(node.inputs[0]))


def count_clip(node: Any) -> Cost:
    """Count a clipping: two comparisons a value."""
    return _work(Clip=2 * size_of(node.outputs[0]))


def count_resampling(node: Any) -> Cost:
    """Count a resize by a separable filter as its two passes.

    A pass multiplies and adds each tap of its window: twice the filter's radius, and f
    times as many where the image shrinks by f and is antialiased.
    """
    _, height, width, channels = shape_of(node.inputs[0])
    batch, new_height, new_width, _ = shape_of(node.outputs[0])
    taps_y, taps_x = (
        math.ceil(2 * filter_radius(node) * math.ceil(shrinking(node, before, after)))
        for before, after in ((height, new_height), (width, new_width))
    )
    values = batch * channels * (new_height * width * taps_y + new_height * new_width * taps_x)
    return _work(Resize=2 * values)


#: Reach of the filters that TensorFlow resizes with, in pixels.
_RADII = {"box": 0.5, "triangle": 1, "keyscubic": 2, "mitchellcubic": 2, "gaussian": 1.5}
_RADII |= {"lanczos1": 1, "lanczos3": 3, "lanczos5": 5}


def filter_radius(node: Any) -> float:
    """Return the radius of a resize's filter, in pixels of the larger image."""
    return _RADII[node.get_attr("kernel_type").decode()]


def shrinking(node: Any, before: int, after: int) -> float:
    """Return by how much a resize widens its filter along an axis."""
    return max(1.0, before / after) if node.get_attr("antialias") else 1.0


#: Products and convolutions: counted whatever the type of their numbers is.
PRODUCTS: dict[str, Counting] = {
    **dict.fromkeys(("Conv", "Conv2D", "Conv3D"), count_convolution),
    "DepthwiseConv2dNative": count_depthwise,
    **dict.fromkeys(
        ("Conv2DBackpropInput", "Conv3DBackpropInput", "Conv3DBackpropInputV2"),
        count_transposed,
    ),
    "DepthwiseConv2dNativeBackpropInput": count_transposed_depthwise,
    **dict.fromkeys(("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3"), count_product),
    "Einsum": count_einsum,
}

#: Type -> the name under which its single operation a value is counted.
_ONE_EACH = {
    **dict.fromkeys(("Add", "AddV2", "BiasAdd", "BiasAddV1"), "Add"),
    "Sub": "Subtract",
    **dict.fromkeys(("Mul", "MulNoNan"), "Multiply"),
    **dict.fromkeys(("RealDiv", "Div", "DivNoNan", "Xdivy", "Reciprocal", "Inv"), "Divide"),
    **dict.fromkeys(("Pow", "Square", "Sqrt", "Rsqrt"), "Power"),
    **dict.fromkeys(("Maximum", "Minimum"), "Maximum"),
    **dict.fromkeys(("Exp", "Expm1"), "Exponential"),
    **dict.fromkeys(("Log", "Log1p"), "Logarithm"),
    **dict.fromkeys(("Erf", "Erfc"), "Error function"),
    **dict.fromkeys(("Floor", "Ceil", "Round", "Rint"), "Round"),
    **dict.fromkeys(("Abs", "Neg", "Sign"), "Sign"),
    **dict.fromkeys(("FloorMod", "Mod", "FloorDiv", "TruncateMod"), "Remainder"),
    **dict.fromkeys(("Sin", "Cos", "Tan", "Atan", "Asin", "Acos", "Atan2"), "Trigonometry"),
    **dict.fromkeys(
        (
            *("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"),
            *("IsNan", "IsInf", "IsFinite", "Select", "SelectV2"),
        ),
        "Compare",
    ),
    **{
        name: name
        for name in (
            *("Relu", "Relu6", "Elu", "Selu", "LeakyRelu", "Sigmoid", "Tanh"),
            *("Softplus", "Softsign"),
        )
    },
}

#: Element-wise operations: counted where they work on floating-point numbers.
ELEMENTWISE: dict[str, Counting] = {
    **{kind: per_output(name) for kind, name in _ONE_EACH.items()},
    "SquaredDifference": per_output("Squared difference", 2),
    "ClipByValue": count_clip,
    "AddN": count_sum_of_many,
    **{kind: reduction(kind) for kind in ("Sum", "Prod")},
    **{kind: reduction("Maximum") for kind in ("Max", "Min", "ArgMax", "ArgMin")},
    "Mean": count_mean,
    "EuclideanNorm": per_input("Norm", 2),
    "L2Loss": per_input("Norm", 2),
    "Cumsum": per_output("Sum"),
    "Softmax": count_softmax,
    "LogSoftmax": count_softmax,
    **dict.fromkeys(("MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D"), count_pool),
    **dict.fromkeys(("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"), count_batch_norm),
    # Three interpolations between two values, each a subtraction, a product and a sum.
    "ResizeBilinear": per_output("Resize", 9),
    # Sixteen taps: as many products, one addition fewer.
    "ResizeBicubic": per_output("Resize", 31),
    "ScaleAndTranslate": count_resampling,
}

#: Operations without arithmetic: they move, name, read or shape numbers.
FREE: frozenset[str] = frozenset(
    (
        *("Assert", "BatchToSpace", "BatchToSpaceND", "Bitcast", "BroadcastArgs"),
        *("BroadcastGradientArgs", "BroadcastTo", "Cast", "CheckNumerics", "Concat", "ConcatV2"),
        *("Const", "DepthToSpace", "Diag", "DynamicStitch", "EnsureShape", "ExpandDims", "Fill"),
        *("Gather", "GatherNd", "GatherV2", "Identity", "IdentityN", "InvertPermutation"),
        *("LogicalAnd", "LogicalNot", "LogicalOr", "MatrixBandPart", "MatrixDiagV3", "MirrorPad"),
        *("NoOp", "OneHot", "OnesLike", "Pack", "Pad", "PadV2", "Placeholder"),
        *("PlaceholderWithDefault", "PreventGradient", "Range", "Rank", "ReadVariableOp"),
        *("Reshape", "ResizeNearestNeighbor", "ResourceGather", "Reverse", "ReverseSequence"),
        *("ReverseV2", "Roll", "ScatterNd", "Shape", "ShapeN", "Size", "Slice", "Snapshot"),
        *("SpaceToBatch", "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV", "Squeeze"),
        *("StopGradient", "StridedSlice", "TensorArrayCloseV3", "TensorArrayGatherV3"),
        *("TensorArrayReadV3", "TensorArrayScatterV3", "TensorArraySizeV3", "TensorArrayV3"),
        *("TensorArrayWriteV3", "TensorListElementShape", "TensorListFromTensor"),
        *("TensorListGetItem", "TensorListLength", "TensorListReserve", "TensorListSetItem"),
        *("TensorListStack", "TensorScatterUpdate", "Tile", "Transpose"),
        *("Unpack", "VarHandleOp", "VarIsInitializedOp", "VariableV2", "Where", "ZerosLike"),
    )
)
