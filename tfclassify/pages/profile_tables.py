"""Profiles as plain text and as CSV.

Owns: the columns of the layer table and of the comparison of networks. Does not own:
alignment (``tables``), the page (``profile_page``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tfclassify.files import guard_formula
from tfclassify.pages.profile_content import LayerRow, NetworkReport
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import ABSENT, count_of, format_bytes, format_count


def format_large(number: float) -> str:
    """Write a count of operations with four digits, such as ``3.858 G`` or ``300.8 M``."""
    for factor, sign in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:#.4g}{sign}"
    return f"{number:g}"


def format_ms(time: float | None) -> str:
    """Write a time in milliseconds, or a dash."""
    return ABSENT if time is None else f"{time:.3f}" if time < 10 else f"{time:.1f}"


def format_share(part: float, whole: float) -> str:
    """Write a share in per cent, or a dash where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else ABSENT


def tabulate_layers(network: NetworkReport) -> str:
    """Write one line a layer, and the totals."""
    is_timed = any(layer.latency_ms is not None for layer in network.layers)
    columns = [Column("layer", longest=56), Column("kind", longest=24), Column("output")]
    titles = ["params", "MACs", "share", "FLOPs", "weights", "activation", "field"]
    columns += [Column(title, "right") for title in titles]
    columns += [Column("ms", "right")] if is_timed else []
    rows = [_layer_cells(layer, network, is_timed) for layer in network.layers]
    if len(network.layers) < network.layer_count:
        shown = f"{len(network.layers)} of {count_of(network.layer_count, 'layer')} shown"
    else:
        shown = count_of(network.layer_count, "layer")
    return f"{render_table(columns, rows)}\n{shown}"


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


def list_totals(network: NetworkReport) -> list[tuple[str, str]]:
    """Return the totals of a network as names and values."""
    frozen = network.params - network.trainable_params
    named = sorted(network.elementwise.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {format_large(number)}" for name, number in named)
    added = format_large(sum(network.elementwise.values()))
    field = f"{network.receptive_field} (size/stride), of the last layer that has one"
    return [
        ("input", network.input_shape),
        ("parameters", f"{format_count(network.params)} ({format_count(frozen)} not trainable)"),
        ("MACs", f"{format_large(network.macs)} ({format_count(network.macs)})"),
        ("FLOPs", f"{format_large(network.flops)} = 2 x MACs + {added} element-wise"),
        ("element-wise", listed or "none"),
        ("weights", f"{format_bytes(network.weight_bytes)}, computed in {network.precision}"),
        (
            "activations",
            f"{format_bytes(network.peak_activation_bytes)} at the peak (estimate), "
            f"{format_bytes(network.activation_bytes)} in all, for one image",
        ),
        ("receptive field", field if network.receptive_field else "not known"),
        ("not counted", say_uncounted(network)),
    ]


def say_uncounted(network: NetworkReport) -> str:
    """Write which operations were not counted, and how many."""
    if not network.uncounted:
        return "nothing: every operation was counted"
    return ", ".join(f"{number} x {name}" for name, number in sorted(network.uncounted.items()))


def list_times(network: NetworkReport) -> list[tuple[str, str]]:
    """Return what was measured as names and values."""
    times = [
        (
            f"batch {row.batch_size}",
            f"{format_ms(row.median_ms)} ms (p5 {format_ms(row.p5_ms)}, p95 "
            f"{format_ms(row.p95_ms)}, {row.runs} runs), {row.images_per_second:.1f} images/s",
        )
        for row in network.latency
    ]
    return times + list(network.latency_facts)


def render_profile(network: NetworkReport) -> str:
    """Write a network's layers, totals and times as text for a terminal."""
    facts = list_totals(network) + list_times(network)
    width = max(len(name) for name, _ in facts)
    lines = [f"{name:<{width}}  {value}" for name, value in facts]
    lines += [f"note: {remark}" for remark in network.remarks]
    return "\n".join([network.model, "", tabulate_layers(network), "", *lines])


#: Columns of the comparison of networks.
COMPARED = (
    "model", "input", "params", "MACs", "FLOPs", "weights MB", "peak activation MB", "ms",
    "images/s", "most expensive layer",
)  # fmt: skip


def tabulate_networks(networks: Sequence[NetworkReport]) -> str:
    """Write one line a network, to compare them."""
    words = {"model", "input", "most expensive layer"}
    columns = [Column(name, "left" if name in words else "right") for name in COMPARED]
    table = render_table(columns, [compare_cells(network) for network in networks])
    lines = [table]
    for network in networks:
        if network.uncounted:
            lines.append(f"{network.model}: not counted: {say_uncounted(network)}")
    remarks = dict.fromkeys(f"{each.model}: {text}" for each in networks for text in each.remarks)
    lines += remarks
    facts = next((network.latency_facts for network in networks if network.latency_facts), ())
    lines += [f"{name}: {value}" for name, value in facts if name in ("device", "precision")]
    return "\n".join(lines)


def compare_cells(network: NetworkReport) -> list[str]:
    """Return a network's cells of the comparison, one for each of ``COMPARED``."""
    timed = network.latency[-1] if network.latency else None
    return [
        network.model,
        network.input_shape,
        format_count(network.params),
        format_large(network.macs),
        format_large(network.flops),
        f"{network.weight_bytes / 1e6:.1f}",
        f"{network.peak_activation_bytes / 1e6:.1f}",
        format_ms(timed.median_ms) if timed else ABSENT,
        f"{timed.images_per_second:.1f}" if timed else ABSENT,
        network.dearest,
    ]


def write_layers_csv(network: NetworkReport) -> str:
    """Write one line a layer as CSV, with plain numbers."""
    names = [name for name in LayerRow.__dataclass_fields__ if name != "uncounted"]
    rows = [[getattr(layer, name) for name in (*names, "uncounted")] for layer in network.layers]
    return _to_csv([*names, "uncounted"], rows)


def write_networks_csv(networks: Sequence[NetworkReport]) -> str:
    """Write one line a network as CSV, with plain numbers."""
    names = [
        *("model", "target", "input_shape", "params", "trainable_params", "macs", "flops"),
        *("weight_bytes", "activation_bytes", "peak_activation_bytes", "dearest"),
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
