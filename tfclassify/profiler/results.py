"""What a profile holds.

Owns: the plain records of one profiled network and their form as JSON. Does not own:
how they come about (``keras_profile``, ``saved_model_profile``), tables and pages
(``report``). Imports no TensorFlow.

Counts are for one image (one element of the batch). Every total is counted on the whole
network, and equals the sum over the layers exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tfclassify.profiler.cost import Cost, add_costs
from tfclassify.profiler.spans import Extent


@dataclass(frozen=True)
class LayerProfile:
    """One layer, or several that were folded into one.

    Attributes:
        path: Names of the containers that it stands in, then its own.
        kind: Its class, or the type of an operation.
        block: The block of the network that it belongs to; may be empty.
        calls: How often one inference calls it.
        output_shape: Of its last call's first output, batch left out; None if unknown.
        params: Numbers that it holds, those of a layer before it that it shares left out.
        trainable_params: Those of them that training changes.
        weight_bytes: Bytes of its parameters.
        activation_bytes: Bytes of its outputs for one image, all calls together.
        cost: Its arithmetic for one image, all calls together.
        receptive_field: How much of the input one of its outputs depends on; None where
            it is not known.
        latency_ms: Median time at the profile's batch size, or None if not measured.
    """

    path: tuple[str, ...]
    kind: str
    block: str = ""
    calls: int = 1
    output_shape: tuple[int, ...] | None = None
    params: int = 0
    trainable_params: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0
    cost: Cost = field(default_factory=Cost)
    receptive_field: Extent | None = None
    latency_ms: float | None = None

    @property
    def name(self) -> str:
        """Return the path as one text."""
        return "/".join(self.path) or "(model)"

    @property
    def macs(self) -> int:
        """Return its multiply-accumulates."""
        return self.cost.macs

    @property
    def flops(self) -> int:
        """Return its floating-point operations."""
        return self.cost.flops

    def to_dict(self, total_macs: int) -> dict[str, Any]:
        """Return it as JSON can hold it; ``total_macs`` is what its share is of."""
        return {
            "name": self.name,
            "kind": self.kind,
            "block": self.block,
            "calls": self.calls,
            "output_shape": list(self.output_shape) if self.output_shape is not None else None,
            "params": self.params,
            "trainable_params": self.trainable_params,
            "macs": self.macs,
            "flops": self.flops,
            "elementwise": dict(sorted(self.cost.elementwise.items())),
            "uncounted": dict(sorted(self.cost.uncounted.items())),
            "weight_bytes": self.weight_bytes,
            "activation_bytes": self.activation_bytes,
            "receptive_field": self.receptive_field and self.receptive_field.to_dict(),
            "share_of_macs": self.macs / total_macs if total_macs else 0.0,
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True)
class Timing:
    """How long one inference of a batch takes.

    Attributes:
        batch_size: Images a run.
        runs: Timed runs, after the warm-up.
        median_ms: Median of the runs.
        p5_ms: Time that 5 % of the runs were under.
        p95_ms: Time that 95 % of the runs were under.
    """

    batch_size: int
    runs: int
    median_ms: float
    p5_ms: float
    p95_ms: float

    @property
    def images_per_second(self) -> float:
        """Return how many images a second the median comes to."""
        return 1000 * self.batch_size / self.median_ms

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {**vars(self), "images_per_second": self.images_per_second}


@dataclass(frozen=True)
class Latency:
    """What was measured, and on what.

    Attributes:
        device: ``cpu`` or ``gpu:0``, as TensorFlow knows it.
        device_name: The processor's own name.
        threads: Threads within an operation; 0 lets TensorFlow take all cores.
        cores: Cores that the process may use.
        precision: Types that the layers compute in.
        single: At batch 1.
        batch: At the batch size asked for.
        parts_ms: Sum of the layers' medians at that batch size, or None.
        dispatch_ms: What starting an empty function took; taken off every layer.
        peak_gflops: GFLOP/s of a large matrix product on the same device.
        achieved_gflops: GFLOP/s of the network at that batch size, from its MACs.
    """

    device: str
    device_name: str
    threads: int
    cores: int
    precision: str
    single: Timing
    batch: Timing
    parts_ms: float | None
    dispatch_ms: float
    peak_gflops: float
    achieved_gflops: float

    @property
    def parts_share(self) -> float | None:
        """Return the sum of the parts over the whole."""
        return None if self.parts_ms is None else self.parts_ms / self.batch.median_ms

    @property
    def peak_share(self) -> float:
        """Return the GFLOP/s reached over those of a large matrix product."""
        return self.achieved_gflops / self.peak_gflops

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        timings = {"single": self.single.to_dict(), "batch": self.batch.to_dict()}
        derived = {"parts_share": self.parts_share, "peak_share": self.peak_share}
        return {**vars(self), **timings, **derived}


@dataclass(frozen=True)
class Profile:
    """One profiled network.

    Attributes:
        model: What it is called.
        target: What the user named.
        input_shapes: Shape of each input, batch left out.
        layers: One entry a layer, in the order of the first calls.
        cost: Arithmetic of the whole network for one image.
        params: Numbers in the network.
        trainable_params: Those of them that training changes.
        weight_bytes: Bytes of all parameters.
        peak_activation_bytes: Estimate of the most that is held at once for one image.
        receptive_field: Of the last layer whose outputs still form a map, by layer name.
        precision: Types that the layers compute in.
        latency: What was measured, or None.
        remarks: What a reader should know, in plain text.
    """

    model: str
    target: str
    input_shapes: tuple[tuple[int, ...], ...]
    layers: tuple[LayerProfile, ...]
    cost: Cost
    params: int
    trainable_params: int
    weight_bytes: int
    peak_activation_bytes: int
    receptive_field: Extent | None = None
    precision: str = "float32"
    latency: Latency | None = None
    remarks: tuple[str, ...] = ()

    @property
    def macs(self) -> int:
        """Return the multiply-accumulates of one image."""
        return self.cost.macs

    @property
    def flops(self) -> int:
        """Return the floating-point operations of one image."""
        return self.cost.flops

    @property
    def activation_bytes(self) -> int:
        """Return the bytes of all layers' outputs for one image."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def dearest(self) -> LayerProfile | None:
        """Return the layer with the most MACs."""
        return max(self.layers, key=lambda layer: (layer.macs, layer.flops), default=None)

    def to_dict(self, layers: Sequence[LayerProfile] | None = None) -> dict[str, Any]:
        """Return it as JSON can hold it.

        Args:
            layers: The layers to list, where not all of them as they are.
        """
        shown = self.layers if layers is None else layers
        return {
            "model": self.model,
            "target": self.target,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "params": self.params,
            "trainable_params": self.trainable_params,
            "macs": self.macs,
            "flops": self.flops,
            "elementwise": dict(sorted(self.cost.elementwise.items())),
            "uncounted": dict(sorted(self.cost.uncounted.items())),
            "weight_bytes": self.weight_bytes,
            "activation_bytes": self.activation_bytes,
            "peak_activation_bytes": self.peak_activation_bytes,
            "receptive_field": self.receptive_field and self.receptive_field.to_dict(),
            "precision": self.precision,
            "latency": self.latency and self.latency.to_dict(),
            "remarks": list(self.remarks),
            "layers": [layer.to_dict(self.macs) for layer in shown],
        }


def fold_layers(layers: Sequence[LayerProfile], depth: int) -> tuple[LayerProfile, ...]:
    """Join the layers whose paths, blocks included, agree in the first ``depth`` names.

    A layer's block counts as one more name before its own, so that depth 1 shows the
    blocks of a plain network and the parts of a nested one.
    """
    groups: dict[tuple[str, ...], list[LayerProfile]] = {}
    for layer in layers:
        block = (layer.block,) if layer.block else ()
        full = (*layer.path[:-1], *block, *layer.path[-1:])
        groups.setdefault(full[:depth], []).append(layer)
    return tuple(_join(path, members) for path, members in groups.items())


def _join(path: tuple[str, ...], members: list[LayerProfile]) -> LayerProfile:
    last = members[-1]
    if len(members) == 1 and path[-1:] == last.path[-1:]:
        return last
    times = [layer.latency_ms for layer in members if layer.latency_ms is not None]
    return LayerProfile(
        path,
        f"{len(members)} layers" if len(members) > 1 else last.kind,
        "",
        max(layer.calls for layer in members),
        last.output_shape,
        sum(layer.params for layer in members),
        sum(layer.trainable_params for layer in members),
        sum(layer.weight_bytes for layer in members),
        sum(layer.activation_bytes for layer in members),
        add_costs(layer.cost for layer in members),
        last.receptive_field,
        sum(times) if times else None,
    )
