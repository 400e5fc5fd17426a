"""The kinds of figure that several pages draw: bars, dots, columns, matrices, costs.

Owns: how each kind looks. Does not own: what is shown (``score_figures``, ``data_page`` and
the other pages), colours and fonts (``drawing``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from tfclassify.pages.drawing import (
    ACCENT,
    FAINT,
    GRID,
    INK,
    MUTED,
    SECOND,
    SOFT,
    SPLIT_COLOURS,
    WIDTH,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import format_large

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

#: Up to this many rows and columns, the cells of a matrix hold their numbers.
COUNTED_CELLS = 24
#: Beyond this many, names no longer fit beside a matrix.
NAMED_CELLS = 80
#: Rows of bars: more would make a figure of many metres.
MOST_ROWS = 100
#: Points of a figure that are all named.
MOST_NAMES = 8
#: Characters of a model's name that are shown.
_NAME_LENGTH = 30
#: Steps of shade of a matrix: cells of one step are one path, which bounds the figure.
_SHADES = 20


@contextmanager
def _name_rows(names: Sequence[str], axis: str, alt: str) -> Iterator[tuple[Axes, list[Drawing]]]:
    """Give axes with one named row a value, and a list that the drawing is put into."""
    made: list[Drawing] = []
    with new_figure(WIDTH, 0.85 + 0.25 * max(2, len(names))) as figure:
        axes = figure.add_subplot()
        yield axes, made
        axes.set_yticks(range(len(names)), list(names), color=INK)
        axes.set_ylim(max(2, len(names)) - 0.4, -0.6)
        axes.set_xlabel(axis)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        rule_grid(axes, "x")
        made.append(finish_drawing(figure, alt))


def draw_bars(
    names: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    axis: str,
    alt: str,
    say: Callable[[float], str],
) -> Drawing:
    """Draw a bar a row, of parts behind one another, with its sum written behind it.

    Args:
        names: The rows, from top to bottom.
        parts: Name of a part, such as a split: its values, one a row.
        axis: What the bars show.
        alt: What the figure shows, for those who cannot see it.
        say: Writes a sum.
    """
    sums = [sum(values) for values in zip(*parts.values(), strict=True)] or [0.0] * len(names)
    with _name_rows([label(name) for name in names], axis, alt) as (axes, made):
        left = [0.0] * len(names)
        for part, values in parts.items():
            colour = SPLIT_COLOURS.get(part, ACCENT)
            axes.barh(
                range(len(names)), values, left=left, height=0.66, color=colour, linewidth=0,
                label=part,
            )  # fmt: skip
            left = [a + b for a, b in zip(left, values, strict=True)]
        for place, total in enumerate(sums):
            axes.annotate(
                say(total), (total, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=8.5, color=MUTED,
            )  # fmt: skip
        axes.set_xlim(0, max([*sums, 1e-9]) * 1.16)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: say(value))
        if len(parts) > 1:
            axes.legend(
                loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2,
                handlelength=1.0, handleheight=0.8,
            )  # fmt: skip
    return made[0]


@dataclass(frozen=True)
class DotRow:
    """One row of a figure of scores.

    Attributes:
        name: What is scored.
        value: The score; None where it has none.
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
    rows: Sequence[DotRow],
    axis: str,
    alt: str,
    *,
    zero: bool = False,
    say: Callable[[float], str] = "{:g}".format,
) -> Drawing | None:
    """Draw one line a row: its interval, its value, and the single values behind it.

    Args:
        rows: From top to bottom.
        axis: What the axis shows.
        alt: What the figure shows, for those who cannot see it.
        zero: Whether a line stands at 0, as for differences.
        say: Writes a number of the axis.

    Returns:
        The figure, or None where no row has a value.
    """
    numbers = [number for row in rows for number in row.numbers()]
    if not numbers:
        return None
    names = [label(row.name, _NAME_LENGTH) for row in rows]
    with _name_rows(names, axis, alt) as (axes, made):
        if zero:
            axes.axvline(0.0, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        for place, row in enumerate(rows):
            _draw_dot(axes, place, row)
            if row.dots:
                axes.plot(
                    row.dots, [place + 0.26] * len(row.dots), "o", color=FAINT, markersize=4.5
                )
        _frame_numbers(axes, [*numbers, 0.0] if zero else numbers, "x", is_share=not zero)
        axes.xaxis.set_major_formatter(lambda value, _: say(value))
    return made[0]


def draw_score_bars(
    rows: Sequence[DotRow], axis: str, alt: str, nothing: str, *, in_percent: bool = False
) -> Drawing:
    """Draw scores from 0 to 1 as bars with their intervals, the weakest on top.

    Args:
        rows: In any order; those without a value come last. Of more than ``MOST_ROWS`` the
            weakest are drawn.
        axis: What the axis shows.
        alt: What the figure shows, for those who cannot see it.
        nothing: Written where a row has no value.
        in_percent: Whether the axis counts in per cent.
    """
    rows = sorted(rows, key=lambda row: (row.value is None, row.value or 0.0))[:MOST_ROWS]
    with _name_rows([row.name for row in rows], axis, alt) as (axes, made):
        for place, row in enumerate(rows):
            if row.value is None:
                axes.text(0.01, place, nothing, va="center", fontsize=8.5, color=MUTED)
            else:
                axes.barh(place, row.value, height=0.62, color=SOFT, linewidth=0)
                _draw_dot(axes, place, row)
        axes.set_xlim(0.0, 1.0)
        if in_percent:
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    return made[0]


def _draw_dot(axes: Axes, place: int, row: DotRow) -> None:
    colour = SECOND if row.is_marked else ACCENT
    if row.low is not None and row.high is not None:
        axes.plot([row.low, row.high], [place, place], color=colour, linewidth=1.8)
    if row.value is not None:
        axes.plot(row.value, place, "o", color=colour, markersize=5.5, clip_on=False, zorder=4)


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
    axes.locator_params(axis=which, nbins=6)


def draw_columns(
    names: Sequence[str], series: Mapping[str, Sequence[int]], axis: str, alt: str
) -> Drawing:
    """Draw counts of images as columns, those of several series side by side.

    Args:
        names: What stands below each column.
        series: Name of a series: its counts. A single one has its numbers written above.
        axis: What the names are.
        alt: What the figure shows, for those who cannot see it.
    """
    count, width = len(names), 0.76 / len(series)
    with new_figure(min(WIDTH, 1.6 + 0.42 * max(6, count)), 2.9) as figure:
        axes = figure.add_subplot()
        for number, (name, values) in enumerate(series.items()):
            shift = (number - (len(series) - 1) / 2) * width
            places = [place + shift for place in range(count)]
            colour = (ACCENT, SECOND)[number]
            bars = axes.bar(
                places, values, width=0.95 * width, color=colour, linewidth=0, label=name
            )
            if len(series) == 1:
                axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=8.5, color=MUTED)
        if len(series) > 1:
            axes.legend(loc="upper right", handlelength=1.0, handleheight=0.8)
        axes.set_xticks(range(count), names)
        axes.set_ylim(0, max(1, *(max(values) for values in series.values())) * 1.12)
        axes.set_xlabel(axis)
        axes.set_ylabel("images")
        axes.tick_params(axis="x", length=0)
        rule_grid(axes)
        return finish_drawing(figure, alt)


@dataclass(frozen=True)
class MatrixCell:
    """A cell of a matrix that is not empty: its shade from 0 to 1, and what stands in it."""

    share: float
    text: str
    colour: str = ACCENT


def draw_matrix(
    names: tuple[Sequence[str], Sequence[str]],
    cells: Mapping[tuple[int, int], MatrixCell],
    axes_titles: tuple[str, str],
    alt: str,
) -> Drawing:
    """Draw a matrix of shaded squares, named while names fit, numbered while few.

    Args:
        names: Of the rows and of the columns.
        cells: ``(row, column)``: the cell; those left out are empty.
        axes_titles: What the rows and the columns are.
        alt: What the figure shows, for those who cannot see it.
    """
    rows, columns = (len(each) for each in names)
    most = max(rows, columns)
    step = min(0.46, 6.6 / most)
    longest = max(len(label(name)) for each in names for name in each)
    margin = 0.5 + (0.075 * longest if most <= NAMED_CELLS else 0)
    size = (max(2.6, step * columns + margin), max(2.4, step * rows + min(margin, 1.7)))
    with new_figure(*size) as figure:
        axes = figure.add_subplot()
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_aspect("equal")
        _fill_cells(axes, (rows, columns), cells, font=min(8.5, 26 * step))
        _name_cells(axes, names, axes_titles, font=min(9.0, 66 * step))
        return finish_drawing(figure, alt)


def _fill_cells(
    axes: Axes,
    shape: tuple[int, int],
    cells: Mapping[tuple[int, int], MatrixCell],
    font: float,
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    is_counted = max(shape) <= COUNTED_CELLS
    groups: dict[tuple[str, int], list[Path]] = {}
    places: Iterable[tuple[int, int]] = cells
    if is_counted:  # few enough that empty squares are drawn as well
        places = product(range(shape[0]), range(shape[1]))
    for row, column in places:
        cell = cells.get((row, column))
        key = (cell.colour, math.ceil(cell.share * _SHADES)) if cell else (GRID, 0)
        groups.setdefault(key, []).append(_make_square(row, column, is_counted))
        if cell and is_counted:
            axes.text(
                column, row, cell.text, ha="center", va="center", fontsize=font,
                color="white" if cell.share > 0.45 else INK,
            )  # fmt: skip
    for (colour, shade), squares in groups.items():
        # Even one image among many must be seen, hence the floor.
        alpha = 0.45 if colour == GRID and not shade else 0.12 + 0.88 * shade / _SHADES
        path = Outline.make_compound_path(*squares)
        axes.add_patch(PathPatch(path, facecolor=colour, alpha=alpha, linewidth=0))


def _make_square(row: int, column: int, has_gap: bool) -> Path:
    from matplotlib.path import Path

    half = 0.47 if has_gap else 0.5
    left, right, top, bottom = column - half, column + half, row - half, row + half
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return Path(corners, closed=True)


def _name_cells(
    axes: Axes,
    names: tuple[Sequence[str], Sequence[str]],
    titles: tuple[str, str],
    font: float,
) -> None:
    most = max(len(each) for each in names)
    for spine in axes.spines.values():
        spine.set_visible(most > COUNTED_CELLS)
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.set_ylabel(titles[0])
    axes.set_xlabel(titles[1])
    axes.xaxis.set_label_position("top")
    if most > NAMED_CELLS:
        return
    rows, columns = ([label(name) for name in each] for each in names)
    is_short = max(map(len, columns)) <= 4 and most <= COUNTED_CELLS
    axes.set_xticks(
        range(len(columns)), columns, fontsize=font, color=INK, rotation=0 if is_short else 45,
        ha="center" if is_short else "left", rotation_mode="default" if is_short else "anchor",
    )  # fmt: skip
    axes.set_yticks(range(len(rows)), rows, fontsize=font, color=INK)


@dataclass(frozen=True)
class CostPoint:
    """One model of a figure of scores over costs.

    Attributes:
        score: Its name, score and interval.
        cost: Such as multiply-accumulates for one image, positive.
    """

    score: DotRow
    cost: float


def draw_score_against_cost(
    points: Sequence[CostPoint],
    title: str,
    alt: str,
    say: Callable[[float], str] = "{:g}".format,
    axis: str = "multiply-accumulates for one image",
) -> Drawing | None:
    """Draw scores over what one image costs, on a logarithmic axis; None without a point.

    Args:
        points: The models.
        title: The score's name.
        alt: What the figure shows.
        say: Writes a score.
        axis: What the cost is.
    """
    if not points:
        return None
    with new_figure(WIDTH, 3.6) as figure:
        axes = figure.add_subplot()
        axes.set_xscale("log")
        for point in points:
            row = point.score
            colour = SECOND if row.is_marked else ACCENT
            if row.low is not None and row.high is not None:
                axes.plot(
                    [point.cost] * 2, [row.low, row.high], color=colour, linewidth=1.8, alpha=0.7
                )
            axes.plot(point.cost, row.value, "o", color=colour, markersize=6.5, zorder=4)
        _name_points(axes, points)
        axes.xaxis.set_major_formatter(lambda value, _: format_large(value))
        axes.minorticks_off()
        _frame_numbers(axes, [v for point in points for v in point.score.numbers()], "y")
        axes.yaxis.set_major_formatter(lambda value, _: say(value))
        axes.set_xlabel(axis)
        axes.set_ylabel(title)
        rule_grid(axes)
        return finish_drawing(figure, alt)


def choose_named(points: Sequence[CostPoint]) -> list[CostPoint]:
    """Return the points whose names there is room for.

    They are all if they are few; else those that are marked, and those that no other
    beats in both: score and cost.
    """
    if len(points) <= MOST_NAMES:
        return list(points)

    def is_beaten(point: CostPoint) -> bool:
        value = point.score.value or 0.0
        return any(
            (other.cost, -(other.score.value or 0.0)) != (point.cost, -value)
            and other.cost <= point.cost
            and (other.score.value or 0.0) >= value
            for other in points
        )

    return [point for point in points if point.score.is_marked or not is_beaten(point)]


def _name_points(axes: Axes, points: Sequence[CostPoint]) -> None:
    """Write each name beside its point, on the side where there is more room."""
    costs = [point.cost for point in points]
    least, most = min(costs) / 3.0, max(costs) * 3.0
    axes.set_xlim(least, most)
    middle = math.sqrt(least * most)
    for point in choose_named(points):
        is_left = point.cost <= middle
        axes.annotate(
            label(point.score.name, _NAME_LENGTH), (point.cost, point.score.value or 0.0),
            xytext=(7 if is_left else -7, 5), textcoords="offset points", fontsize=9,
            color=MUTED, ha="left" if is_left else "right",
        )  # fmt: skip
