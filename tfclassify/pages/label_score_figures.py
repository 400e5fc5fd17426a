"""How good a model of label sets is: classes, labels an image, labels too many.

Owns: the figures of a multi-label judgement. Does not own: the scores (``scoring``), the
look (``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.pages.class_bars import ClassBar, draw_class_bars
from tfclassify.pages.drawing import (
    ACCENT,
    ALERT,
    GRID,
    INK,
    SECOND,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import count_of
from tfclassify.scoring.multi_label_judgement import LabelScore, MultiLabelJudgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Rows and columns of the figure of labels too many: those it happened to most.
SHOWN_LABELS = 16

#: Labels an image from which on images are counted together.
MANY_LABELS = 12


def draw_class_ap(class_scores: Sequence[LabelScore]) -> Drawing:
    """Draw the average precision of each class with its interval, the weakest on top."""
    return draw_class_bars(
        [ClassBar(row.name, row.support, row.ap) for row in class_scores],
        metric="map",
        title="Average precision",
        axis="average precision (images that have the label in brackets)",
        nothing="no image has a label",
    )


def draw_label_counts(judgement: MultiLabelJudgement) -> Drawing:
    """Draw how many images have so many labels, and were given so many."""
    pairs = np.array(judgement.label_counts, dtype=np.int64)
    if len(pairs) > MANY_LABELS + 1:
        pairs = np.concatenate([pairs[:MANY_LABELS], [pairs[MANY_LABELS:].sum(axis=0)]])
    names = [str(size) for size in range(len(pairs))]
    if len(judgement.label_counts) > len(pairs):
        names[-1] += "+"
    with new_figure(5.6, 2.9) as figure:
        axes = figure.add_subplot()
        for column, (name, colour) in enumerate((("own labels", ACCENT), ("given", SECOND))):
            places = np.arange(len(pairs)) + (column - 0.5) * 0.4
            axes.bar(places, pairs[:, column], width=0.36, color=colour, linewidth=0, label=name)
        axes.set_xticks(range(len(names)), names)
        axes.set_xlabel("labels of an image")
        axes.set_ylabel("images")
        axes.legend(loc="upper right", handlelength=1.0, handleheight=0.8)
        rule_grid(axes)
        own, given = (average_labels(judgement, column) for column in (0, 1))
        alt = f"An image has {own:.2f} labels on average and was given {given:.2f}."
        return finish_drawing(figure, alt)


def average_labels(judgement: MultiLabelJudgement, column: int) -> float:
    """Return the mean number of labels: own ones with column 0, given ones with column 1."""
    total = sum(size * pair[column] for size, pair in enumerate(judgement.label_counts))
    return total / judgement.n


def draw_additions(judgement: MultiLabelJudgement) -> Drawing | None:
    """Draw which labels are given though absent, beside which that are there.

    A row is a label that is there, a column one that is not; the shade is the share of the
    images with the first and without the second that were given it. Shown are the rows and
    the columns to which that happened most.

    Returns:
        The drawing, or None if no image with a label was given one too many.
    """
    added = np.array(judgement.added, dtype=np.int64)
    rows, columns = (_pick_most(added.sum(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    support = np.diag(judgement.pairs)[:, None]
    chances = support - np.array(judgement.pairs)
    with new_figure(2.6 + 0.46 * len(columns), 1.9 + 0.4 * len(rows)) as figure:
        axes = figure.add_subplot()
        _fill_cells(axes, added[np.ix_(rows, columns)], chances[np.ix_(rows, columns)])
        axes.set_yticks(range(len(rows)), [label(judgement.classes[i]) for i in rows], color=INK)
        axes.set_xticks(
            range(len(columns)), [label(judgement.classes[i]) for i in columns], color=INK,
            rotation=45, ha="left", rotation_mode="anchor",
        )  # fmt: skip
        axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
        axes.set_ylabel("label that is there")
        axes.set_xlabel("label given though absent")
        axes.xaxis.set_label_position("top")
        return finish_drawing(figure, _describe_additions(judgement))


def _pick_most(totals: np.ndarray) -> np.ndarray:
    """Return the classes of the largest totals, none of 0, the largest first."""
    order = np.argsort(-totals, kind="stable")[:SHOWN_LABELS]
    return order[totals[order] > 0]


def _fill_cells(axes: Axes, added: np.ndarray, chances: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    height, width = added.shape
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for row in range(height):
        for column in range(width):
            images = int(added[row, column])
            share = images / max(1, int(chances[row, column]))
            # Even one image among many must be seen, hence the floor.
            colour, alpha = (ALERT, 0.12 + 0.88 * share) if images else (GRID, 0.45)
            corner = (column - 0.47, row - 0.47)
            cell = Rectangle(corner, 0.94, 0.94, facecolor=colour, alpha=alpha, linewidth=0)
            axes.add_patch(cell)
            if images:
                axes.text(
                    column, row, str(images), ha="center", va="center", fontsize=8,
                    color="white" if share > 0.45 else INK,
                )  # fmt: skip


def _describe_additions(judgement: MultiLabelJudgement) -> str:
    parts = ["Labels given though absent, beside labels that are there."]
    for row in judgement.top_additions(3):
        parts.append(
            f"{row.given} beside {row.beside}: {row.images} of {count_of(row.chances, 'image')}."
        )
    return " ".join(parts)
