"""Profiles a Keras model: one line a layer, and the totals.

Owns: what of a trace belongs on a layer's line. Does not own: tracing (``tracing``),
timing (``latency``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf

from tfclassify.errors import ProfileError
from tfclassify.profiler.control_flow import count_node
from tfclassify.profiler.fields import Extent, Field
from tfclassify.profiler.graph_import import expand_calls
from tfclassify.profiler.memory import Traffic, bytes_of, estimate_peak_bytes
from tfclassify.profiler.receptive_field import find_fields, start_fields
from tfclassify.profiler.results import LayerProfile, Profile, add_costs, name_blocks
from tfclassify.profiler.tracing import LayerCalls, Shape, Trace, list_parts, trace_model


def profile_model(model: Any, shapes: Sequence[Shape], *, title: str, target: str) -> Profile:
    """Count what a Keras model costs.

    Args:
        model: The model; it is traced, never run.
        shapes: The shape of each input, batch left out.
        title: What to call it.
        target: What the user named.

    Raises:
        ProfileError: If the model cannot be run at these shapes.
    """
    batches = [(1, *shape) for shape in shapes]
    trace = expand_calls(trace_model(model, batches), batches)
    layers = _list_layers(model, trace)
    profile = Profile(
        title,
        target,
        tuple(tuple(shape) for shape in shapes),
        layers,
        add_costs(count_node(node) for node in trace.nodes),
        *_count_weights(model.weights),
        estimate_peak_bytes(trace.nodes, trace.inputs, trace.outputs),
        find_last_extent(layers),
        " + ".join(sorted({_precision(part) for part in list_parts(model)} - {""})),
    )
    check_sums(profile)
    return profile


def find_last_extent(layers: Sequence[LayerProfile]) -> Extent | None:
    """Return the receptive field of the last layer that does not see everything."""
    extents = [layer.receptive_field for layer in layers]
    partial = [extent for extent in extents if extent is not None and not extent.is_global]
    known = [extent for extent in extents if extent is not None]
    return partial[-1] if partial else known[-1] if known else None


def check_sums(profile: Profile) -> None:
    """Make sure that the layers add up to the whole, which was counted apart.

    Raises:
        ProfileError: If they do not.
    """
    total = add_costs(layer.cost for layer in profile.layers)
    params = sum(layer.params for layer in profile.layers)
    if (total, params) != (profile.cost, profile.params):
        raise ProfileError(
            f"{profile.model}: the layers come to {total.macs} MACs, {total.flops} FLOPs and "
            f"{params} parameters, the whole to {profile.macs}, {profile.flops} and "
            f"{profile.params}; this is a fault of the profiler, please report the model"
        )


def _list_layers(model: Any, trace: Trace) -> tuple[LayerProfile, ...]:
    fields = find_fields(trace.nodes, start_fields(trace.inputs))
    weights = _assign_weights(trace)
    parents = {calls.path[:-1] for calls in trace.layers if calls.path}
    traffic = Traffic(trace.nodes, trace.inputs, trace.outputs)
    found = [
        _make_layer(calls, weights[id(calls)], fields, traffic, is_parent=calls.path in parents)
        for calls in trace.layers
    ]
    kept = [layer for layer in found if layer is not None] + _list_uncalled(model, weights)
    return _add_blocks(kept)


def _make_layer(
    calls: LayerCalls,
    weights: list[Any],
    fields: Mapping[str, Field],
    traffic: Traffic,
    *,
    is_parent: bool,
) -> LayerProfile | None:
    """Make a layer's line; None for a container that does nothing by itself."""
    cost = add_costs(count_node(node) for node in calls.nodes)
    is_idle = not (cost.macs or cost.elementwise or cost.uncounted or weights)
    if is_idle and (is_parent or not calls.path):
        return None
    first = calls.outputs[0] if calls.outputs else None
    size = 0 if is_parent else calls.calls * sum(bytes_of(tensor) for tensor in calls.outputs)
    field = fields.get(first.name) if first is not None else None
    return LayerProfile(
        calls.path,
        type(calls.layer).__name__,
        "",
        calls.calls,
        tuple(first.shape.as_list()[1:]) if first is not None and first.shape.rank else None,
        *_count_weights(weights),
        size,
        cost,
        field.extent if field is not None else None,
        *traffic.measure(calls.nodes),
    )


def _assign_weights(trace: Trace) -> dict[int, list[Any]]:
    """Give each weight to one line: that of the layer whose own it is, the first called."""
    taken: set[int] = set()
    assigned: dict[int, list[Any]] = {}
    for calls in trace.layers:
        inner = {
            id(weight)
            for part in list_parts(calls.layer)[1:]
            if id(part) not in trace.looped
            for weight in getattr(part, "weights", [])
        }
        own = [each for each in getattr(calls.layer, "weights", []) if id(each) not in inner]
        assigned[id(calls)] = [each for each in own if id(each) not in taken]
        taken.update(id(each) for each in own)
    return assigned


def _list_uncalled(model: Any, weights: Mapping[int, list[Any]]) -> list[LayerProfile]:
    """Make a line for each layer that holds weights but takes no part in inference."""
    taken = {id(weight) for held in weights.values() for weight in held}
    left = {id(weight): weight for weight in model.weights if id(weight) not in taken}
    lines = []
    for part in reversed(list_parts(model)[1:]):
        mine = [left.pop(id(each)) for each in getattr(part, "weights", []) if id(each) in left]
        if mine:
            kind = type(part).__name__
            lines.append(LayerProfile((part.name,), kind, "", 0, None, *_count_weights(mine)))
    return lines[::-1]


def _count_weights(weights: Sequence[Any]) -> tuple[int, int, int]:
    """Return the numbers in some weights, how many are trainable, and their bytes."""
    sizes = [math.prod(weight.shape) for weight in weights]
    total = sum(sizes)
    trainable = sum(n for n, each in zip(sizes, weights, strict=True) if each.trainable)
    size = sum(n * tf.as_dtype(each.dtype).size for n, each in zip(sizes, weights, strict=True))
    return total, trainable, size


def _precision(part: Any) -> str:
    return str(getattr(part, "compute_dtype", "") or "")


def _add_blocks(layers: Sequence[LayerProfile]) -> tuple[LayerProfile, ...]:
    """Name the block of each layer, container by container."""
    containers: dict[tuple[str, ...], list[int]] = {}
    for place, layer in enumerate(layers):
        containers.setdefault(layer.path[:-1], []).append(place)
    named = list(layers)
    for places in containers.values():
        blocks = name_blocks(
            [layers[place].path[-1] if layers[place].path else "" for place in places]
        )
        for place, block in zip(places, blocks, strict=True):
            named[place] = replace(layers[place], block=block)
    return tuple(named)
