"""How much memory the activations of one inference take at once, and what each layer moves.

Owns: the walk over a trace that frees what nobody needs any more, and the tensors that cross
the border of a layer. Does not own: how many weights a layer holds.

The peak is an estimate: each tensor lives from the node that makes it to the last that reads
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


class Traffic:
    """What each part of a network reads from the rest, and writes for it."""

    def __init__(self, nodes: Sequence[Any], inputs: Iterable[Any], outputs: Iterable[Any]) -> None:
        """Follow the tensors of a network; the arguments are ``estimate_peak_bytes``'s."""
        self._buffers, self._sizes = _find_buffers(nodes, inputs)
        self._readers: dict[str, set[str]] = {tensor.name: {""} for tensor in outputs}
        for node in nodes:
            for tensor in node.inputs:
                self._readers.setdefault(tensor.name, set()).add(node.name)

    def measure(self, part: Sequence[Any]) -> tuple[int, int]:
        """Return the bytes of the activations that cross a part's border, and of its weights.

        A tensor that several of its nodes read counts once, and so does one that it writes;
        what stays within does not count, as if the part were one kernel. Weights are what does
        not depend on the network's inputs.

        Args:
            part: Some of the network's nodes.
        """
        own = {node.name for node in part}
        read: dict[str, int] = {}
        weights: dict[str, int] = {}
        written: dict[str, int] = {}
        for node in part:
            for tensor in node.inputs:
                if tensor.op.name not in own:
                    self._note(tensor, read, weights)
            for tensor in node.outputs:
                if tensor.name not in self._buffers:
                    if node.type == "ReadVariableOp":
                        weights[tensor.name] = bytes_of(tensor)
                elif self._readers.get(tensor.name, set()) - own:
                    self._note(tensor, written, weights)
        # A view of what was read is no new array.
        moved = sum(read.values()) + sum(n for name, n in written.items() if name not in read)
        return moved, sum(weights.values())

    def _note(self, tensor: Any, moved: dict[str, int], weights: dict[str, int]) -> None:
        buffer = self._buffers.get(tensor.name)
        if buffer is None:
            weights[tensor.name] = bytes_of(tensor)
        else:
            moved[buffer] = self._sizes[buffer]


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
