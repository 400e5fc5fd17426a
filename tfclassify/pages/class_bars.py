"""One score of each class with its interval, as bars.

Owns: the figure that recall and average precision share. Does not own: the scores
(``scoring``), the look (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfclassify.pages.drawing import (
    ACCENT,
    INK,
    MUTED,
    SOFT,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import count_of, format_score
from tfclassify.scoring.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ClassBar:
    """One class of the figure.

    Attributes:
        name: The class.
        support: Its images.
        score: Its score, from 0 to 1; without a value where it has no images.
    """

    name: str
    support: int
    score: Interval


def draw_class_bars(
    bars: Sequence[ClassBar],
    *,
    metric: str,
    title: str,
    axis: str,
    nothing: str,
    in_percent: bool = False,
) -> Drawing:
    """Draw each class as a bar with its interval, the weakest on top.

    Args:
        bars: One a class, in any order.
        metric: The score's name, for its form in words.
        title: The score's name for people, such as ``Recall``.
        axis: What the horizontal axis says.
        nothing: What is said where no class has a score.
        in_percent: Whether the axis counts in per cent.
    """
    ordered = sorted(bars, key=lambda bar: (bar.score.value is None, bar.score.value or 0.0))
    with new_figure(10.2, 0.75 + 0.26 * len(ordered)) as figure:
        axes = figure.add_subplot()
        for place, bar in enumerate(ordered):
            _draw_bar(axes, place, bar.score)
        names = [f"{label(bar.name)}  ({bar.support})" for bar in ordered]
        axes.set_yticks(range(len(ordered)), names, color=INK)
        axes.set_ylim(len(ordered) - 0.4, -0.6)
        axes.set_xlim(0.0, 1.0)
        if in_percent:
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
        axes.set_xlabel(axis)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        rule_grid(axes, "x")
        return finish_drawing(figure, _describe(ordered, metric, title, nothing))


def _draw_bar(axes: Axes, place: int, score: Interval) -> None:
    if score.value is None:
        axes.text(0.01, place, "no images", va="center", fontsize=8, color=MUTED)
        return
    axes.barh(place, score.value, height=0.62, color=SOFT, linewidth=0)
    if score.low is not None and score.high is not None:
        axes.plot([score.low, score.high], [place, place], color=ACCENT, linewidth=1.6)
    axes.plot(score.value, place, "o", color=ACCENT, markersize=5, clip_on=False, zorder=4)


def _describe(ordered: Sequence[ClassBar], metric: str, title: str, nothing: str) -> str:
    scored = [bar for bar in ordered if bar.score.value is not None]
    if not scored:
        return f"{title} of each class: {nothing}."
    weakest, strongest = scored[0], scored[-1]
    return (
        f"{title} of {count_of(len(scored), 'class', 'classes')}, from "
        f"{format_score(metric, weakest.score.value)} ({weakest.name}) to "
        f"{format_score(metric, strongest.score.value)} ({strongest.name})."
    )
