"""Imports the graph of a function anew, so that every shape in it is known.

Owns: inlining, fixed sizes, variables without their weights. Does not own: which function
(``saved_models``, ``tracing``), counting.

A SavedModel's functions have free sizes and call functions within functions, whose shapes
nothing infers. So the functions are inlined, the inputs are given their size, each
variable is replaced by an input of its shape, and the graph is imported anew: no weight
is copied, and TensorFlow infers the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer
from tensorflow.python.training.saver import export_meta_graph

from tfclassify.profiler.control_flow import CALLS, count_node, import_shaped, order_needed
from tfclassify.profiler.tracing import LayerCalls, Shape, Trace

#: Marks that keep a function from being inlined.
_BARRIERS = ("api_implements", "_XlaMustCompile", "_noinline", "_nospecialize")
#: Mark on loops and branches that would take them apart.
_LOWERING = "_lower_using_switch_merge"


def inline_functions(function: Any) -> Any:
    """Return a concrete function's graph as a ``GraphDef`` without plain calls.

    Loops and branches stay whole. Nothing is run, and no weight is read.
    """
    graph = function.graph.as_graph_def()
    _clear_marks(graph.node)
    for inner in graph.library.function:
        _clear_marks(inner.node_def)
        for mark in _BARRIERS:
            inner.attr.pop(mark, None)
    meta = export_meta_graph(graph_def=graph, graph=function.graph)
    fetched = meta_graph_pb2.CollectionDef()
    for tensor in (*function.inputs, *function.outputs):
        fetched.node_list.value.append(tensor.name)
    # Where the optimiser looks for what must not be lost.
    meta.collection_def["train_op"].CopyFrom(fetched)
    config = config_pb2.ConfigProto()
    rewrite = config.graph_options.rewrite_options
    rewrite.min_graph_nodes = -1
    rewrite.optimizers.append("function")
    rewrite.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta)


def _clear_marks(nodes: Any) -> None:
    for node in nodes:
        for mark in _BARRIERS:
            node.attr.pop(mark, None)
        if _LOWERING in node.attr:
            node.attr[_LOWERING].b = False


@dataclass(frozen=True)
class ImportedGraph:
    """A function's graph without calls, at a fixed size.

    Attributes:
        graph: The graph, functions inlined and shapes worked out.
        inputs: The tensors of its inputs, in the function's order.
        outputs: The tensors of its outputs.
        variables: Name of the tensor that stands for a variable -> the variable.
        handles: Name of a tensor that is a variable's handle -> the name of the former.
    """

    graph: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    variables: dict[str, Any]
    handles: dict[str, str]


def import_graph(function: Any, shapes: Sequence[tuple[int, ...]]) -> ImportedGraph:
    """Inline what a concrete function calls and work every shape out.

    Args:
        function: The concrete function.
        shapes: The shapes of its inputs, batch left out; the batch is 1.
    """
    inlined = inline_functions(function)
    inputs = [tensor.op.name for tensor in function.inputs[: len(shapes)]]
    fixed = dict(zip(inputs, shapes, strict=True))
    variables = {
        inner.op.name: variable
        for outer, inner in function.graph.captures
        if (variable := _find_variable(function, outer)) is not None
    }
    carriers = _follow_handles(inlined, variables)
    handles = _keep_handles(inlined, variables, carriers)
    for node in inlined.node:
        # Shapes that were noted at export hide those that follow from the new size.
        node.attr.pop("_output_shapes", None)
        if node.name in fixed:
            shape = tf.TensorShape((1, *fixed[node.name]))
            node.attr["shape"].shape.CopyFrom(shape.as_proto())
        elif node.name in carriers:
            _hold_value(node, carriers[node.name])
        elif node.op == "ReadVariableOp" and _source_of(node) in carriers:
            node.op = "Identity"
            node.attr["T"].type = node.attr["dtype"].type
            del node.attr["dtype"]
    graph = import_shaped(inlined)
    return ImportedGraph(
        graph,
        tuple(graph.get_tensor_by_name(f"{name}:0") for name in inputs),
        tuple(graph.get_tensor_by_name(tensor.name) for tensor in function.outputs),
        {f"{name}:0": variable for name, variable in variables.items()},
        handles,
    )


def _find_variable(function: Any, handle: Any) -> Any:
    for variable in function.graph.variables:
        if variable.handle is handle:
            return variable
    return None


def _source_of(node: Any) -> str:
    return str(node.input[0]).partition(":")[0]


def _follow_handles(graph: Any, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the variable whose handle a node holds or passes on, by the node's name."""
    carriers = dict(variables)
    passing = [
        node
        for node in graph.node
        if node.op == "Identity" and node.attr["T"].type == tf.resource.as_datatype_enum
    ]
    found = True
    while found:
        found = False
        for node in passing:
            if node.name not in carriers and _source_of(node) in carriers:
                carriers[node.name] = carriers[_source_of(node)]
                found = True
    return carriers


def _keep_handles(
    graph: Any, variables: Mapping[str, Any], carriers: Mapping[str, Any]
) -> dict[str, str]:
    """Give what takes a handle itself, as loops do, a handle of its own.

    Returns:
        ``ImportedGraph.handles``.
    """
    names = {id(variable): name for name, variable in variables.items()}
    handles: dict[str, str] = {}
    for node in list(graph.node):
        if node.name in carriers or node.op in ("ReadVariableOp", "Identity"):
            continue
        for place, source in enumerate(node.input):
            variable = carriers.get(source.partition(":")[0])
            if variable is not None and not source.startswith("^"):
                name = names[id(variable)]
                if f"{name}/handle:0" not in handles:
                    handles[f"{name}/handle:0"] = f"{name}:0"
                    handle = graph.node.add(name=f"{name}/handle", op="VarHandleOp")
                    handle.attr["dtype"].type = variable.dtype.as_datatype_enum
                    handle.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
                node.input[place] = f"{name}/handle"
    return handles


def _hold_value(node: Any, variable: Any) -> None:
    """Have a node hold a variable's value where it held its handle."""
    if node.op == "Identity":
        node.attr["T"].type = variable.dtype.as_datatype_enum
        return
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())


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
