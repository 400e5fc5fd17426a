"""Opens a SavedModel at a fixed input size, and profiles it scope by scope.

Owns: choosing its inference function, its graph with every shape worked out, and what of
it belongs to which scope. Does not own: where a module of TensorFlow Hub lies
(``backbones.hub_modules``), what is safe to run (``backbones.saved_models``). A scope
cannot be run by itself, so only the whole is timed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfclassify.backbones.saved_models import bounded_run, load_saved_model
from tfclassify.errors import ModelError, ProfileError
from tfclassify.profiler.control_flow import count_node, order_needed
from tfclassify.profiler.fields import Field
from tfclassify.profiler.graph_import import import_graph
from tfclassify.profiler.keras_profile import check_sums, find_last_extent
from tfclassify.profiler.kernels import Owner, Shares
from tfclassify.profiler.latency import draw_inputs, measure_whole, time_layers
from tfclassify.profiler.memory import Traffic, bytes_of, estimate_peak_bytes
from tfclassify.profiler.receptive_field import find_fields, start_fields
from tfclassify.profiler.results import LayerProfile, Profile, add_costs, name_blocks
from tfclassify.profiler.subjects import Size, fix_shapes
from tfclassify.profiler.tracing import Shape

_PREFERRED = ("serving_default", "default")


@dataclass(frozen=True)
class SavedGraph:
    """A SavedModel's inference at a fixed size.

    Attributes:
        graph: Its graph, functions inlined and shapes worked out.
        inputs: The tensors of its inputs, in the order of ``names``.
        outputs: The tensors of its outputs.
        variables: Name of the tensor that stands for a variable -> the variable.
        handles: Name of a tensor that is a variable's handle -> the name of the former.
        names: Names of the inputs, as the function takes them.
        shapes: Their shapes, batch left out.
        function: The function itself, of tensors by name.
        loaded: What was loaded, which keeps the variables alive.
    """

    graph: Any
    inputs: tuple[Any, ...]
    outputs: tuple[Any, ...]
    variables: dict[str, Any]
    handles: dict[str, str]
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    function: Any
    loaded: Any


def open_saved_model(folder: Path, size: Size | None) -> SavedGraph:
    """Open a SavedModel's inference function.

    Args:
        folder: The SavedModel.
        size: ``(height, width)`` in pixels, or None for its own.

    Raises:
        ProfileError: If it cannot be read, could do more than compute, or has no usable
            function.
        RequestError: If its size is not fixed, or is another one.
    """
    try:
        loaded = load_saved_model(folder)
    except ModelError as error:
        raise ProfileError(str(error)) from error
    function = _choose_function(folder, loaded)
    arguments = _list_arguments(function)
    if not arguments or any(spec.shape.rank is None for _, spec in arguments):
        raise ProfileError(
            f"{folder}: its inference function takes {[str(spec) for _, spec in arguments]}, "
            "which cannot be given a size; export it with the rank of its input fixed"
        )
    free = [tuple(spec.shape.as_list()[1:]) for _, spec in arguments]
    shapes = fix_shapes(str(folder), free, size)
    imported = import_graph(function, shapes)
    names = tuple(name for name, _ in arguments)
    return SavedGraph(
        imported.graph,
        imported.inputs,
        imported.outputs,
        imported.variables,
        imported.handles,
        names,
        shapes,
        function,
        loaded,
    )


def _choose_function(folder: Path, loaded: Any) -> Any:
    """Return the function that predicts: a signature, else the object's own call."""
    signatures: Mapping[str, Any] = getattr(loaded, "signatures", {})
    for name in (*_PREFERRED, *signatures):
        if name in signatures:
            return signatures[name]
    concrete = list(getattr(getattr(loaded, "__call__", None), "concrete_functions", ()))  # noqa: B004
    for function in concrete:
        given, named = function.structured_input_signature
        if True not in (*given, *named.values()):
            return function
    raise ProfileError(
        f"{folder}: the SavedModel has no signature and cannot be called, so there is nothing to "
        "run; export it with one: model.export('folder')"
    )


def _list_arguments(function: Any) -> list[tuple[str, Any]]:
    """Return the name and the specification of each tensor that a function takes."""
    given, named = function.structured_input_signature
    specs = [spec for spec in given if isinstance(spec, tf.TensorSpec)]
    found = [(spec.name or f"argument {n}", spec) for n, spec in enumerate(specs)]
    # A graph takes named arguments in the order of their names.
    found += [(n, spec) for n, spec in sorted(named.items()) if isinstance(spec, tf.TensorSpec)]
    return found


def run_saved(saved: SavedGraph, tensors: Sequence[Any]) -> Any:
    """Run a SavedModel's inference on its inputs, given in a row."""
    return saved.function(**dict(zip(saved.names, tensors, strict=True)))


#: Scopes that only say that a function was called.
_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
#: Types whose scope says nothing of a layer's work.
_SILENT = frozenset({"Placeholder", "Const", "NoOp", "Identity"})


def profile_saved(saved: SavedGraph, *, title: str, target: str) -> Profile:
    """Count what a SavedModel costs, scope by scope.

    Args:
        saved: The SavedModel at a fixed size.
        title: What to call it.
        target: What the user named.
    """
    nodes = order_needed(saved.graph, [tensor.op for tensor in saved.outputs])
    cost = add_costs(count_node(node) for node in nodes)
    layers = _list_scopes(saved, nodes)
    trainable = sum(_size(each) for each in saved.variables.values() if each.trainable)
    profile = Profile(
        title,
        target,
        saved.shapes,
        layers,
        cost,
        sum(_size(each) for each in saved.variables.values()),
        trainable,
        sum(_size(each) * each.dtype.size for each in saved.variables.values()),
        estimate_peak_bytes(nodes, saved.inputs, saved.outputs),
        find_last_extent(layers),
        " + ".join(sorted({tensor.dtype.name for tensor in saved.inputs})),
        remarks=("a SavedModel: lines are scopes of its graph",),
    )
    check_sums(profile)
    return profile


def time_saved(profile: Profile, saved: SavedGraph, batch_size: int, device: str) -> Profile:
    """Time a SavedModel, and the scopes of its graph inside of it."""
    with tf.device(device):
        batches = {size: draw_inputs(saved.inputs, saved.shapes, size) for size in {1, batch_size}}
        with bounded_run(profile.target):
            run_saved(saved, batches[1])
        latency = measure_whole(
            profile, lambda *tensors: run_saved(saved, tensors), batches, device
        )
        known = {layer.path for layer in profile.layers if layer.calls}
        inputs = batches[batch_size]
        finder = partial(_find_scopes, known=known)
        return time_layers(
            replace(profile, latency=latency), lambda: run_saved(saved, inputs), finder
        )


def _find_scopes(shares: Shares, known: set[Owner]) -> Counter[Owner]:
    """Return the parts of the whole by scope: the innermost one that has a line."""
    found: Counter[Owner] = Counter()
    for (name, _), share in shares.items():
        scope = _scope_of(name)
        while scope and scope not in known:
            scope = scope[:-1]
        if scope in known:
            found[scope] += share  # type: ignore[assignment]
    return found


def _size(variable: Any) -> int:
    return math.prod(variable.shape.as_list())


def _scope_of(name: str) -> tuple[str, ...]:
    """Return the scope of a node, without the levels that only call functions."""
    parts = [part for part in name.split("/")[:-1] if not part.startswith(_CALLS)]
    return tuple(parts)


def _list_scopes(saved: SavedGraph, nodes: Sequence[Any]) -> tuple[LayerProfile, ...]:
    fields = find_fields(nodes, start_fields(saved.inputs))
    scopes: dict[tuple[str, ...], list[Any]] = {}
    for node in nodes:
        if node.type not in _SILENT:
            scopes.setdefault(_scope_of(node.name), []).append(node)
    owners = _assign_variables(saved, nodes)
    for scope in owners.values():
        scopes.setdefault(scope, [])
    traffic = Traffic(nodes, saved.inputs, saved.outputs)
    found = [
        _make_scope(
            scope,
            members,
            [saved.variables[n] for n, at in owners.items() if at == scope],
            fields,
            traffic,
        )
        for scope, members in scopes.items()
    ]
    blocks = name_blocks(["".join(layer.path[-1:]) for layer in found])
    return tuple(
        replace(layer, block=block) if len(layer.path) == 1 else layer
        for layer, block in zip(found, blocks, strict=True)
    )


def _assign_variables(saved: SavedGraph, nodes: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    """Give each variable to the scope of the first node that reads it."""
    owners: dict[str, tuple[str, ...]] = {}
    sources = {name: name for name in saved.variables} | saved.handles
    for node in nodes:
        for tensor in node.inputs:
            variable = sources.get(tensor.name)
            if variable is None:
                continue
            if node.type == "Identity":
                sources[node.outputs[0].name] = variable
            else:
                owners.setdefault(variable, _scope_of(node.name))
    for name in saved.variables:
        owners.setdefault(name, ("(not used)",))
    return owners


def _make_scope(
    scope: tuple[str, ...],
    members: Sequence[Any],
    variables: Sequence[Any],
    fields: Mapping[str, Field],
    traffic: Traffic,
) -> LayerProfile:
    last = next((n.outputs[0] for n in reversed(members) if _is_result(n, fields)), None)
    field = fields.get(last.name) if last is not None else None
    shape = last.shape if last is not None else None
    return LayerProfile(
        scope,
        _name_kind(members),
        "",
        1 if members else 0,
        tuple(shape.as_list()[1:]) if shape is not None and shape.is_fully_defined() else None,
        sum(_size(each) for each in variables),
        sum(_size(each) for each in variables if each.trainable),
        sum(_size(each) * each.dtype.size for each in variables),
        bytes_of(last) if last is not None else 0,
        add_costs(count_node(node) for node in members),
        field.extent if field is not None else None,
        *traffic.measure(members),
    )


def _is_result(node: Any, fields: Mapping[str, Field]) -> bool:
    return bool(node.outputs) and node.outputs[0].name in fields


def _name_kind(members: Sequence[Any]) -> str:
    """Return the type of a scope's most expensive operation."""
    costs = [(count_node(node).flops, node.type) for node in members]
    return max(costs, default=(0, ""))[1] if costs and max(costs)[0] else ""
