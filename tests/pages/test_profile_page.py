from __future__ import annotations

import dataclasses

from tests.pages.contents import make_layer, make_network, parse, read_tag, read_text
from tfclassify.pages.profile_page import (
    draw_most_expensive,
    list_blocks,
    render_networks,
    render_profile,
    render_profile_page,
    write_layers_csv,
    write_networks_csv,
)
from tfclassify.pages.wording import format_large


def test_the_text_says_what_was_not_counted() -> None:
    text = render_profile(make_network(uncounted=2))
    assert "2 x Sort" in text
    assert "3 of 5 layers shown" in text
    assert "1.203 k = 2 x MACs + 3 element-wise" in text
    assert "note: a remark" in text
    assert "nothing: every operation was counted" in render_profile(make_network())
    assert "not counted: 2 x Sort" in render_networks([make_network(uncounted=2)])


def test_untimed_networks_have_no_column_of_times() -> None:
    assert " ms" not in render_profile(make_network(timed=False)).splitlines()[2]
    assert write_networks_csv([make_network(timed=False)]).count("\n") == 2
    assert write_layers_csv(make_network()).splitlines()[1].startswith("a,Conv2D,one,8x8x4,10,100")


def test_layers_stand_in_their_order_by_block() -> None:
    page = render_profile_page([make_network()], created="today")
    root = parse(page)
    folded = [read_tag(e) == "details" for e in root.iter()]
    assert sum(folded) == 3
    names = [
        "".join(e.itertext()).strip()
        for e in root.iter()
        if read_tag(e) == "th" and e.get("scope") == "row"
    ]
    # Under the roof the blocks, and the slowest layers first; then the blocks with their sums,
    # and the layers of each.
    assert names == ["one", "two", "c", "a", "b", "one", "two", "a", "b", "c"]
    assert "Cost of net<1>" in read_text(page)
    assert "one: 2 layers" in read_text(page)
    assert ":has(" not in page
    one = dataclasses.replace(
        make_network(timed=False), layers=(make_layer("a", 5), make_layer("b", 6))
    )
    assert "<details" not in render_profile_page([one], created="today")


def test_blocks_add_up() -> None:
    (first, layers), (second, _) = list_blocks(make_network())
    assert (first.name, first.kind, first.macs, first.latency_ms) == ("one", "2 layers", 400, 0.75)
    assert [layer.name for layer in layers] == ["a", "b"]
    assert (second.params, second.kind) == (10, "1 layer")
    assert list_blocks(make_network(timed=False))[0][0].latency_ms is None


def test_the_roofline_stands_on_the_page_and_in_files() -> None:
    (block, _), _ = list_blocks(make_network())
    # 0.5 ms at 25 % of the roof, 0.25 ms at 12.5 %: (0.125 + 0.03125) / 0.75.
    assert (block.bound, block.gflops_per_s, block.share_of_roof) == (
        "compute",
        12.5,
        0.15625 / 0.75,
    )
    page = read_text(render_profile_page([make_network()], created="t"))
    assert "Of the roof" in page
    assert "20.8 %" in page
    assert "Of the roof" not in render_profile(make_network())  # a terminal is narrow
    head, first = (line.split(",") for line in write_layers_csv(make_network()).splitlines()[:2])
    row = dict(zip(head, first, strict=True))
    assert (row["gbytes_per_s"], row["bound"], row["share_of_roof"]) == ("1.5", "compute", "0.25")
    untimed = list_blocks(make_network(timed=False))[0][0]
    assert (untimed.bound, untimed.share_of_roof) == ("", None)
    plain = read_text(render_profile_page([make_network(timed=False)], created="t"))
    assert "Of the roof" not in plain


def test_the_page_of_several_compares() -> None:
    page = render_profile_page([make_network("x"), make_network("y")], created="t")
    assert "Networks side by side" in page
    assert "Cost of 2 networks" in page
    assert "x, 8x8x3: Totals" in page


def test_bars_show_the_most_expensive_first() -> None:
    layers = make_network().layers
    drawing = draw_most_expensive(layers, "macs", format_large, "MACs")
    assert drawing is not None
    assert "b leads" in drawing.alt
    untimed = make_network(timed=False).layers
    assert draw_most_expensive(untimed, "latency", format_large, "ms") is None
