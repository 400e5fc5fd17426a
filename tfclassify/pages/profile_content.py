"""What the tables and the page of a profile are made from.

Owns: plain records, filled by the workflow. Does not own: how they look
(``profile_tables``, ``profile_page``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LayerRow:
    """One layer, or several folded into one.

    Attributes:
        name: Its path in the network.
        kind: Its class.
        block: The part of the network that it stands in; may be empty.
        output_shape: Such as ``112x112x64``; empty if unknown.
        params: Numbers that it holds.
        macs: Multiply-accumulates for one image.
        flops: Twice the MACs and the element-wise operations.
        weight_bytes: Bytes of its parameters.
        activation_bytes: Bytes of its outputs for one image.
        receptive_field: Such as ``483/32``; empty if unknown.
        latency_ms: Median time, or None if not measured.
        uncounted: Operations that were not counted.
    """

    name: str
    kind: str
    block: str
    output_shape: str
    params: int
    macs: int
    flops: int
    weight_bytes: int
    activation_bytes: int
    receptive_field: str
    latency_ms: float | None
    uncounted: int = 0


@dataclass(frozen=True)
class LatencyRow:
    """Times of one network.

    Attributes:
        batch_size: Images a run.
        runs: Timed runs.
        median_ms: Median of the runs.
        p5_ms: Time that 5 % of the runs were under.
        p95_ms: Time that 95 % of the runs were under.
        images_per_second: Images a second at the median.
    """

    batch_size: int
    runs: int
    median_ms: float
    p5_ms: float
    p95_ms: float
    images_per_second: float


@dataclass(frozen=True)
class NetworkReport:
    """One profiled network.

    Attributes:
        model: What it is called.
        target: What the user named.
        input_shape: Such as ``224x224x3``.
        params: Numbers in the network.
        trainable_params: Those that training changes.
        macs: Multiply-accumulates for one image.
        flops: Twice the MACs and the element-wise operations.
        elementwise: The element-wise operations, by name.
        uncounted: Operations that were not counted, by type.
        weight_bytes: Bytes of the parameters.
        activation_bytes: Bytes of all layers' outputs for one image.
        peak_activation_bytes: Estimate of the most held at once for one image.
        receptive_field: Such as ``483/32``; empty if unknown.
        precision: Types that the layers compute in.
        layers: Those to be shown, in the order to be shown.
        layer_count: How many there are in all.
        dearest: Name of the layer with the most MACs.
        latency: Times at batch 1 and at the batch size asked for; empty if not measured.
        latency_facts: Device, threads, shares: name and value.
        remarks: What a reader should know.
    """

    model: str
    target: str
    input_shape: str
    params: int
    trainable_params: int
    macs: int
    flops: int
    elementwise: Mapping[str, int]
    uncounted: Mapping[str, int]
    weight_bytes: int
    activation_bytes: int
    peak_activation_bytes: int
    receptive_field: str
    precision: str
    layers: tuple[LayerRow, ...]
    layer_count: int
    dearest: str
    latency: tuple[LatencyRow, ...] = ()
    latency_facts: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = field(default=())


#: What layers can be sorted by: word on the command line -> value of a layer.
SORTS: dict[str, Callable[[LayerRow], float]] = {
    "macs": lambda layer: layer.macs,
    "flops": lambda layer: layer.flops,
    "params": lambda layer: layer.params,
    "latency": lambda layer: -1.0 if layer.latency_ms is None else layer.latency_ms,
    "activation": lambda layer: layer.activation_bytes,
}


def sort_layers(layers: Sequence[LayerRow], by: str | None) -> tuple[LayerRow, ...]:
    """Return the layers, those with the most first; in the network's order for None."""
    if by is None:
        return tuple(layers)
    return tuple(sorted(layers, key=SORTS[by], reverse=True))
