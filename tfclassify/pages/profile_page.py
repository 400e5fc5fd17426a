"""Profiles: what a network and each of its layers cost, as a page, as text and as CSV.

Owns: the records, filled by the workflow, and their tables. Does not own: measuring
(``profiler``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tfclassify.files import guard_formula
from tfclassify.pages.charts import draw_bars
from tfclassify.pages.drawing import Drawing, Figures, keep_drawn
from tfclassify.pages.rendering import Fact, render_page
from tfclassify.pages.tables import Table
from tfclassify.pages.wording import (
    ABSENT,
    count_of,
    format_bytes,
    format_count,
    format_large,
    format_ms,
    format_share,
)

#: Bars of one figure.
MOST_BARS = 20


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
        gflops_per_s: FLOPs over the time, or None where nothing was timed.
        gbytes_per_s: Bytes read and written over the time, or None.
        bound: Whether computing (``compute``) or moving (``memory``) takes longer on this
            machine; empty where nothing was timed.
        share_of_roof: Least time that this machine would need over the time, or None.
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
    gflops_per_s: float | None = None
    gbytes_per_s: float | None = None
    bound: str = ""
    share_of_roof: float | None = None


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
        most_expensive: Name of the layer with the most MACs.
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
    most_expensive: str
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


def tabulate_layers(network: NetworkReport, layers: Sequence[LayerRow]) -> Table:
    """Tell what each layer costs, in the order given."""
    is_timed = any(layer.latency_ms is not None for layer in network.layers)
    head = ["Layer", "Kind", "Output", "Parameters", "MACs", "Share", "FLOPs", "Weights"]
    head += ["Activation", "Field", *(["ms"] if is_timed else [])]
    rows = [_layer_cells(layer, network, is_timed) for layer in layers]
    return Table("Cost of each layer", head, rows, len(head) - 3)


def _layer_cells(layer: LayerRow, network: NetworkReport, is_timed: bool) -> list[str]:
    cells = [
        layer.name,
        layer.kind,
        layer.output_shape,
        format_count(layer.params),
        format_large(layer.macs),
        format_share(layer.macs, network.macs),
        format_large(layer.flops),
        format_bytes(layer.weight_bytes),
        format_bytes(layer.activation_bytes),
        layer.receptive_field or ABSENT,
    ]
    return cells + ([format_ms(layer.latency_ms)] if is_timed else [])


def tabulate_roofline(layers: Iterable[LayerRow]) -> Table:
    """Tell how near layers come to what the machine reaches; those not timed are left out."""
    rows = [
        [
            layer.name,
            layer.kind,
            layer.bound,
            format_ms(layer.latency_ms),
            f"{layer.gflops_per_s:.1f}",
            f"{layer.gbytes_per_s:.1f}",
            format_share(layer.share_of_roof, 1),
        ]
        for layer in layers
        if layer.gflops_per_s is not None
        and layer.gbytes_per_s is not None
        and layer.share_of_roof is not None
    ]
    head = ["Layer", "Kind", "Bound by", "ms", "GFLOP/s", "GB/s", "Of the roof"]
    return Table("How near the machine's limits each comes", head, rows, 4)


def list_slowest(layers: Iterable[LayerRow]) -> list[LayerRow]:
    """Return the layers that take the most time, the slowest first."""
    return sorted(layers, key=SORTS["latency"], reverse=True)[:MOST_BARS]


def list_totals(network: NetworkReport) -> list[Fact]:
    """Return the totals of a network."""
    frozen = network.params - network.trainable_params
    named = sorted(network.elementwise.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {format_large(number)}" for name, number in named)
    added = format_large(sum(network.elementwise.values()))
    reach = f"{network.receptive_field} (size/stride), of the last layer that has one"
    facts = {
        "input": network.input_shape,
        "parameters": f"{format_count(network.params)} ({format_count(frozen)} not trainable)",
        "MACs": f"{format_large(network.macs)} ({format_count(network.macs)})",
        "FLOPs": f"{format_large(network.flops)} = 2 x MACs + {added} element-wise",
        "element-wise": listed or "none",
        "weights": f"{format_bytes(network.weight_bytes)}, computed in {network.precision}",
        "activations": f"{format_bytes(network.peak_activation_bytes)} at the peak (estimate), "
        f"{format_bytes(network.activation_bytes)} in all, for one image",
        "receptive field": reach if network.receptive_field else "not known",
        "not counted": say_uncounted(network),
    }
    return [Fact(name, value) for name, value in facts.items()]


def say_uncounted(network: NetworkReport) -> str:
    """Write which operations were not counted, and how many."""
    if not network.uncounted:
        return "nothing: every operation was counted"
    return ", ".join(f"{number} x {name}" for name, number in sorted(network.uncounted.items()))


def list_times(network: NetworkReport) -> list[Fact]:
    """Return what was measured."""
    times = [
        Fact(
            f"batch {row.batch_size}",
            f"{format_ms(row.median_ms)} ms (p5 {format_ms(row.p5_ms)}, p95 "
            f"{format_ms(row.p95_ms)}, {row.runs} runs), {row.images_per_second:.1f} images/s",
        )
        for row in network.latency
    ]
    return times + [Fact(name, value) for name, value in network.latency_facts]


def render_profile(network: NetworkReport) -> str:
    """Write a network's layers, totals and times as text for a terminal."""
    facts = list_totals(network) + list_times(network)
    width = max(len(fact.name) for fact in facts)
    lines = [f"{fact.name:<{width}}  {fact.value}" for fact in facts]
    lines += [f"note: {remark}" for remark in network.remarks]
    shown = count_of(network.layer_count, "layer")
    if len(network.layers) < network.layer_count:
        shown = f"{len(network.layers)} of {shown} shown"
    table = tabulate_layers(network, network.layers).to_text(56)
    return "\n".join([network.model, "", table, shown, "", *lines])


def tabulate_networks(networks: Sequence[NetworkReport]) -> Table:
    """Tell what each network costs, one a row."""
    rows = [[each.model, *_compare_cells(each)] for each in networks]
    head = ["Model", "Most expensive layer", "Input", "Parameters", "MACs", "FLOPs", "Weights"]
    return Table("Networks side by side", [*head, "Peak activation", "ms", "Images/s"], rows, 7)


def _compare_cells(network: NetworkReport) -> list[str]:
    timed = network.latency[-1] if network.latency else None
    return [
        network.most_expensive,
        network.input_shape,
        format_count(network.params),
        format_large(network.macs),
        format_large(network.flops),
        format_bytes(network.weight_bytes),
        format_bytes(network.peak_activation_bytes),
        format_ms(timed.median_ms) if timed else ABSENT,
        f"{timed.images_per_second:.1f}" if timed else ABSENT,
    ]


def render_networks(networks: Sequence[NetworkReport]) -> str:
    """Write one line a network for a terminal, to compare them."""
    lines = [tabulate_networks(networks).to_text()]
    for network in networks:
        if network.uncounted:
            lines.append(f"{network.model}: not counted: {say_uncounted(network)}")
    lines += dict.fromkeys(f"{each.model}: {text}" for each in networks for text in each.remarks)
    facts = next((network.latency_facts for network in networks if network.latency_facts), ())
    lines += [f"{name}: {value}" for name, value in facts if name in ("device", "precision")]
    return "\n".join(lines)


def write_layers_csv(network: NetworkReport) -> str:
    """Write one line a layer as CSV, with plain numbers."""
    names = [name for name in LayerRow.__dataclass_fields__ if name != "uncounted"]
    rows = [[getattr(layer, name) for name in (*names, "uncounted")] for layer in network.layers]
    return _to_csv([*names, "uncounted"], rows)


def write_networks_csv(networks: Sequence[NetworkReport]) -> str:
    """Write one line a network as CSV, with plain numbers."""
    names = [
        *("model", "target", "input_shape", "params", "trainable_params", "macs", "flops"),
        *("weight_bytes", "activation_bytes", "peak_activation_bytes", "most_expensive"),
    ]
    rows: list[list[object]] = []
    for network in networks:
        timed = network.latency[-1] if network.latency else None
        times = [timed.batch_size, timed.median_ms, timed.images_per_second] if timed else [""] * 3
        uncounted = sum(network.uncounted.values())
        rows.append([*(getattr(network, name) for name in names), *times, uncounted])
    return _to_csv([*names, "batch_size", "latency_ms", "images_per_second", "uncounted"], rows)


def _to_csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(
        [guard_formula(cell) if isinstance(cell, str) else cell for cell in row] for row in rows
    )
    return buffer.getvalue()


def list_blocks(network: NetworkReport) -> list[tuple[LayerRow, list[LayerRow]]]:
    """Return the blocks of a network in their order, each with its sums and its layers."""
    groups: dict[str, list[LayerRow]] = {}
    for layer in network.layers:
        groups.setdefault(layer.block, []).append(layer)
    return [(_add_up(name or "(no block)", layers), layers) for name, layers in groups.items()]


def _add_up(name: str, layers: Sequence[LayerRow]) -> LayerRow:
    times = [layer.latency_ms for layer in layers if layer.latency_ms is not None]
    sums = {
        key: sum(getattr(layer, key) for layer in layers)
        for key in ("params", "macs", "flops", "weight_bytes", "activation_bytes", "uncounted")
    }
    spent = {bound: _time_bound_by(bound, layers) for bound in ("compute", "memory")}
    return replace(
        layers[-1],
        name=name,
        kind=count_of(len(layers), "layer"),
        latency_ms=sum(times) if times else None,
        bound=max(spent, key=lambda bound: spent[bound]) if any(spent.values()) else "",
        gflops_per_s=_weigh_by_time(layers, "gflops_per_s"),
        gbytes_per_s=_weigh_by_time(layers, "gbytes_per_s"),
        share_of_roof=_weigh_by_time(layers, "share_of_roof"),
        **sums,
    )


def _weigh_by_time(layers: Sequence[LayerRow], key: str) -> float | None:
    """Return the rate of several layers together, of those that have one."""
    rated = [(getattr(layer, key), layer.latency_ms or 0.0) for layer in layers]
    rated = [(rate, time) for rate, time in rated if rate is not None]
    whole = sum(time for _, time in rated)
    return sum(rate * time for rate, time in rated) / whole if whole else None


def _time_bound_by(bound: str, layers: Sequence[LayerRow]) -> float:
    return sum(layer.latency_ms or 0.0 for layer in layers if layer.bound == bound)


def draw_most_expensive(
    layers: Sequence[LayerRow], by: str, say: Callable[[float], str], title: str
) -> Drawing | None:
    """Draw the layers with the most of something, the first on top; None if none has any.

    Args:
        layers: Any number of layers, in any order.
        by: A key of ``SORTS``.
        say: Writes a value behind its bar.
        title: What it is, with its unit.
    """
    chosen = sorted(layers, key=SORTS[by], reverse=True)[:MOST_BARS]
    chosen = [layer for layer in chosen if SORTS[by](layer) > 0]
    if not chosen:
        return None
    alt = (
        f"Bars of the {count_of(len(chosen), 'layer')} with the most {title}; "
        f"{chosen[0].name} leads."
    )
    names = [layer.name.rpartition("/")[2] for layer in chosen]
    return draw_bars(names, {title: [SORTS[by](layer) for layer in chosen]}, title, alt, say)


def render_profile_page(networks: Sequence[NetworkReport], *, created: str) -> str:
    """Return the page of one profile, or of several to compare.

    Args:
        networks: With all of their layers, in the network's order.
        created: When it was made.
    """
    figures: Figures = {}
    for number, network in enumerate(networks):
        for by, say, title in (("macs", format_large, "MACs"), ("latency", format_ms, "ms")):
            drawing = draw_most_expensive(network.layers, by, say, title)
            figures |= keep_drawn(**{f"{by}-{number}": drawing})
    words = (
        *(tabulate_networks, tabulate_layers, tabulate_roofline),
        *(list_blocks, list_slowest, list_totals, list_times),
    )
    return render_page(
        "profile.html",
        networks=networks,
        created=created,
        figures=figures,
        most=MOST_BARS,
        **{each.__name__: each for each in words},
    )
