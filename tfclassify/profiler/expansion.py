"""Opens the calls of a trace whose inside says nothing of its shapes.

Owns: putting the nodes of a hub module, which were read from a file, in the place of the
call, so that they are counted. Does not own: the trace (``tracing``), the import of the
graph (``graph_import``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tfclassify.profiler.control_flow import CALLS, count_node, order_needed
from tfclassify.profiler.graph_import import import_graph
from tfclassify.profiler.tracing import LayerCalls, Shape, Trace

_UNKNOWN = " of unknown shape"


def expand_calls(trace: Trace, shapes: Sequence[Shape]) -> Trace:
    """Return a trace without calls, if any of them hides shapes; else the trace itself.

    Args:
        trace: The trace of a model.
        shapes: The shape of each input, batch of 1 included.
    """
    if not any(_hides_shapes(node) for node in trace.nodes):
        return trace
    imported = import_graph(trace.function, [shape[1:] for shape in shapes])
    nodes = order_needed(imported.graph, [tensor.op for tensor in imported.outputs])
    owners = {node.name: calls for calls in trace.layers for node in calls.nodes}
    inside: dict[int, list[Any]] = {id(calls): [] for calls in trace.layers}
    for node in nodes:
        inside[id(_find_owner(node.name, owners, trace.layers[0]))].append(node)
    for calls in trace.layers:
        calls.nodes = inside[id(calls)]
        calls.outputs = [_find_tensor(imported.graph, tensor) for tensor in calls.outputs]
    return replace(
        trace,
        graph=imported.graph,
        inputs=list(imported.inputs),
        outputs=list(imported.outputs),
        nodes=nodes,
    )


def _hides_shapes(node: Any) -> bool:
    return node.type in CALLS and any(
        name.endswith(_UNKNOWN) for name in count_node(node).uncounted
    )


def _find_owner(name: str, owners: dict[str, LayerCalls], root: LayerCalls) -> LayerCalls:
    """Return the layer of a node, or of the call that it came out of."""
    while name and name not in owners:
        name = name.rpartition("/")[0]
    return owners.get(name, root)


def _find_tensor(graph: Any, tensor: Any) -> Any:
    """Return the tensor by the same name, or the old one where a call gave it."""
    try:
        return graph.get_tensor_by_name(tensor.name)
    except (KeyError, ValueError):
        return tensor
