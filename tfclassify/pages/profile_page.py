"""The page of a profile: totals, the most expensive layers, and every layer by block.

Owns: the parts of the page, and sorting without a script: each layer carries its place in
every order, and the button that is pressed decides which one the style sheet uses. Does
not own: the frame (``page``), the words (``profile_tables``).
"""

from __future__ import annotations

from collections.abc import Sequence

from tfclassify.pages.content import Fact
from tfclassify.pages.markup import Markup, embed_drawing, join, make_table, tag
from tfclassify.pages.page import render_plain_page
from tfclassify.pages.profile_content import SORTS, LayerRow, NetworkReport
from tfclassify.pages.profile_figures import MOST_BARS, draw_dearest
from tfclassify.pages.profile_tables import (
    COMPARED,
    compare_cells,
    format_large,
    format_ms,
    format_share,
    list_times,
    list_totals,
)
from tfclassify.pages.sections import Section, list_facts
from tfclassify.pages.wording import ABSENT, count_of, format_bytes, format_count

_ORDERS = {"place": "network order"} | {
    "macs": "MACs",
    "flops": "FLOPs",
    "params": "parameters",
    "activation": "activation",
    "latency": "time",
}
_TITLES = (
    *("layer", "kind", "output", "params", "MACs", "share", "FLOPs", "activation", "field"),
    "ms",
)
_GRID = "grid-template-columns: minmax(15em, 3fr) 8.5em 7.5em repeat(7, minmax(4.8em, 1fr))"

_STYLE = (
    """
.costs { font-size: 13.5px; min-width: 980px; }
.costs .line { display: grid; GRID; gap: 0 12px; padding: 5px 0;
  border-bottom: 1px solid var(--line); align-items: baseline; }
.costs .line > * { overflow-wrap: anywhere; }
.costs .line > :nth-child(n+4) { text-align: right; white-space: nowrap; }
.costs .head { color: var(--muted); border-bottom-color: var(--faint); }
.costs .lines, .costs .blocks { display: flex; flex-direction: column; }
.costs details { margin: 0; }
.costs summary { list-style: none; color: inherit; }
.costs summary .line > :first-child::before { content: "▸ "; color: var(--accent); }
.costs details[open] > summary .line > :first-child::before { content: "▾ "; }
.costs details .lines { padding-left: 0; }
.costs summary .line { background: var(--panel); font-weight: 600; }
.sorting { display: flex; flex-wrap: wrap; gap: 4px 14px; margin: 8px 0; }
.sorting label { cursor: pointer; }
""".replace("GRID", _GRID)
    + "\n".join(
        f".costs:has(.sort-{name}:checked) .lines > *, "
        f".costs:has(.sort-{name}:checked) .blocks > * {{ order: var(--{name}); }}"
        for name in _ORDERS
    )
)


def render_profile_page(networks: Sequence[NetworkReport], *, created: str, version: str) -> str:
    """Return the page of one profile, or of several to compare.

    Args:
        networks: With all of their layers, in the network's order.
        created: When it was made.
        version: Of this package.
    """
    sections = []
    if len(networks) > 1:
        sections.append(_make_comparison(networks))
    for number, network in enumerate(networks):
        ending = f"-{number}" if len(networks) > 1 else ""
        lead = f"{network.model}, {network.input_shape}: " if ending else ""
        sections += [
            Section(f"totals{ending}", f"{lead}Totals", _make_totals(network)),
            Section(f"dearest{ending}", f"{lead}Most expensive", _make_dearest(network, ending)),
            Section(f"layers{ending}", f"{lead}All layers", _make_layers(network, ending)),
        ]
    title = networks[0].model if len(networks) == 1 else count_of(len(networks), "network")
    return render_plain_page(
        f"Cost of {title}",
        created,
        "What each layer costs for one image; times are for the batch named.",
        sections,
        version,
        style=_STYLE,
    )


def _make_comparison(networks: Sequence[NetworkReport]) -> Section:
    table = make_table(
        [COMPARED[0], *COMPARED[1:2], COMPARED[-1], *COMPARED[2:-1]],
        [[cells[0], cells[1], cells[-1], *cells[2:-1]] for cells in map(compare_cells, networks)],
        numeric=len(COMPARED) - 3,
        caption="Networks side by side",
    )
    return Section("comparison", "Comparison", table)


def _make_totals(network: NetworkReport) -> Markup:
    facts = [Fact(name, value) for name, value in list_totals(network) + list_times(network)]
    notes = [tag("p", remark, class_="caution") for remark in network.remarks]
    return join([list_facts(facts), *notes])


def _make_dearest(network: NetworkReport, ending: str) -> Markup:
    figures = [
        embed_drawing(
            draw_dearest(network.layers, SORTS["macs"], format_large, "MACs"),
            f"macs{ending}",
            f"The {MOST_BARS} layers with the most multiply-accumulates.",
        ),
        embed_drawing(
            draw_dearest(network.layers, SORTS["latency"], format_ms, "milliseconds"),
            f"latency{ending}",
            f"The {MOST_BARS} slowest layers, each run by itself on its real input.",
        ),
    ]
    return join(figures)


def _make_layers(network: NetworkReport, ending: str) -> Markup:
    names = [name for name in _ORDERS if name != "latency" or network.latency]
    buttons = [
        tag(
            "label",
            tag(
                "input",
                type="radio",
                name=f"sort{ending}",
                class_=f"sort-{name}",
                checked="" if name == "place" else None,
            ),
            _ORDERS[name],
        )
        for name in names
    ]
    head = tag("div", *(tag("span", title) for title in _TITLES), class_="line head")
    blocks = _group(network.layers)
    places = _rank([_add_up(name, members) for name, members in blocks])
    orders = _rank(network.layers)
    if len(blocks) == 1:
        body = _make_lines(network, blocks[0][1], orders)
    else:
        body = tag(
            "div",
            *(
                tag(
                    "details",
                    tag("summary", _make_line(_add_up(name, members), network)),
                    _make_lines(network, members, orders),
                    style=places[_add_up(name, members).name],
                )
                for name, members in blocks
            ),
            class_="blocks",
        )
    sorting = tag("div", "Sort by ", *buttons, class_="sorting")
    return tag("div", tag("div", sorting, head, body, class_="costs"), class_="scroll")


def _make_lines(
    network: NetworkReport, layers: Sequence[LayerRow], orders: dict[str, str]
) -> Markup:
    lines = [_make_line(layer, network, orders[layer.name]) for layer in layers]
    return tag("div", *lines, class_="lines")


def _make_line(layer: LayerRow, network: NetworkReport, style: str | None = None) -> Markup:
    cells = [
        layer.name.rpartition("/")[2] or layer.name,
        layer.kind,
        layer.output_shape,
        format_count(layer.params),
        format_large(layer.macs),
        format_share(layer.macs, network.macs),
        format_large(layer.flops),
        format_bytes(layer.activation_bytes),
        layer.receptive_field or ABSENT,
        format_ms(layer.latency_ms),
    ]
    return tag("div", *(tag("span", cell) for cell in cells), class_="line", style=style)


def _group(layers: Sequence[LayerRow]) -> list[tuple[str, list[LayerRow]]]:
    groups: dict[str, list[LayerRow]] = {}
    for layer in layers:
        groups.setdefault(layer.block, []).append(layer)
    return list(groups.items())


def _add_up(name: str, layers: Sequence[LayerRow]) -> LayerRow:
    times = [layer.latency_ms for layer in layers if layer.latency_ms is not None]
    last = layers[-1]
    return LayerRow(
        name or "(no block)",
        count_of(len(layers), "layer"),
        name,
        last.output_shape,
        sum(layer.params for layer in layers),
        sum(layer.macs for layer in layers),
        sum(layer.flops for layer in layers),
        sum(layer.weight_bytes for layer in layers),
        sum(layer.activation_bytes for layer in layers),
        last.receptive_field,
        sum(times) if times else None,
    )


def _rank(layers: Sequence[LayerRow]) -> dict[str, str]:
    """Return each layer's place in every order, as the style of its line, by its name."""
    ranks: dict[str, list[str]] = {layer.name: [] for layer in layers}
    for place, layer in enumerate(layers):
        ranks[layer.name].append(f"--place:{place}")
    for key, value_of in SORTS.items():
        for place, layer in enumerate(sorted(layers, key=value_of, reverse=True)):
            ranks[layer.name].append(f"--{key}:{place}")
    return {name: ";".join(values) for name, values in ranks.items()}
