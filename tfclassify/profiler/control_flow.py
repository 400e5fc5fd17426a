"""Costs of whole graphs: functions called by functions, branches and loops.

Owns: the walk over nodes, and how often a loop runs. Does not own: the cost of a plain
node (``operations``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import tensorflow as tf

from tfclassify.profiler.operations import ELEMENTWISE, FREE, PRODUCTS, UnknownShapeError
from tfclassify.profiler.results import Cost, add_costs

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_LOOPS = frozenset({"While", "StatelessWhile"})
_IFS = frozenset({"If", "StatelessIf"})
_CASES = frozenset({"Case", "StatelessCase"})


def count_node(node: Any) -> Cost:
    """Return the cost of one node, with everything that it calls.

    Of a branch, the dearest side counts, since which one runs is not known.
    """
    if node.type in CALLS:
        return count_graph(called_graph(node, node.get_attr("f").name))
    if node.type in _LOOPS:
        return _count_loop(node)
    if node.type in _IFS:
        names = [node.get_attr("then_branch").name, node.get_attr("else_branch").name]
        return _dearest(node, names)
    if node.type in _CASES:
        return _dearest(node, [branch.name for branch in node.get_attr("branches")])
    return _count_plain(node)


def _count_plain(node: Any) -> Cost:
    counting = PRODUCTS.get(node.type)
    if counting is None and node.type in ELEMENTWISE:
        # Index and shape arithmetic is no floating-point work.
        if not any(tensor.dtype.base_dtype.is_floating for tensor in node.inputs):
            return Cost()
        counting = ELEMENTWISE[node.type]
    if counting is None:
        return Cost() if node.type in FREE else Cost(uncounted=Counter({node.type: 1}))
    try:
        return counting(node)
    except UnknownShapeError:
        return Cost(uncounted=Counter({f"{node.type} of unknown shape": 1}))


def count_graph(graph: Any) -> Cost:
    """Return the cost of all nodes of a function's graph that its results need."""
    return add_costs(count_node(node) for node in list_needed(graph))


def list_needed(graph: Any) -> list[Any]:
    """Return the nodes that a function's results need, in the graph's order.

    TensorFlow runs no others, however many a trace may have left.
    """
    pending = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    return order_needed(graph, pending)


def order_needed(graph: Any, wanted: Iterable[Any]) -> list[Any]:
    """Return what the wanted nodes need, themselves included, in the graph's order."""
    pending, needed = list(wanted), set()
    while pending:
        node = pending.pop()
        if node in needed:
            continue
        needed.add(node)
        pending.extend(tensor.op for tensor in node.inputs)
        pending.extend(node.control_inputs)
    return [node for node in graph.get_operations() if node in needed]


def called_graph(node: Any, name: str) -> Any:
    """Return the graph of a function that a node calls."""
    return node.graph._get_function(name).graph


def _dearest(node: Any, names: Iterable[str]) -> Cost:
    costs = [count_graph(called_graph(node, name)) for name in names]
    return max(costs, key=lambda cost: cost.flops, default=Cost())


def _count_loop(node: Any) -> Cost:
    body = called_graph(node, node.get_attr("body").name)
    cost = count_graph(body)
    turns = count_turns(node)
    if turns is None:
        is_work = cost.macs or cost.elementwise or cost.uncounted
        uncounted = Counter({"While of unknown length": 1})
        return Cost(uncounted=uncounted) if is_work else Cost()
    # The condition is arithmetic on counters.
    return cost.repeated(turns)


def count_turns(node: Any) -> int | None:
    """Return how often a loop runs, or None where that hangs on the data.

    A loop over time steps compares a counter with a constant; the smallest number of
    turns after which one such comparison fails is the loop's length.
    """
    condition = called_graph(node, node.get_attr("cond").name)
    body = called_graph(node, node.get_attr("body").name)
    lengths = []
    for comparison in condition.get_operations():
        if comparison.type != "Less":
            continue
        counter = _argument(condition, comparison.inputs[0])
        start = None if counter is None else _constant(node.inputs[counter])
        step = None if counter is None else _step(body, counter)
        limit = _resolve(condition, comparison.inputs[1], node)
        if start is not None and step and limit is not None:
            lengths.append(max(0, -(-(limit - start) // step)))
    return min(lengths, default=None)


def _resolve(graph: Any, tensor: Any, node: Any) -> int | None:
    place = _argument(graph, tensor)
    return _constant(tensor if place is None else node.inputs[place])


def _argument(graph: Any, tensor: Any) -> int | None:
    """Return which of a function's arguments a tensor is, or None."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    for place, argument in enumerate(graph.inputs):
        if argument.name == tensor.name:
            return place
    return None


def _step(body: Any, place: int) -> int | None:
    """Return what a loop adds to one of its counters in each turn."""
    result = body.outputs[place]
    while result.op.type == "Identity":
        result = result.op.inputs[0]
    if result.op.type not in {"Add", "AddV2"}:
        return None
    terms = list(result.op.inputs)
    constants = [_constant(term) for term in terms if _argument(body, term) != place]
    return constants[0] if len(constants) == 1 else None


def _constant(tensor: Any) -> int | None:
    """Return the value of a scalar that the graph itself fixes, or None."""
    value = tf.get_static_value(tensor)
    return None if value is None or value.size != 1 else int(value)
