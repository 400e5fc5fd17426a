"""Profiles a SavedModel: one line a scope of its graph, and the totals.

Owns: what of an inlined graph belongs to which scope. Does not own: opening it
(``saved_models``). A scope cannot be run by itself, so only the whole is timed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from tfclassify.profiler.blocks import name_blocks
from tfclassify.profiler.control_flow import count_node, order_needed
from tfclassify.profiler.cost import add_costs
from tfclassify.profiler.fields import Field
from tfclassify.profiler.keras_profile import check_sums, find_last_extent
from tfclassify.profiler.latency import draw_inputs, measure_whole
from tfclassify.profiler.memory import bytes_of, estimate_peak_bytes
from tfclassify.profiler.receptive_field import find_fields, start_fields
from tfclassify.profiler.results import LayerProfile, Profile
from tfclassify.profiler.saved_models import SavedGraph, run_saved

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
        remarks=("a SavedModel: lines are scopes of its graph, and only the whole is timed",),
    )
    check_sums(profile)
    return profile


def time_saved(profile: Profile, saved: SavedGraph, batch_size: int, device: str) -> Profile:
    """Time a SavedModel as a whole."""
    with tf.device(device):
        batches = {size: draw_inputs(saved.inputs, saved.shapes, size) for size in {1, batch_size}}
        latency = measure_whole(
            profile, lambda *tensors: run_saved(saved, tensors), batches, device
        )
    return replace(profile, latency=latency)


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
    found = [
        _make_scope(
            scope, members, [saved.variables[n] for n, at in owners.items() if at == scope], fields
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
    sources = {name: name for name in saved.variables}
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
    )


def _is_result(node: Any, fields: Mapping[str, Field]) -> bool:
    return bool(node.outputs) and node.outputs[0].name in fields


def _name_kind(members: Sequence[Any]) -> str:
    """Return the type of a scope's dearest operation."""
    costs = [(count_node(node).flops, node.type) for node in members]
    return max(costs, default=(0, ""))[1] if costs and max(costs)[0] else ""
