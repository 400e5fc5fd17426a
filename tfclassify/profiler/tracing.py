"""Traces a Keras model and notes which layer made which operation.

Owns: the trace and the attribution of nodes to layer calls. Does not own: what a node
costs (``control_flow``), one line a layer (``keras_profile``).

Names cannot tell who made a node, since TensorFlow makes scope names unique; so the
number of nodes is noted when a layer's ``call`` begins and when it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from tfclassify.errors import ProfileError
from tfclassify.profiler.control_flow import list_needed

Shape = tuple[int, ...]
Hook = Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


@dataclass(eq=False)
class LayerCalls:
    """All calls of one layer at one place of a model.

    Attributes:
        layer: The layer; an operation of ``keras.ops`` may stand in a model like one.
        path: Names from the outermost container to the layer, the model's own left out.
        calls: How often it was called.
        nodes: The nodes that it made itself, without its sub-layers'.
        outputs: Tensors of its last call.
    """

    layer: Any
    path: tuple[str, ...]
    calls: int = 0
    nodes: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Trace:
    """A traced model.

    Attributes:
        graph: The function's graph.
        layers: Every layer that was called, in the order of their first calls; the
            model itself comes first.
        inputs: The graph's tensors of the model's inputs.
        outputs: The graph's tensors of the model's outputs.
        nodes: What the outputs need, in order.
        looped: Ids of the layers that were called within a loop's body, and so belong
            to the layer that loops.
        function: The concrete function that was traced.
    """

    graph: Any
    layers: list[LayerCalls]
    inputs: list[Any]
    outputs: list[Any]
    nodes: list[Any]
    looped: frozenset[int]
    function: Any


def trace_model(model: Any, shapes: Sequence[Shape]) -> Trace:
    """Trace a model's inference at fixed shapes.

    Args:
        model: The Keras model.
        shapes: The shape of each input, batch included.

    Raises:
        ProfileError: If the model cannot be run at these shapes.
    """
    recorder = _Recorder()
    specs = [
        tf.TensorSpec(shape, tensor.dtype)
        for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]

    def infer(*tensors: Any) -> Any:
        recorder.graph = tf.compat.v1.get_default_graph()
        return call_model(model, tensors)

    with hooked_layers(model, recorder.record):
        try:
            function = tf.function(infer, autograph=False).get_concrete_function(*specs)
        except Exception as error:  # a model may raise anything
            reason = " ".join(str(error).split())[:300]
            raise ProfileError(
                f"{model.name}: cannot be run on inputs of shape "
                f"{', '.join(map(str, shapes))}: {type(error).__name__}: {reason}; "
                "give a size that the network takes with --image-size"
            ) from error
    graph = function.graph
    nodes = list_needed(graph)
    recorder.attribute(graph, set(nodes))
    return Trace(
        graph,
        list(recorder.layers.values()),
        graph.inputs[: len(specs)],
        graph.outputs,
        nodes,
        frozenset(recorder.looped),
        function,
    )


def call_model(model: Any, tensors: Sequence[Any]) -> Any:
    """Run a model on its inputs, given in a row, as inference does."""
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        arguments = tensors[0] if len(tensors) == 1 else list(tensors)
    else:
        arguments = keras.tree.pack_sequence_as(structure, list(tensors))
    return model(arguments, training=False)


def list_parts(model: Any) -> list[Any]:
    """Return the model and every layer and operation within it, each once."""
    found: dict[int, Any] = {}
    pending = [model]
    while pending:
        part = pending.pop(0)
        if id(part) in found or isinstance(part, keras.layers.InputLayer):
            continue
        found[id(part)] = part
        pending += list(getattr(part, "_layers", []))
        if isinstance(part, keras.Model):
            # Operations of keras.ops that stand in the model like layers.
            pending += list(getattr(part, "operations", []))
    return list(found.values())


@contextmanager
def hooked_layers(model: Any, hook: Hook) -> Iterator[None]:
    """Have every call of a layer go through ``hook(layer, call, arguments, keywords)``."""
    changed: list[tuple[Any, str]] = []
    try:
        for part in list_parts(model):
            for name in ("call", "quantized_call"):
                original = getattr(part, name, None)
                if original is None or name in vars(part):
                    continue
                vars(part)[name] = _wrap(part, original, hook)
                changed.append((part, name))
        yield
    finally:
        for part, name in changed:
            del vars(part)[name]


def _wrap(part: Any, original: Callable[..., Any], hook: Hook) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        return hook(part, original, arguments, keywords)

    return call


class _Recorder:
    """Notes the calls of one trace."""

    def __init__(self) -> None:
        self.graph: Any = None
        self.layers: dict[tuple[int, ...], LayerCalls] = {}
        self.looped: set[int] = set()
        self._stack: list[Any] = []
        self._keys: list[tuple[int, ...]] = []
        # (number of nodes, who is at work from there on)
        self._changes: list[tuple[int, tuple[int, ...]]] = []

    def record(
        self,
        part: Any,
        original: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> Any:
        """Run a layer's call, noting where its nodes begin and end."""
        if tf.compat.v1.get_default_graph() is not self.graph:
            # Within a loop's body, whose nodes belong to the layer that loops.
            self.looped.add(id(part))
            return original(*arguments, **keywords)
        self._stack.append(part)
        key = tuple(id(each) for each in self._stack)
        calls = self.layers.get(key)
        if calls is None:
            calls = LayerCalls(part, self._make_path())
            self.layers[key] = calls
        self._mark(key)
        try:
            results = original(*arguments, **keywords)
        finally:
            self._stack.pop()
            self._mark(key[:-1])
        calls.calls += 1
        calls.outputs = [each for each in keras.tree.flatten(results) if tf.is_tensor(each)]
        return results

    def _make_path(self) -> tuple[str, ...]:
        path = tuple(each.name for each in self._stack[1:])
        taken = {calls.path for calls in self.layers.values()}
        name, number = path, 1
        while name in taken and path:
            number += 1
            name = (*path[:-1], f"{path[-1]}#{number}")
        return name

    def _mark(self, key: tuple[int, ...]) -> None:
        self._changes.append((len(self.graph.get_operations()), key))

    def attribute(self, graph: Any, needed: set[Any]) -> None:
        """Give each needed node to the innermost layer that was at work."""
        root = next(iter(self.layers))
        owner, changes, turn = root, self._changes, 0
        for place, node in enumerate(graph.get_operations()):
            while turn < len(changes) and changes[turn][0] <= place:
                owner = changes[turn][1] or root
                turn += 1
            if node in needed:
                self.layers[owner].nodes.append(node)
