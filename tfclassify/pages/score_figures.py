"""The figures of a judgement: classes, confusion, calibration, labels.

Owns: what each shows. Does not own: the scores (``scoring``), how bars and matrices look
(``charts``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfclassify.pages.charts import (
    DotRow,
    MatrixCell,
    draw_columns,
    draw_matrix,
    draw_score_bars,
)
from tfclassify.pages.drawing import (
    ACCENT,
    ALERT,
    FAINT,
    SECOND,
    SOFT,
    Drawing,
    Figures,
    finish_drawing,
    keep_drawn,
    label,
    new_figure,
    rule_grid,
)
from tfclassify.pages.scores import Judged, average_labels
from tfclassify.pages.wording import count_of, format_score
from tfclassify.scoring.calibration import ReliabilityBin
from tfclassify.scoring.judgement import Calibration, ClassJudgement, ClassScore, LabelJudgement
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Rows and columns of the figure of labels too many: those it happened to most.
SHOWN_LABELS = 16

#: Classes in the confusion matrix; of more, those that were confused most often.
SHOWN_CLASSES = 300

#: Labels an image from which on images are counted together.
MANY_LABELS = 12


def draw_score_figures(judged: Judged | None) -> Figures:
    """Draw the figures of a verdict; those without anything to show are left out."""
    if judged is None:
        return {}
    return _DRAW[judged.headline.task](judged.headline, judged.verdict.plain)


def _draw_labels(judgement: LabelJudgement, plain: LabelJudgement) -> Figures:
    return keep_drawn(
        class_ap=draw_class_scores(judgement.class_scores, "ap"),
        label_counts=draw_label_counts(judgement),
        additions=draw_additions(judgement),
    )


def _draw_classes(judgement: ClassJudgement, plain: ClassJudgement) -> Figures:
    return keep_drawn(
        class_recall=draw_class_scores(judgement.class_scores, "recall"),
        confusion_matrix=draw_confusion(judgement),
        # The temperature was fitted on plain views, so it is shown on them.
        reliability=draw_reliability(plain.calibration),
    )


_DRAW: Mapping[str, Callable[[Any, Any], Figures]] = {
    MULTI_CLASS: _draw_classes,
    MULTI_LABEL: _draw_labels,
}


#: Score of a class: name of the metric for its form, title, axis, what no class has.
_BARS = {
    "recall": ("recall", "Recall", "recall (images of the class in brackets)", "images"),
    "ap": ("map", "Average precision", "average precision (images with the label)", "images"),
}


def draw_class_scores(class_scores: Sequence[ClassScore], score: str) -> Drawing:
    """Draw a score of each class with its interval, the weakest class on top.

    Args:
        class_scores: One a class.
        score: ``recall`` or ``ap``.
    """
    metric, title, axis, _ = _BARS[score]
    rows = []
    for each in class_scores:
        interval = getattr(each, score)
        name = f"{label(each.name)}  ({each.support})"
        rows.append((each.name, DotRow(name, interval.value, interval.low, interval.high)))
    scored = sorted((row.value, name) for name, row in rows if row.value is not None)
    alt = f"{title} of each class: no class has images."
    if scored:
        (least, weakest), (most, strongest) = scored[0], scored[-1]
        alt = (
            f"{title} of {count_of(len(scored), 'class', 'classes')}, from "
            f"{format_score(metric, least)} ({weakest}) to {format_score(metric, most)} "
            f"({strongest})."
        )
    in_percent = format_score(metric, 0.0).endswith("%")
    return draw_score_bars([row for _, row in rows], axis, alt, "no images", in_percent=in_percent)


def draw_confusion(judgement: ClassJudgement) -> Drawing:
    """Draw the confusion matrix, shaded by the share of each true class.

    A row is a true class, a column a predicted one. Of more than ``SHOWN_CLASSES`` those are
    shown that most misclassified images are of, or were taken for.
    """
    totals, wrong = np.zeros((2, len(judgement.classes)), dtype=np.int64)
    for true, predicted, images in judgement.confusion:
        totals[true] += images
        if true != predicted:
            wrong[[true, predicted]] += images
    shown = np.sort(np.argsort(-wrong, kind="stable")[:SHOWN_CLASSES]).tolist()
    places = {number: place for place, number in enumerate(shown)}
    cells = {
        (places[true], places[predicted]): MatrixCell(
            images / totals[true], str(images), ACCENT if true == predicted else ALERT
        )
        for true, predicted, images in judgement.confusion
        if true in places and predicted in places
    }
    of_all = f"{len(judgement.classes)} classes"
    if len(shown) < len(judgement.classes):
        of_all = f"the {len(shown)} most often confused of {of_all}"
    parts = [
        f"Confusion matrix of {of_all}: {judgement.n - judgement.wrong} of {judgement.n} images "
        f"right."
    ]
    for name, taken_for, count in judgement.top_confusions(3):
        parts.append(f"{count} of {name} predicted as {taken_for}.")
    names = [judgement.classes[number] for number in shown]
    return draw_matrix((names, names), cells, ("true class", "predicted class"), " ".join(parts))


def draw_label_counts(judgement: LabelJudgement) -> Drawing:
    """Draw how many images have so many labels, and were given so many."""
    pairs = np.array(judgement.label_counts, dtype=np.int64)
    if len(pairs) > MANY_LABELS + 1:
        pairs = np.concatenate([pairs[:MANY_LABELS], [pairs[MANY_LABELS:].sum(axis=0)]])
    names = [str(size) for size in range(len(pairs))]
    if len(judgement.label_counts) > len(pairs):
        names[-1] += "+"
    own, given = (average_labels(judgement, column) for column in (0, 1))
    alt = f"An image has {own:.2f} labels on average and was given {given:.2f}."
    series = {"own labels": pairs[:, 0].tolist(), "given": pairs[:, 1].tolist()}
    return draw_columns(names, series, "labels of an image", alt)


def draw_additions(judgement: LabelJudgement) -> Drawing | None:
    """Draw which labels are given though absent, beside which that are there.

    A row is a label that is there, a column one that is not; the shade is the share of the
    images with the first and without the second that were given it. Shown are the rows and
    the columns to which that happened most.

    Returns:
        The drawing, or None if no image with a label was given one too many.
    """
    beside, given = np.zeros((2, len(judgement.classes)), dtype=np.int64)
    for there, absent, images, _ in judgement.added:
        beside[there] += images
        given[absent] += images
    rows, columns = _pick_most(beside), _pick_most(given)
    if not rows:
        return None
    cells = {
        (rows.index(there), columns.index(absent)): MatrixCell(images / chances, str(images), ALERT)
        for there, absent, images, chances in judgement.added
        if there in rows and absent in columns
    }
    parts = ["Labels given though absent, beside labels that are there."]
    for most in judgement.top_additions(3):
        parts.append(
            f"{most.given} beside {most.beside}: {most.images} of "
            f"{count_of(most.chances, 'image')}."
        )
    names = tuple([judgement.classes[number] for number in shown] for shown in (rows, columns))
    titles = ("label that is there", "label given though absent")
    return draw_matrix((names[0], names[1]), cells, titles, " ".join(parts))


def _pick_most(totals: np.ndarray) -> list[int]:
    """Return the classes of the largest totals, none of 0, the largest first."""
    order = np.argsort(-totals, kind="stable")[:SHOWN_LABELS]
    return [int(number) for number in order if totals[number]]


def draw_reliability(calibration: Calibration) -> Drawing:
    """Draw accuracy against confidence, and how many images have which confidence."""
    images = sum(row.count for row in calibration.curve)
    alt = f"Reliability diagram of {images} images: accuracy against confidence in 15 bins."
    with new_figure(4.6, 4.4) as figure:
        grid = figure.add_gridspec(2, 1, height_ratios=[4.0, 1.0])
        axes = figure.add_subplot(grid[0])
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0, linestyle=(0, (4, 3)))
        _draw_bins(axes, calibration.curve, ACCENT, "as trained")
        if calibration.curve_after and calibration.temperature is not None:
            named = f"at temperature {calibration.temperature:.2f}"
            _draw_bins(axes, calibration.curve_after, SECOND, named)
            after = format_score("ece", calibration.ece_after)
            alt += f" {named.capitalize()} the calibration error is {after}."
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.set_ylabel("accuracy")
        axes.tick_params(labelbottom=False)
        axes.legend(loc="upper left", handlelength=1.6)
        rule_grid(axes)
        _draw_bin_counts(figure.add_subplot(grid[1], sharex=axes), calibration.curve)
        return finish_drawing(figure, alt)


def _draw_bins(axes: Axes, curve: Sequence[ReliabilityBin], colour: str, name: str) -> None:
    """Draw a curve whose dots grow with the number of images."""
    filled = [
        (row.confidence, row.accuracy, row.count)
        for row in curve
        if row.confidence is not None and row.accuracy is not None
    ]
    confidence, accuracy, counts = zip(*filled, strict=True)
    axes.plot(confidence, accuracy, color=colour, linewidth=1.0, alpha=0.5, zorder=3)
    axes.plot([], [], "o", color=colour, markersize=5, label=name)
    sizes = [9 + 70 * count / max(counts) for count in counts]
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
