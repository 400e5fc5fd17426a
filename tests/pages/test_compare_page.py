from __future__ import annotations

import json

from tests.pages.contents import (
    make_comparison,
    make_contender,
    parse,
    read_tag,
    read_text,
    read_texts,
)
from tfclassify.pages.compare_page import (
    PairRow,
    describe_comparison,
    draw_compare_figures,
    render_compare_page,
)

UNPAIRED = (PairRow("b", "a", 0, reason="it has other classes"),)


def test_cells_by_hand() -> None:
    report = make_comparison()
    assert report.score_table.rows == [
        ["a", ("70.0 %", "60.0–75.0 %", "", ""), "90"],
        ["b", ("82.5 %", "72.5–87.5 %", "", ""), "90"],
    ]
    assert report.difference_table.rows == [
        ["b", ("+12.5 points", "+2.0 to +20.0", "", ""), "15", "4", "0.019", "0.019"]
    ]
    costs = report.cost_table.rows
    assert costs[0] == ["a", "70.0 %", "1", "2 M", "2 M", "5,000", "1 min 20 s"]
    assert costs[1] == ["b", "82.5 %", "5", "150 M", "30 M", "–", "–"]
    assert [cell[0] for cell in report.metric_table.rows[1][1:]] == ["0.400", "0.400"]


def test_a_terminal_shows_scores_costs_and_remarks() -> None:
    text = describe_comparison(make_comparison())
    assert text.startswith("Model")
    assert "Against a:" in text
    assert "1 min 20 s" in text
    assert text.endswith("note: Take <care>.")
    assert "ms per view" not in text
    assert max(map(len, text.splitlines())) <= 100
    assert "not paired" in describe_comparison(make_comparison(pairs=UNPAIRED))
    timed = make_comparison(contenders=(make_contender("a", 0.7, views=1, latency_ms=2.5),))
    assert "ms per view" in describe_comparison(timed)


def test_all_views_of_an_image_are_counted() -> None:
    assert make_contender("a", 0.7, views=5, macs=3).image_macs == 15
    assert make_contender("a", 0.7, views=5).image_macs is None


def test_the_page_says_which_side_is_better() -> None:
    page = render_compare_page(make_comparison())
    text = read_text(page)
    assert "2 models compared" in text
    assert "Take <care>." in text
    assert "lies above 0" in text
    lower = make_comparison(is_higher_better=False, metric="loss")
    assert "lies below 0" in read_text(render_compare_page(lower))
    sections = [e.get("id") for e in parse(page).iter() if read_tag(e) == "section"]
    assert sections == ["scores", "differences", "cost", "metrics", "repeat"]


def test_the_page_says_why_models_were_not_paired() -> None:
    page = render_compare_page(make_comparison(pairs=UNPAIRED))
    assert "b: not paired, it has other classes." in read_text(page)


def test_figures_are_drawn_where_there_is_something_to_show() -> None:
    assert set(draw_compare_figures(make_comparison())) == {"scores", "differences", "costs"}
    bare = make_comparison(pairs=UNPAIRED, contenders=(make_contender("a", 0.7, views=1),))
    assert set(draw_compare_figures(bare)) == {"scores"}


def test_the_axes_count_as_the_tables_do() -> None:
    figures = draw_compare_figures(make_comparison())
    assert any(text.endswith(" %") for text in read_texts(figures["scores"]))
    assert any(text.endswith(" %") for text in read_texts(figures["costs"]))
    words = read_texts(figures["differences"])
    assert "Accuracy minus that of a, points of per cent" in words
    assert {"0.0", "+10.0"} <= set(words)


def test_facts_survive_json() -> None:
    content = json.loads(json.dumps(make_comparison().to_dict(), allow_nan=False))
    assert content["contenders"][0]["image_macs"] == 2_000_000
    assert content["contenders"][1]["metrics"]["accuracy"]["value"] == 0.825
    assert content["pairs"][0]["difference"]["low"] == 0.02
