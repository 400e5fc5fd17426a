"""What the images are like: how many of each class, and how large.

Owns: the figures of a data set. Does not own: the look (``drawing``), the photos
themselves (``pictures``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfclassify.pages.content import DataSummary
from tfclassify.pages.drawing import (
    ACCENT,
    INK,
    MUTED,
    SPLIT_COLOURS,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import count_of, format_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Sizes nearer than this share of the axis become one dot, which bounds the figure.
_SIZE_CELLS = 60

#: Steps of dot area.
_DOT_STEPS = 6


def draw_class_histogram(data: DataSummary) -> Drawing:
    """Draw the images of each class, stacked by split, in the order of the classes."""
    totals = [
        sum(data.counts[split][number] for split in data.splits)
        for number in range(len(data.classes))
    ]
    with new_figure(10.2, 0.8 + 0.26 * max(2, len(data.classes))) as figure:
        axes = figure.add_subplot()
        left = [0] * len(totals)
        for split in data.splits:
            counts = data.counts[split]
            colour = SPLIT_COLOURS.get(split, ACCENT)
            places = range(len(totals))
            axes.barh(
                places, counts, left=left, height=0.66, color=colour, linewidth=0, label=split
            )
            left = [a + b for a, b in zip(left, counts, strict=True)]
        for place, total in enumerate(totals):
            axes.annotate(
                format_count(total), (total, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=8, color=MUTED,
            )  # fmt: skip
        _finish_histogram(axes, data, max(totals, default=0))
        return finish_drawing(figure, _describe_classes(data, totals))


def _finish_histogram(axes: Axes, data: DataSummary, largest: int) -> None:
    axes.set_yticks(range(len(data.classes)), [label(name) for name in data.classes], color=INK)
    axes.set_ylim(max(2, len(data.classes)) - 0.4, -0.6)
    axes.set_xlim(0, max(1, largest) * 1.08)
    axes.set_xlabel("images")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    rule_grid(axes, "x")
    if len(data.splits) > 1:
        axes.legend(
            loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.2,
            handlelength=1.0, handleheight=0.8,
        )  # fmt: skip


def _describe_classes(data: DataSummary, totals: Sequence[int]) -> str:
    if not totals:
        return "Images of each class: there are no classes."
    least, most = min(totals), max(totals)
    return (
        f"{count_of(data.total(), 'image')} of {count_of(len(totals), 'class', 'classes')}, from "
        f"{format_count(least)} ({data.classes[totals.index(least)]}) to "
        f"{format_count(most)} ({data.classes[totals.index(most)]})."
    )


def draw_image_sizes(sizes: Sequence[tuple[int, int]]) -> Drawing | None:
    """Draw image widths against heights; the area of a dot is its number of images.

    Args:
        sizes: ``(width, height)`` of each image, in pixels.

    Returns:
        The drawing, or None if there are no sizes.
    """
    if not sizes:
        return None
    counted = Counter(sizes).most_common()
    with new_figure(4.6, 4.2) as figure:
        axes = figure.add_subplot()
        reach = 1.12 * max(max(size) for size in sizes)
        axes.plot([0, reach], [0, reach], color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        _draw_dots(axes, sizes, reach)
        axes.set_xlim(0, reach)
        axes.set_ylim(0, reach)
        axes.set_aspect("equal")
        axes.set_xlabel("width, pixels")
        axes.set_ylabel("height, pixels")
        axes.grid(visible=True)
        return finish_drawing(figure, _describe_sizes(counted, len(sizes)))


def _draw_dots(axes: Axes, sizes: Sequence[tuple[int, int]], reach: float) -> None:
    """Draw sizes as dots, near ones joined, in a few steps of dot area."""
    step = max(1.0, reach / _SIZE_CELLS)
    cells = Counter((round(width / step), round(height / step)) for width, height in sizes)
    most = max(cells.values())
    by_area: dict[int, list[tuple[int, int]]] = {}
    for cell, count in cells.items():
        by_area.setdefault(math.ceil(_DOT_STEPS * count / most), []).append(cell)
    for area, group in by_area.items():
        axes.plot(
            [x * step for x, _ in group], [y * step for _, y in group], "o", color=ACCENT,
            alpha=0.45, markersize=2.0 + 10.0 * math.sqrt(area / _DOT_STEPS), markeredgewidth=0,
            zorder=3,
        )  # fmt: skip


def _describe_sizes(counted: Sequence[tuple[tuple[int, int], int]], images: int) -> str:
    (width, height), count = counted[0]
    shapes = count_of(len(counted), "size")
    return (
        f"{count_of(images, 'image')} in {shapes}; the most frequent is {width} x {height} "
        f"pixels ({format_count(count)})."
    )
