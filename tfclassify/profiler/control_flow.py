"""Costs of whole graphs: functions called by functions, branches and loops.

Owns: the walk over nodes, and how often a loop runs. Does not own: the cost of a plain
node (``operations``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import tensorflow as tf
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

from tfclassify.profiler.operations import ELEMENTWISE, FREE, PRODUCTS, UnknownShapeError
from tfclassify.profiler.results import Cost, add_costs

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_LOOPS = frozenset({"While", "StatelessWhile"})
_IFS = frozenset({"If", "StatelessIf"})
_CASES = frozenset({"Case", "StatelessCase"})


def count_node(node: Any) -> Cost:
    """Return the cost of one node, with everything that it calls.

    Of a branch, the most expensive side counts, since which one runs is not known.
    """
    if node.type in CALLS:
        return count_graph(called_graph(node, node.get_attr("f").name))
    if node.type in _LOOPS:
        return _count_loop(node)
    if node.type in _IFS | _CASES:
        return _most_expensive(node, _list_bodies(node))
    return _count_plain(node)


def _count_plain(node: Any) -> Cost:
    counting = PRODUCTS.get(node.type) or ELEMENTWISE.get(node.type)
    types = [tensor.dtype.base_dtype for tensor in node.inputs]
    if counting is not None and any(kind.is_complex for kind in types):
        return Cost(uncounted=Counter({f"{node.type} of complex numbers": 1}))
    # Index and shape arithmetic is no floating-point work.
    if node.type in ELEMENTWISE and not any(kind.is_floating for kind in types):
        return Cost()
    if counting is None:
        return Cost() if node.type in FREE else Cost(uncounted=Counter({node.type: 1}))
    try:
        return counting(node)
    except UnknownShapeError:
        return Cost(uncounted=Counter({f"{node.type} of unknown shape": 1}))


def count_graph(graph: Any) -> Cost:
    """Return the cost of all nodes of a function's graph that its results need."""
    if graph not in _COSTS:
        _COSTS[graph] = add_costs(count_node(node) for node in list_needed(graph))
    return _COSTS[graph]


#: Graph of a function -> its cost, so that a function called by many is counted once.
_COSTS: WeakKeyDictionary[Any, Cost] = WeakKeyDictionary()


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
    """Return the graph of a function that a node calls, with the shapes of this call.

    A graph that was read from a file holds its functions without shapes, which are worked
    out anew from the operands.
    """
    traced = getattr(node.graph._get_function(name), "graph", None)
    if traced is not None:
        return traced
    operands = list(node.inputs)[1 if node.type in (_IFS | _CASES) else 0 :]
    facts = tuple(_describe(operand) for operand in operands)
    opened = _OPENED.setdefault(node.graph, {})
    if (name, facts) not in opened:
        graph = _open_function(node, name, facts)
        if node.type in _LOOPS and name == node.get_attr("body").name:
            # The second turn is given what the first one gives, of another size perhaps.
            given, got = facts, tuple(map(_join, facts, graph.outputs))
            while got != given:  # at each turn lengths are forgotten, which ends
                graph = _open_function(node, name, got)
                given, got = got, tuple(map(_join, got, graph.outputs))
        opened[name, facts] = graph
    return opened[name, facts]


def _source_of(node: Any) -> str:
    return str(node.input[0]).partition(":")[0]


def _set_argument(node: Any, operand: _Operand) -> None:
    """Have an argument's stand-in be of its operand's shape."""
    if operand.dtype is not None:  # the variable's shape then reaches whatever reads it
        node.op = "VarHandleOp"
        node.attr.clear()
        node.attr["dtype"].type = operand.dtype.as_datatype_enum
        node.attr["shape"].shape.CopyFrom(tf.TensorShape(operand.held).as_proto())
        return
    node.attr.pop("_output_shapes", None)
    node.attr["shape"].shape.CopyFrom(tf.TensorShape(operand.shape).as_proto())


def _fix_items(graph_def: Any, node: Any, place: int, shape: Sequence[int | None]) -> None:
    """Have a list's items be of their shape, of which the export knew no batch."""
    constant = graph_def.node.add(name=f"{node.name}/shape", op="Const")
    constant.attr["dtype"].type = tf.int32.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(shape, tf.int32))
    node.input[place] = constant.name


#: Graph -> the functions of it that were opened, by name and operands.
_OPENED: WeakKeyDictionary[Any, dict[Any, CalledGraph]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class CalledGraph:
    """A function's graph as it is when called; the attributes are those of a trace."""

    graph: Any
    inputs: list[Any]
    outputs: list[Any]
    control_outputs: list[Any]

    def get_operations(self) -> list[Any]:
        """Return its nodes in order."""
        return list(self.graph.get_operations())


#: Branches within branches whose shapes are worked out.
_ROUNDS = 16


def import_shaped(graph_def: Any) -> Any:
    """Import a graph, and work out the shapes of what its branches and loops give.

    TensorFlow takes the results of a branch or a loop to be what its export noted, where
    the batch and often the size are free; what follows then has no shape either.

    Args:
        graph_def: The graph; changed in place.
    """
    for function in graph_def.library.function:
        for node in function.node_def:
            node.attr.pop("_output_shapes", None)
    for _ in range(_ROUNDS):
        graph = tf.Graph()
        with graph.as_default():
            tf.import_graph_def(graph_def, name="")
        nodes = {node.name: node for node in graph_def.node}
        found = [_note_shapes(node, nodes[node.name]) for node in graph.get_operations()]
        found += [_note_items(node, graph_def, nodes) for node in graph.get_operations()]
        if not any(found):
            break
    return graph


def _note_shapes(node: Any, node_def: Any) -> bool:
    """Note what a branch or loop gives; say whether that is more than was known."""
    if node.type not in _LOOPS | _IFS | _CASES:
        return False
    known = [tensor.shape for tensor in node.outputs]
    if all(shape.is_fully_defined() for shape in known):
        return False
    graphs = [called_graph(node, name) for name in _list_bodies(node)]
    found = [[tensor.shape for tensor in graph.outputs] for graph in graphs]
    if node.type in _LOOPS:  # what a turn is given, where it gives the same again
        found.append([tensor.shape for tensor in node.inputs])
    agreed = [
        shapes[-1] if all(each.as_proto() == shapes[-1].as_proto() for each in shapes) else shape
        for shape, shapes in zip(known, zip(*found, strict=True), strict=True)
    ]
    merged = [
        new if new.is_fully_defined() and old.is_compatible_with(new) else old
        for old, new in zip(known, agreed, strict=True)
    ]
    if all(new.as_proto() == old.as_proto() for new, old in zip(merged, known, strict=True)):
        return False
    del node_def.attr["output_shapes"].list.shape[:]
    node_def.attr["output_shapes"].list.shape.extend(shape.as_proto() for shape in merged)
    return True


def _note_items(node: Any, graph_def: Any, nodes: Mapping[str, Any]) -> bool:
    """Note the shape of the items that a loop put into a list, where the list is stacked."""
    if node.type != "TensorListStack" or node.outputs[0].shape[1:].is_fully_defined():
        return False
    source = _source(node.inputs[0])
    if source.op.type not in _LOOPS:
        return False
    result = called_graph(source.op, _list_bodies(source.op)[0]).outputs[source.value_index]
    result = _source(result)
    if result.op.type != "TensorListSetItem":
        return False
    shape = result.op.inputs[2].shape
    if not shape.is_fully_defined() or f"{node.name}/shape" in nodes:
        return False
    _fix_items(graph_def, nodes[node.name], 1, shape.as_list())
    return True


def _list_bodies(node: Any) -> list[str]:
    """Return the functions that a branch or a loop may give the results of."""
    if node.type in _LOOPS:
        return [node.get_attr("body").name]
    if node.type in _IFS:
        return [node.get_attr("then_branch").name, node.get_attr("else_branch").name]
    return [branch.name for branch in node.get_attr("branches")]


class _Operand(NamedTuple):
    """What a called function can know of an operand.

    Attributes:
        shape: Its shape.
        dtype: A variable's handle: the type of the variable, else None.
        held: Shape of the variable, or of the items of a list.
    """

    shape: tuple[int | None, ...] | None
    dtype: Any = None
    held: tuple[int | None, ...] | None = None


def _describe(operand: Any) -> _Operand:
    """Return what is known of an operand."""
    source = _source(operand)
    shape = _list_lengths(operand.shape)
    if source.op.type == "VarHandleOp":
        held = tf.TensorShape(source.op.get_attr("shape"))
        return _Operand(shape, source.op.get_attr("dtype"), _list_lengths(held))
    if source.op.type == "TensorListFromTensor":
        return _Operand(shape, None, _list_lengths(source.op.inputs[0].shape[1:]))
    return _Operand(shape)


def _join(operand: _Operand, result: Any) -> _Operand:
    """Return what is true of an operand and of what takes its place in the next turn."""
    if operand.shape is None or result.shape.rank != len(operand.shape):
        return operand._replace(shape=None)
    pairs = zip(operand.shape, result.shape.as_list(), strict=True)
    return operand._replace(shape=tuple(one if one == other else None for one, other in pairs))


def _list_lengths(shape: Any) -> tuple[int | None, ...] | None:
    return tuple(shape.as_list()) if shape.rank is not None else None


def _open_function(node: Any, name: str, operands: Sequence[_Operand]) -> CalledGraph:
    function = node.graph._get_function(name)
    definition = getattr(function, "definition", None) or function.function_def
    with node.graph.as_default():
        graph_def, places = function_def_to_graph_def(definition)
    arguments = [argument.name for argument in definition.signature.input_arg]
    known = dict(zip(arguments, operands, strict=True))
    for inner in list(graph_def.node):
        if inner.name in known:
            _set_argument(inner, known[inner.name])
        elif inner.op == "TensorListGetItem" and _source_of(inner) in known:
            held = known[_source_of(inner)].held
            if held is not None and None not in held:
                _fix_items(graph_def, inner, 2, held)
    graph = import_shaped(graph_def)
    results = [definition.ret[result.name] for result in definition.signature.output_arg]
    return CalledGraph(
        graph,
        [graph.get_tensor_by_name(f"{name}:0") for name in arguments],
        [graph.get_tensor_by_name(places[result]) for result in results],
        [graph.get_operation_by_name(name) for name in definition.control_ret.values()],
    )


def _most_expensive(node: Any, names: Iterable[str]) -> Cost:
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
    """Return how often a loop runs, or None where that is not certain.

    A loop over time steps goes on while a counter is below a constant, or while several
    are; the first comparison to fail ends it. Any other condition may end it elsewhere.
    """
    loop_names = [node.get_attr(key).name for key in ("cond", "body")]
    condition, body = (called_graph(node, name) for name in loop_names)
    lengths, pending = [], [condition.outputs[0]]
    while pending:
        operation = _source(pending.pop()).op
        if operation.type == "LogicalAnd":
            pending += operation.inputs
            continue
        lengths.append(_count_comparison(node, condition, body, operation))
    known = [length for length in lengths if length is not None]
    return min(known) if len(known) == len(lengths) else None


def _count_comparison(node: Any, condition: Any, body: Any, operation: Any) -> int | None:
    """Return in which turn ``counter < constant`` fails first, or None."""
    if operation.type not in ("Less", "LessEqual"):
        return None
    counter, limit = (_argument(condition, tensor) for tensor in operation.inputs)
    if counter is None or (limit is not None and _argument(body, body.outputs[limit]) != limit):
        return None  # no counter, or a limit that changes
    held = operation.inputs[1] if limit is None else node.inputs[limit]
    start, step, end = _constant(node.inputs[counter]), _step(body, counter), _constant(held)
    if start is None or step is None or end is None or step <= 0:
        return None
    is_exact = all(value == int(value) and abs(value) < _EXACT for value in (start, step))
    if not is_exact:  # sums of such floats are rounded
        return None
    turns = math.ceil((end - start) / step)
    if operation.type == "LessEqual" and end == start + turns * step:
        turns += 1
    return max(0, turns)


#: Whole numbers up to here are exact in float32.
_EXACT = 1 << 24


def _source(tensor: Any) -> Any:
    """Return the tensor that others only pass on."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _argument(graph: Any, tensor: Any) -> int | None:
    """Return which of a function's arguments a tensor is, or None."""
    name = _source(tensor).name
    return next((n for n, argument in enumerate(graph.inputs) if argument.name == name), None)


def _step(body: Any, place: int) -> float | None:
    """Return what a loop adds to one of its counters in each turn."""
    result = _source(body.outputs[place])
    if result.op.type not in {"Add", "AddV2"}:
        return None
    terms = list(result.op.inputs)
    constants = [_constant(term) for term in terms if _argument(body, term) != place]
    return constants[0] if len(constants) == 1 else None


def _constant(tensor: Any) -> float | None:
    """Return the value of a scalar that the graph itself fixes, or None."""
    value = tf.get_static_value(tensor)
    if value is None and tensor.op.type in ("Max", "Min"):  # of numbers that are known
        values = tf.get_static_value(tensor.op.inputs[0])
        value = None if values is None else getattr(values, tensor.op.type.lower())()
    return None if value is None or value.size != 1 else value.item()
