"""The most expensive layers as bars.

Owns: the figure of a profile. Does not own: the look (``drawing``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tfclassify.pages.drawing import (
    ACCENT,
    MUTED,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.profile_content import LayerRow

#: Bars of one figure.
MOST_BARS = 20


def draw_dearest(
    layers: Sequence[LayerRow],
    value_of: Callable[[LayerRow], float],
    say: Callable[[float], str],
    title: str,
) -> Drawing | None:
    """Draw the layers with the most of something, the first on top; None if none has any.

    Args:
        layers: Any number of layers, in any order.
        value_of: What the bars show.
        say: Writes a value beside its bar.
        title: What it is, with its unit.
    """
    chosen = sorted(layers, key=value_of, reverse=True)[:MOST_BARS]
    chosen = [layer for layer in chosen if value_of(layer) > 0]
    if not chosen:
        return None
    values = [value_of(layer) for layer in chosen]
    with new_figure(10.2, 0.9 + 0.26 * max(2, len(chosen))) as figure:
        axes = figure.add_subplot()
        places = range(len(chosen))
        axes.barh(places, values, height=0.66, color=ACCENT, linewidth=0)
        for place, value in zip(places, values, strict=True):
            axes.annotate(
                say(value), (value, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=8, color=MUTED,
            )  # fmt: skip
        names = [label(layer.name.rpartition("/")[2], 40) for layer in chosen]
        axes.set_yticks(list(places), names)
        axes.set_ylim(len(chosen) - 0.4, -0.6)
        axes.set_xlim(0, max(values) * 1.12)
        axes.set_xlabel(title)
        axes.xaxis.set_major_formatter(lambda value, _: say(value))
        rule_grid(axes, "x")
        axes.tick_params(axis="y", length=0)
        first = chosen[0].name
        return finish_drawing(
            figure, f"Bars of the {len(chosen)} layers with the most {title}; {first} leads."
        )
