"""Scores with their intervals side by side, and against what they cost.

Owns: the figures that set several models, or folds, against one another. Does not own:
the scores (``scoring``), the look (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfclassify.pages.drawing import (
    ACCENT,
    FAINT,
    INK,
    MUTED,
    SECOND,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAME_LENGTH = 40


@dataclass(frozen=True)
class DotRow:
    """One line of a dot figure.

    Attributes:
        name: What is scored.
        value: The score; None draws no dot.
        low: Lower end of its interval, or None.
        high: Upper end, or None.
        dots: Values behind it, such as those of single folds.
        is_marked: Whether it is set off from the others.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    dots: tuple[float, ...] = ()
    is_marked: bool = False

    def numbers(self) -> list[float]:
        """Return every value that is drawn."""
        return [v for v in (self.value, self.low, self.high, *self.dots) if v is not None]


def draw_dots(
    rows: Sequence[DotRow], title: str, alt: str, *, zero: bool = False
) -> Drawing | None:
    """Draw one line a row: its interval, its value, and the single values behind it.

    Args:
        rows: From top to bottom.
        title: What the axis shows.
        alt: What the figure shows, for those who cannot see it.
        zero: Whether a line stands at 0, as for differences.

    Returns:
        The figure, or None where no row has a value.
    """
    numbers = [number for row in rows for number in row.numbers()]
    if not numbers:
        return None
    with new_figure(10.2, 0.95 + 0.4 * max(2, len(rows))) as figure:
        axes = figure.add_subplot()
        if zero:
            axes.axvline(0.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        for place, row in enumerate(rows):
            colour = SECOND if row.is_marked else ACCENT
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=colour, linewidth=2.2)
            if row.dots:
                axes.plot(
                    row.dots, [place + 0.24] * len(row.dots), "o", color=FAINT, markersize=4.5
                )
            if row.value is not None:
                axes.plot(row.value, place, "o", color=colour, markersize=6.5, zorder=4)
        names = [label(row.name, _NAME_LENGTH) for row in rows]
        axes.set_yticks(range(len(rows)), names, color=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        _frame_numbers(axes, [*numbers, 0.0] if zero else numbers, "x", is_share=not zero)
        axes.set_xlabel(title)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        rule_grid(axes, "x")
        return finish_drawing(figure, alt)


def _frame_numbers(
    axes: Axes, numbers: Sequence[float], which: str, *, is_share: bool = True
) -> None:
    """Leave room around the values, but little beyond 0 and 1 where none lies beyond."""
    low, high = min(numbers), max(numbers)
    room = max(0.06 * (high - low), 0.005)
    least, most = low - room, high + room
    if is_share and low >= 0.0:
        least = max(least, -0.15 * room)
    if is_share and high <= 1.0:
        most = min(most, 1.0 + 0.15 * room)
    getattr(axes, f"set_{which}lim")(least, most)


@dataclass(frozen=True)
class CostPoint:
    """One model of a score-against-cost figure.

    Attributes:
        name: The model.
        cost: Multiply-accumulates for one image, positive.
        value: Its score.
        low: Lower end of its interval, or None.
        high: Upper end, or None.
        is_marked: Whether it is set off from the others.
    """

    name: str
    cost: float
    value: float
    low: float | None = None
    high: float | None = None
    is_marked: bool = False


def draw_score_against_cost(points: Sequence[CostPoint], title: str, alt: str) -> Drawing | None:
    """Draw scores over what one image costs, on a logarithmic axis; None without a point.

    Args:
        points: The models.
        title: The score's name.
        alt: What the figure shows.
    """
    if not points:
        return None
    with new_figure(10.2, 4.6) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        for point in points:
            colour = SECOND if point.is_marked else ACCENT
            if point.low is not None and point.high is not None:
                ends = [point.low, point.high]
                axes.plot([point.cost] * 2, ends, color=colour, linewidth=1.8, alpha=0.7)
            axes.plot(point.cost, point.value, "o", color=colour, markersize=7, zorder=4)
            axes.annotate(
                label(point.name, _NAME_LENGTH), (point.cost, point.value), xytext=(7, 5),
                textcoords="offset points", fontsize=8.5, color=MUTED,
            )  # fmt: skip
        costs = [point.cost for point in points]
        axes.set_xlim(min(costs) / 2.0, max(costs) * 5.0)  # room for the last one's name
        axes.xaxis.set_major_formatter(lambda value, _: say_large(value))
        axes.minorticks_off()
        ends = [v for p in points for v in (p.value, p.low, p.high) if v is not None]
        _frame_numbers(axes, ends, "y")
        axes.set_xlabel("multiply-accumulates for one image")
        axes.set_ylabel(title)
        rule_grid(axes)
        return finish_drawing(figure, alt)


def say_large(number: float) -> str:
    """Write a power of ten as it stands on an axis, such as ``100 M``."""
    for factor, sign in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= factor:
            return f"{number / factor:g}{sign}"
    return f"{number:g}"
