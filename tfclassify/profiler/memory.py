"""How much memory the activations of one inference take at once.

Owns: the walk over a trace that frees what nobody needs any more. Does not own: the
weights, which are counted by layer.

It is an estimate: each tensor lives from the node that makes it to the last that reads
it, views take nothing, and an element-wise operation writes into an operand that dies
there, as TensorFlow's kernels do. A kernel's own workspace is not in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf

from tfclassify.profiler.operations import ELEMENTWISE

#: What is no plain array.
_HANDLES = frozenset({tf.resource, tf.variant, tf.string})
#: Operations whose result is their first operand, seen otherwise.
_VIEWS = frozenset(
    {"Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "Snapshot"}
)
#: Element-wise operations that make a tensor of another size than they read.
_RESIZING = frozenset(
    {
        *("Sum", "Prod", "Max", "Min", "ArgMax", "ArgMin", "Mean", "EuclideanNorm", "L2Loss"),
        *("MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D", "ResizeBilinear"),
        *("ResizeBicubic", "ScaleAndTranslate"),
    }
)


def bytes_of(tensor: Any) -> int:
    """Return a tensor's size in bytes; 0 where its shape is not known or it has none."""
    shape, dtype = tensor.shape, tensor.dtype
    if not shape.is_fully_defined() or dtype.size is None or dtype in _HANDLES:
        return 0
    return math.prod(shape.as_list()) * dtype.size


def estimate_peak_bytes(nodes: Sequence[Any], inputs: Iterable[Any], outputs: Iterable[Any]) -> int:
    """Return the most bytes of activations that are alive at any node.

    Args:
        nodes: The nodes that run, in order.
        inputs: The network's inputs; what does not depend on them, as weights, is
            left out.
        outputs: The network's outputs, which live to the end.
    """
    buffers, sizes = _find_buffers(nodes, inputs)
    last_use: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for tensor in node.inputs:
            if tensor.name in buffers:
                last_use[buffers[tensor.name]] = place
    for tensor in outputs:
        if tensor.name in buffers:
            last_use[buffers[tensor.name]] = len(nodes)
    alive: dict[str, int] = {}
    peak = 0
    for place, node in enumerate(nodes):
        for tensor in node.outputs:
            if tensor.name in buffers:
                alive[buffers[tensor.name]] = sizes[buffers[tensor.name]]
        dying = {
            buffers[tensor.name]
            for tensor in node.inputs
            if tensor.name in buffers and last_use[buffers[tensor.name]] == place
        }
        reused = _reused_bytes(node, dying, buffers, sizes)
        peak = max(peak, sum(alive.values()) - reused)
        for buffer in dying:
            alive.pop(buffer, None)
    return peak


def _find_buffers(
    nodes: Sequence[Any], inputs: Iterable[Any]
) -> tuple[dict[str, str], dict[str, int]]:
    """Return the buffer of each tensor that depends on the inputs, and the sizes."""
    buffers = {tensor.name: tensor.name for tensor in inputs}
    sizes = {tensor.name: bytes_of(tensor) for tensor in inputs}
    for node in nodes:
        if not any(tensor.name in buffers for tensor in node.inputs):
            continue
        for number, tensor in enumerate(node.outputs):
            source = node.inputs[number] if node.type in _VIEWS and node.inputs else None
            if source is not None and source.name in buffers:
                buffers[tensor.name] = buffers[source.name]
            else:
                buffers[tensor.name] = tensor.name
                sizes[tensor.name] = bytes_of(tensor)
    return buffers, sizes


def _reused_bytes(
    node: Any, dying: set[str], buffers: dict[str, str], sizes: dict[str, int]
) -> int:
    """Return the bytes of a dying operand that a node's result is written into."""
    if node.type not in ELEMENTWISE or node.type in _RESIZING or not node.outputs:
        return 0
    size = sizes.get(buffers.get(node.outputs[0].name, ""), 0)
    return size if any(sizes[buffer] == size for buffer in dying) else 0
