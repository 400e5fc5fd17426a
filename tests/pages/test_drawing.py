"""The way of a figure from matplotlib to a page."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib

from tfclassify.pages.drawing import (
    THEME,
    Drawing,
    finish_drawing,
    keep_drawn,
    label,
    new_figure,
    rule_grid,
    save_figures,
)
from tfclassify.pages.rendering import STYLE_SHEET


def draw(text: str = "words") -> Drawing:
    with new_figure(3.0, 2.0) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [0.123456, 1], color="#1f6f8b")
        axes.set_title(text)
        rule_grid(axes)
        return finish_drawing(figure, "A line from 0 to 1")


def test_svg_is_well_formed_and_always_the_same() -> None:
    drawing = draw()
    ET.fromstring(drawing.svg)
    assert drawing == draw()
    assert (drawing.width, drawing.height) == (288, 192)


def test_words_stay_words_whatever_they_hold() -> None:
    for text in ("$x_1$ & <script>", "日本 ไทย", "0.123456"):
        root = ET.fromstring(draw(text).svg)
        assert text in ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("text")]


def test_digits_that_no_screen_shows_are_dropped() -> None:
    svg = re.sub(r">[^<]*<", "><", draw().svg)
    assert not re.search(r'[" ]-?\d+\.\d{3,}[" ]', svg)


def test_inline_form_follows_the_theme_and_keeps_ids_apart() -> None:
    text = draw().inline("one")
    root = ET.fromstring(text)
    assert "var(--accent)" in text
    assert "#1f6f8b" not in text
    assert "DejaVu" not in text
    assert root.get("aria-label") == "A line from 0 to 1"
    assert root.get("viewBox") == "0 0 216 144"
    ids = {e.get("id") for e in root.iter() if e.get("id")}
    assert ids
    assert all(name.startswith("one-") for name in ids)
    for name in re.findall(r'(?:url\(|href=")#([^)"]+)', text):
        assert name in ids


def test_every_colour_of_the_figures_is_a_variable_of_the_page_light_and_dark() -> None:
    light, _, dark = STYLE_SHEET.read_text("utf-8").partition("prefers-color-scheme: dark")
    for colour, variable in THEME.items():
        assert f"{variable}: {colour};" in light
        assert f"{variable}: #" in dark.partition("}")[0]


def test_global_settings_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    draw()
    assert dict(matplotlib.rcParams) == before


def test_figures_without_anything_to_show_are_not_kept(tmp_path: Path) -> None:
    figures = keep_drawn(one=draw(), other=None)
    assert list(figures) == ["one"]
    save_figures(figures, tmp_path / "figures")
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["one.svg"]
    assert (tmp_path / "figures" / "one.svg").read_text("utf-8") == draw().svg


def test_labels_are_cleaned_and_cut() -> None:
    assert label("tulip") == "tulip"
    assert label("a\nb\tc") == "a b c"
    assert label("x" * 30) == "x" * 21 + "…"
