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
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from tfclassify.profiler.inlining import inline_functions


@dataclass(frozen=True)
class ImportedGraph:
    """A function's graph without calls, at a fixed size.

    Attributes:
        graph: The graph, functions inlined and shapes worked out.
        inputs: The tensors of its inputs, in the function's order.
        outputs: The tensors of its outputs.
        variables: Name of the tensor that stands for a variable -> the variable.
    """

    graph: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    variables: dict[str, Any]


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
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(inlined, name="")
    return ImportedGraph(
        graph,
        tuple(graph.get_tensor_by_name(f"{name}:0") for name in inputs),
        tuple(graph.get_tensor_by_name(tensor.name) for tensor in function.outputs),
        {f"{name}:0": variable for name, variable in variables.items()},
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


def _hold_value(node: Any, variable: Any) -> None:
    """Have a node hold a variable's value where it held its handle."""
    if node.op == "Identity":
        node.attr["T"].type = variable.dtype.as_datatype_enum
        return
    node.attr["dtype"].type = variable.dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(variable.shape.as_proto())
