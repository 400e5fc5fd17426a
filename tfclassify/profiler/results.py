"""What a profile holds.

Owns: the plain records of a cost and of one profiled network, their sums and their form
as JSON, and which block of a network a layer belongs to. Does not own: how they come
about (``keras_profile``, ``saved_models``), tables and pages. Imports no TensorFlow.

Counts are for one image (one element of the batch). Every total is counted on the whole
network, and equals the sum over the layers exactly. ``macs`` counts multiply-accumulates;
``flops`` is twice that plus the element-wise operations, each under its own name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tfclassify.backbones.catalog import BACKBONES, BlockRule
from tfclassify.profiler.fields import Extent
from tfclassify.profiler.roofline import Rated, Roof, join_rated


@dataclass(frozen=True)
class Cost:
    """What one run of some operations costs.

    Attributes:
        macs: Multiply-accumulates of convolutions and products.
        elementwise: Other floating-point operations, by the name of what does them.
        uncounted: How many operations could not be counted, by type.
    """

    macs: int = 0
    elementwise: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)

    @property
    def flops(self) -> int:
        """Return twice the MACs plus the element-wise operations."""
        return 2 * self.macs + self.elementwise.total()

    def repeated(self, times: int) -> Cost:
        """Return what ``times`` runs cost; an uncounted operation stays one."""
        elementwise = Counter({name: times * n for name, n in self.elementwise.items()})
        return Cost(times * self.macs, elementwise, Counter(self.uncounted))


def add_costs(costs: Iterable[Cost]) -> Cost:
    """Return the sum of costs."""
    macs, elementwise, uncounted = 0, Counter[str](), Counter[str]()
    for cost in costs:
        macs += cost.macs
        elementwise.update(cost.elementwise)
        uncounted.update(cost.uncounted)
    return Cost(macs, elementwise, uncounted)


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
        moved_bytes: Bytes of the activations that it reads from others and writes for
            them, for one image; 0 if unknown.
        read_weight_bytes: Bytes of the weights that one run reads, shared ones included.
        latency_ms: Time inside of the whole at the profile's batch size, or None if not
            measured; 0 where other layers' kernels do its work.
        rated: How near that comes to what the machine reaches, or None.
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
    moved_bytes: int = 0
    read_weight_bytes: int = 0
    latency_ms: float | None = None
    rated: Rated | None = None

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
            "roofline": self.rated and self.rated.to_dict(),
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
        dispatch_ms: What starting an empty function took.
        roof: What the same device reached in the same call.
        achieved_gflops: GFLOP/s of the network at that batch size, from its MACs.
        parts_ms: Sum of the layers' times at that batch size, or None.
        calling_ms: Of the whole, what passed before the first kernel and after the last:
            handing over inputs and weights, starting, coming back; or None.
        between_ms: Of the whole, what passed between kernels; or None.
    """

    device: str
    device_name: str
    threads: int
    cores: int
    precision: str
    single: Timing
    batch: Timing
    dispatch_ms: float
    roof: Roof
    achieved_gflops: float
    parts_ms: float | None = None
    calling_ms: float | None = None
    between_ms: float | None = None

    @property
    def parts_share(self) -> float | None:
        """Return the sum of the parts over the whole."""
        return None if self.parts_ms is None else self.parts_ms / self.batch.median_ms

    @property
    def peak_share(self) -> float:
        """Return the GFLOP/s reached over those of a large matrix product."""
        return self.achieved_gflops / self.roof.gflops

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        timings = {"single": self.single.to_dict(), "batch": self.batch.to_dict()}
        roof = {"peak_gflops": self.roof.gflops, "peak_gbytes": self.roof.gbytes}
        derived = {"parts_share": self.parts_share, "peak_share": self.peak_share}
        own = {name: value for name, value in vars(self).items() if name != "roof"}
        return {**own, **timings, **roof, **derived}


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
    def most_expensive(self) -> LayerProfile | None:
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
        sum(layer.moved_bytes for layer in members),
        sum(layer.read_weight_bytes for layer in members),
        sum(times) if times else None,
        join_rated([layer.rated for layer in members if layer.rated is not None]),
    )


def name_blocks(names: Sequence[str]) -> list[str]:
    """Return the block of each layer of one container, given in order.

    The catalog's rule that splits the names into the most blocks is taken; a name that
    it does not match stands with the layer before. Layers before the first block have
    the block ``stem`` where there is any block at all, else the empty name.
    """
    rules = dict.fromkeys(spec.blocks for spec in BACKBONES.values())
    splits = [_split(names, rule) for rule in rules]
    best = max(splits, key=lambda blocks: len(set(blocks)))
    return best if len(set(best)) > 2 else [""] * len(names)


def _split(names: Sequence[str], rule: BlockRule) -> list[str]:
    found = [re.search(rule.pattern, name) for name in names]
    marks = [match.group(1) if match else None for match in found]
    if not any(marks):
        return [""] * len(names)
    if rule.marks_end:
        return _name_by_ends(marks)
    blocks, current = [], "stem"
    last = max(place for place, mark in enumerate(marks) if mark)
    for place, mark in enumerate(marks):
        current = mark or (current if place < last else "top")
        blocks.append(current)
    return blocks


def _name_by_ends(marks: Sequence[str | None]) -> list[str]:
    """Name blocks of which only the last layer is marked."""
    blocks: list[str] = []
    current = "top"
    for mark in reversed(marks):
        current = mark or current
        blocks.append(current)
    return blocks[::-1]
