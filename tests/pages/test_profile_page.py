from __future__ import annotations

import re

from tfclassify.pages.profile_content import LatencyRow, LayerRow, NetworkReport, sort_layers
from tfclassify.pages.profile_figures import draw_dearest
from tfclassify.pages.profile_page import render_profile_page
from tfclassify.pages.profile_tables import (
    format_large,
    format_ms,
    format_share,
    render_profile,
    tabulate_networks,
    write_layers_csv,
    write_networks_csv,
)


def make_layer(name: str, macs: int, block: str = "", time: float | None = None) -> LayerRow:
    return LayerRow(
        name, "Conv2D", block, "8x8x4", 10, macs, 2 * macs + 1, 40, 1024, "3/1", time, 0
    )


def make_network(model: str = "net<1>", *, timed: bool = True, uncounted: int = 0) -> NetworkReport:
    layers = (
        make_layer("a", 100, "one", 0.5 if timed else None),
        make_layer("b", 300, "one", 0.25 if timed else None),
        make_layer("c", 200, "two", 1.5 if timed else None),
    )
    return NetworkReport(
        model, "target", "8x8x3", 30, 20, 600, 1203, {"Add": 2, "Relu": 1},
        {"Sort": uncounted} if uncounted else {}, 120, 3072, 2048, "3/1", "float32", layers, 5,
        "b", (LatencyRow(1, 10, 2.0, 1.5, 30.0, 500.0),) if timed else (),
        (("device", "cpu:0"),) if timed else (), ("a remark",),
    )  # fmt: skip


def test_numbers() -> None:
    assert format_large(3_857_973_248) == "3.858 G"
    assert format_large(300_774_272) == "300.8 M"
    assert format_large(1500) == "1.500 k"
    assert format_large(12) == "12"
    assert format_large(2e12) == "2.000 T"
    assert (format_ms(None), format_ms(0.1234), format_ms(25.04)) == ("–", "0.123", "25.0")
    assert (format_share(1, 4), format_share(1, 0)) == ("25.0 %", "–")


def test_layers_are_sorted() -> None:
    layers = make_network().layers
    assert [layer.name for layer in sort_layers(layers, "macs")] == ["b", "c", "a"]
    assert [layer.name for layer in sort_layers(layers, "latency")] == ["c", "a", "b"]
    assert sort_layers(layers, None) == layers


def test_the_text_says_what_was_not_counted() -> None:
    text = render_profile(make_network(uncounted=2))
    assert "2 x Sort" in text
    assert "3 of 5 layers shown" in text
    assert "1.203 k = 2 x MACs + 3 element-wise" in text
    assert "note: a remark" in text
    assert "nothing: every operation was counted" in render_profile(make_network())
    assert "not counted: 2 x Sort" in tabulate_networks([make_network(uncounted=2)])


def test_untimed_networks_have_no_column_of_times() -> None:
    assert " ms" not in render_profile(make_network(timed=False)).splitlines()[2]
    assert write_networks_csv([make_network(timed=False)]).count("\n") == 2
    assert write_layers_csv(make_network()).splitlines()[1].startswith("a,Conv2D,one,8x8x4,10,100")


def test_the_page_sorts_and_folds_without_a_script() -> None:
    page = render_profile_page([make_network()], created="today", version="1")
    assert "net&lt;1&gt;" in page
    assert "net<1>" not in page
    assert page.count("<details") == 2
    assert "<script" not in page
    # The place of layer c in each order: third of all, second by MACs, first by time.
    assert re.search(r"--place:2;--macs:1;--flops:1;--params:2;--latency:0", page)
    assert 'class="sort-latency"' in page
    assert 'class="sort-latency"' not in render_profile_page(
        [make_network(timed=False)], created="today", version="1"
    )


def test_the_page_of_several_compares() -> None:
    page = render_profile_page([make_network("x"), make_network("y")], created="t", version="1")
    assert "Networks side by side" in page
    assert "Cost of 2 networks" in page


def test_bars_show_the_most_expensive_first() -> None:
    layers = make_network().layers
    drawing = draw_dearest(layers, lambda layer: layer.macs, format_large, "MACs")
    assert drawing is not None
    assert "b leads" in drawing.alt
    assert draw_dearest(layers, lambda layer: 0, format_large, "MACs") is None
