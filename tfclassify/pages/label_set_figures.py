"""Images that may have several labels: how many they have, and which together.

Owns: the two figures. Does not own: the counts (``data.label_statistics``), the images
of each class (``data_figures``), the look (``drawing``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfclassify.data.statistics import LabelSets
from tfclassify.pages.drawing import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import count_of, format_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

#: Classes in the matrix; of more, the most frequent.
SHOWN_CLASSES = 40
#: Up to this many classes, cells hold their percentages.
_COUNTED_CLASSES = 16
#: Steps of shade, which bound the size of the figure.
_SHADES = 12


def draw_labels_per_image(sets: LabelSets) -> Drawing:
    """Draw how many images have no label, one, two and so on."""
    counts = sets.per_image
    with new_figure(min(9.0, 1.6 + 0.42 * max(5, len(counts))), 2.9) as figure:
        axes = figure.add_subplot()
        axes.bar(range(len(counts)), counts, width=0.72, color=ACCENT, linewidth=0)
        for place, count in enumerate(counts):
            axes.annotate(
                format_count(count), (place, count), xytext=(0, 3), textcoords="offset points",
                ha="center", fontsize=8, color=MUTED,
            )  # fmt: skip
        axes.set_xticks(range(len(counts)))
        axes.set_xlim(-0.6, max(4, len(counts)) - 0.4)
        axes.set_ylim(0, max(1, *counts) * 1.12)
        axes.set_xlabel("labels on an image")
        axes.set_ylabel("images")
        axes.tick_params(axis="x", length=0)
        rule_grid(axes)
        return finish_drawing(figure, _describe_counts(sets))


def _describe_counts(sets: LabelSets) -> str:
    fewest = next((count for count, images in enumerate(sets.per_image) if images), 0)
    return (
        f"{count_of(sets.images, 'image')} with {count_of(sets.labels, 'label')}, "
        f"{sets.mean:.2f} an image, from {fewest} to {len(sets.per_image) - 1}."
    )


def draw_co_occurrence(sets: LabelSets) -> Drawing | None:
    """Draw which classes are in one image: of a row's images, the share with the column.

    Returns:
        The drawing, or None where there are fewer than two classes with images.
    """
    shown = choose_shown(sets)
    if len(shown) < 2:
        return None
    names = [sets.classes[number] for number in shown]
    shares = [[sets.together[a][b] / sets.together[a][a] for b in shown] for a in shown]
    size = len(names)
    side = max(2.4, 0.52 * size if size <= _COUNTED_CLASSES else 0.19 * size)
    margin = 0.45 + 0.075 * max(len(label(name)) for name in names)
    with new_figure(min(10.0, side + margin), min(10.0, side + min(margin, 1.6))) as figure:
        axes = figure.add_subplot()
        _fill_cells(axes, shares)
        _name_cells(axes, names)
        return finish_drawing(figure, _describe_pairs(sets, size))


def choose_shown(sets: LabelSets) -> list[int]:
    """Return the numbers of the most frequent classes that have images, in their order."""
    counts = [sets.together[number][number] for number in range(len(sets.classes))]
    ranked = sorted((n for n in range(len(counts)) if counts[n]), key=lambda n: -counts[n])
    return sorted(ranked[:SHOWN_CLASSES])


def _fill_cells(axes: Axes, shares: Sequence[Sequence[float]]) -> None:
    """Shade the cells in a few steps, each of them one path."""
    from matplotlib.patches import PathPatch

    size = len(shares)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    by_shade: dict[int, list[Path]] = {}
    for row, values in enumerate(shares):
        for column, share in enumerate(values):
            shade = -1 if row == column else math.ceil(share * _SHADES)
            by_shade.setdefault(shade, []).append(_make_square(column, row))
            if row != column and share and size <= _COUNTED_CLASSES:
                axes.text(
                    column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=7.5,
                    color="white" if share > 0.5 else INK,
                )  # fmt: skip
    for shade, squares in by_shade.items():
        if shade == 0:
            continue
        path = squares[0].make_compound_path(*squares)
        colour, alpha = (GRID, 0.9) if shade < 0 else (ACCENT, 0.1 + 0.9 * shade / _SHADES)
        axes.add_patch(PathPatch(path, facecolor=colour, alpha=alpha, linewidth=0))


def _make_square(column: int, row: int) -> Path:
    from matplotlib.path import Path

    left, right, top, bottom = column - 0.48, column + 0.48, row - 0.48, row + 0.48
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return Path(corners, closed=True)


def _name_cells(axes: Axes, names: Sequence[str]) -> None:
    size = len(names)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.set_ylabel("of the images with")
    axes.set_xlabel("per cent that also have")
    axes.xaxis.set_label_position("top")
    font = 8.5 if size <= _COUNTED_CLASSES else max(6.0, 9.0 - 0.06 * size)
    shown = [label(name) for name in names]
    axes.set_xticks(
        range(size), shown, fontsize=font, color=INK, rotation=45, ha="left",
        rotation_mode="anchor",
    )  # fmt: skip
    axes.set_yticks(range(size), shown, fontsize=font, color=INK)


def _describe_pairs(sets: LabelSets, shown: int) -> str:
    of_all = f"{shown} classes"
    if shown < len(sets.classes):
        of_all = f"the {shown} most frequent of {len(sets.classes)} classes"
    pairs = [
        f"{first} with {second} in {count_of(count, 'image')}"
        for first, second, count in sets.find_pairs(3)
    ]
    found = f": most often {', '.join(pairs)}" if pairs else ": no two are in one image"
    return f"Which of {of_all} are together{found}."
