"""How good the model is: confusion, classes, calibration.

Owns: the figures of a judgement. Does not own: the scores (``scoring``), the look
(``drawing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tfclassify.pages.class_bars import ClassBar, draw_class_bars
from tfclassify.pages.drawing import (
    ACCENT,
    ALERT,
    FAINT,
    GRID,
    INK,
    SECOND,
    SOFT,
    Drawing,
    finish_drawing,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.wording import format_score
from tfclassify.scoring.calibration import ReliabilityBin
from tfclassify.scoring.judgement import Calibration, ClassScore, Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.path import Path

#: Up to this many classes, cells hold their counts.
COUNTED_CLASSES = 24

#: Beyond this many classes, names no longer fit beside the matrix.
NAMED_CLASSES = 80


def draw_confusion(judgement: Judgement) -> Drawing:
    """Draw the confusion matrix, shaded by the share of each true class.

    A row is a true class, a column a predicted one. Counts stand in the cells while
    there are few enough classes to read them.
    """
    size = len(judgement.classes)
    side = min(9.0, max(2.6, 0.5 * size if size <= COUNTED_CLASSES else 0.17 * size))
    names = max((len(label(name)) for name in judgement.classes), default=0)
    margin = 0.45 + 0.075 * names * (1 if size <= NAMED_CLASSES else 0)
    with new_figure(min(10.0, side + margin), min(10.0, side + min(margin, 1.6))) as figure:
        axes = figure.add_subplot()
        _fill_cells(axes, judgement.confusion)
        _name_cells(axes, judgement.classes)
        return finish_drawing(figure, _describe_confusion(judgement))


def _fill_cells(axes: Axes, confusion: Sequence[Sequence[int]]) -> None:
    from matplotlib.patches import PathPatch

    size = len(confusion)
    is_counted = size <= COUNTED_CLASSES
    gap = 0.03 if is_counted else 0.0
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_aspect("equal")
    empty = []
    for true, row in enumerate(confusion):
        for predicted, count in enumerate(row):
            square = _make_square(predicted, true, gap)
            if not count:
                empty.append(square)
                continue
            share = count / sum(row)
            colour = ACCENT if true == predicted else ALERT
            # Even one image among many must be seen, hence the floor.
            alpha = 0.12 + 0.88 * share
            axes.add_patch(PathPatch(square, facecolor=colour, alpha=alpha, linewidth=0))
            if is_counted:
                _write_count(axes, true, predicted, count, share)
    if empty and is_counted:
        # All empty cells as one path: a hundred single ones would triple the figure.
        path = empty[0].make_compound_path(*empty)
        axes.add_patch(PathPatch(path, facecolor=GRID, alpha=0.45, linewidth=0))


def _make_square(column: int, row: int, gap: float) -> Path:
    from matplotlib.path import Path

    left, right = column - 0.5 + gap, column + 0.5 - gap
    top, bottom = row - 0.5 + gap, row + 0.5 - gap
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return Path(corners, closed=True)


def _write_count(axes: Axes, true: int, predicted: int, count: int, share: float) -> None:
    axes.text(
        predicted, true, str(count), ha="center", va="center",
        color="white" if share > 0.45 else INK,
        fontsize=8.5 if count < 1000 else 7,
        fontweight="bold" if true == predicted else "normal",
    )  # fmt: skip


def _name_cells(axes: Axes, classes: Sequence[str]) -> None:
    size = len(classes)
    for spine in axes.spines.values():
        spine.set_visible(size > COUNTED_CLASSES)
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    axes.set_ylabel("true class")
    axes.set_xlabel("predicted class")
    axes.xaxis.set_label_position("top")
    if size > NAMED_CLASSES:
        return
    names = [label(name) for name in classes]
    font = 8.5 if size <= COUNTED_CLASSES else max(5.0, 9.0 - 0.06 * size)
    is_short = max(len(name) for name in names) <= 4 and size <= COUNTED_CLASSES
    axes.set_xticks(
        range(size), names, fontsize=font, color=INK,
        rotation=0 if is_short else 45, ha="center" if is_short else "left",
        rotation_mode="default" if is_short else "anchor",
    )  # fmt: skip
    axes.set_yticks(range(size), names, fontsize=font, color=INK)


def _describe_confusion(judgement: Judgement) -> str:
    right = sum(row[number] for number, row in enumerate(judgement.confusion))
    parts = [
        f"Confusion matrix of {len(judgement.classes)} classes: {right} of {judgement.n} images "
        f"on the diagonal."
    ]
    for true, predicted, count in judgement.top_confusions(3):
        parts.append(f"{count} of {true} predicted as {predicted}.")
    return " ".join(parts)


def draw_class_recall(class_scores: Sequence[ClassScore]) -> Drawing:
    """Draw the recall of each class with its interval, the weakest class on top."""
    return draw_class_bars(
        [ClassBar(row.name, row.support, row.recall) for row in class_scores],
        metric="recall",
        title="Recall",
        axis="recall: share of the class's images that were found (images in brackets)",
        nothing="no class has images",
        in_percent=True,
    )


def draw_reliability(calibration: Calibration) -> Drawing:
    """Draw accuracy against confidence, and how many images have which confidence."""
    with new_figure(5.0, 4.6) as figure:
        grid = figure.add_gridspec(2, 1, height_ratios=[4.0, 1.0])
        axes = figure.add_subplot(grid[0])
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
        _draw_bins(axes, calibration.curve, ACCENT, "as trained")
        if calibration.curve_after and calibration.temperature is not None:
            named = f"at temperature {calibration.temperature:.2f}"
            _draw_bins(axes, calibration.curve_after, SECOND, named)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("accuracy")
        axes.tick_params(labelbottom=False)
        axes.legend(loc="upper left", handlelength=1.6)
        rule_grid(axes)
        _draw_bin_counts(figure.add_subplot(grid[1], sharex=axes), calibration.curve)
        return finish_drawing(figure, _describe_reliability(calibration))


def _draw_bins(axes: Axes, curve: Sequence[ReliabilityBin], colour: str, name: str) -> None:
    """Draw a curve whose dots grow with the number of images."""
    filled = [
        (row.confidence, row.accuracy, row.count)
        for row in curve
        if row.confidence is not None and row.accuracy is not None
    ]
    confidence, accuracy, counts = zip(*filled, strict=True)
    largest = max(counts)
    axes.plot(confidence, accuracy, color=colour, linewidth=1.0, alpha=0.5, zorder=3)
    axes.plot([], [], "o", color=colour, markersize=5, label=name)
    sizes = [9 + 70 * count / largest for count in counts]
    axes.scatter(confidence, accuracy, s=sizes, color=colour, linewidths=0, zorder=4, clip_on=False)


def _draw_bin_counts(axes: Axes, curve: Sequence[ReliabilityBin]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.bar(
        [(row.low + row.high) / 2 for row in curve], [row.count for row in curve],
        width=[0.86 * (row.high - row.low) for row in curve], color=SOFT, linewidth=0,
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2, integer=True))
    axes.set_ylabel("images")
    axes.set_xlabel("confidence: probability of the predicted class")
    rule_grid(axes)


def _describe_reliability(calibration: Calibration) -> str:
    images = sum(row.count for row in calibration.curve)
    text = f"Reliability diagram of {images} images: accuracy against confidence in 15 bins."
    if calibration.temperature is None:
        return text
    after = format_score("ece", calibration.ece_after)
    return f"{text} At temperature {calibration.temperature:.2f} the calibration error is {after}."
