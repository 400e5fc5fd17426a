"""How each kind of operation is counted: small functions from a graph node to a cost.

Owns: the formulas. Does not own: which operation type has which (``operations``),
functions within functions (``control_flow``).

A node is a ``tf.Operation`` whose shapes are known. A tap that falls on padding counts
like any other, as in every published figure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from tfclassify.profiler.cost import Cost
from tfclassify.profiler.einsum import parse_equation

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
    return Cost(macs=size_of(node.outputs[0]) * math.prod(shape_of(node.inputs[1])[:-1]))


def count_depthwise(node: Any) -> Cost:
    """Count a depthwise convolution, whose kernel is ``(K_h, K_w, C_in, multiplier)``."""
    height, width, _, _ = shape_of(node.inputs[1])
    return Cost(macs=size_of(node.outputs[0]) * height * width)


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
    """Count an antialiased resize as the two passes of its separable triangle filter.

    A pass multiplies and adds each tap of its window; where the image grows, a window
    has two taps, where it shrinks by f, it has 2 f.
    """
    _, height, width, channels = shape_of(node.inputs[0])
    batch, new_height, new_width, _ = shape_of(node.outputs[0])
    taps_y = 2 * max(1, math.ceil(height / new_height))
    taps_x = 2 * max(1, math.ceil(width / new_width))
    values = batch * channels * (new_height * width * taps_y + new_height * new_width * taps_x)
    return _work(Resize=2 * values)
