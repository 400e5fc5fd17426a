"""The page of a cross-validation: out-of-fold scores, and how they vary over the folds.

Owns: what it says, the spread over folds, its tables and its figure. Does not own: the parts
on scores (``scores``), training and judging the folds (``workflows``).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfclassify.pages.charts import DotRow, draw_dots
from tfclassify.pages.data_page import DataPage, draw_data_figures
from tfclassify.pages.drawing import Figures, keep_drawn
from tfclassify.pages.rendering import render_page
from tfclassify.pages.run_page import SCORE_WORDS
from tfclassify.pages.score_figures import draw_score_figures
from tfclassify.pages.scores import Judged
from tfclassify.pages.tables import Cell, Row, Table, show_interval
from tfclassify.pages.wording import (
    count_of,
    format_count,
    format_score,
    format_seconds,
    title_of,
)


@dataclass(frozen=True)
class FoldRow:
    """One fold, as its own run judged it.

    Attributes:
        repeat: Deal of the images, from 1.
        fold: Number within the deal, from 1.
        path: The fold's run, relative to the cross-validation's folder.
        images: Images that it was validated on.
        metrics: Every metric of its validation images; None where it has no value.
        epochs: Epochs trained.
        seconds: Time that they took.
    """

    repeat: int
    fold: int
    path: str
    images: int
    metrics: Mapping[str, float | None]
    epochs: int
    seconds: float


@dataclass(frozen=True)
class FoldSpread:
    """How a metric varies over the folds.

    Attributes:
        mean: Mean of the folds' values; None if none has one.
        deviation: Standard deviation (with ``n - 1``) of the values; None below two.
        values: The folds' values, those without one left out.
    """

    mean: float | None
    deviation: float | None
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class CrossvalReport(DataPage):
    """Everything that the page of a cross-validation says.

    Attributes:
        name: The recipe's name.
        place: Name of the folder, such as ``cv-001``.
        description: The recipe's one line; may be empty.
        metric: The metric that headlines.
        shown: Metrics of the table and the figure, the headline's first.
        folds: Parts that the images were dealt into.
        repeats: How many times they were dealt.
        images: Images that were judged.
        rows: The folds, in their order.
        judged: Every image by the model that did not train on it.
    """

    name: str
    place: str
    description: str
    metric: str
    shown: tuple[str, ...]
    folds: int
    repeats: int
    images: int
    rows: tuple[FoldRow, ...]
    judged: Judged

    @property
    def seconds(self) -> float:
        """Time of all epochs of all folds."""
        return sum(row.seconds for row in self.rows)

    @property
    def caution(self) -> str:
        """What the scores stand for, and what they do not."""
        times = "" if self.repeats == 1 else f", {self.repeats} times with other folds"
        words = (
            f"Each of the {count_of(self.images, 'image')} is judged by the model that did not "
            f"train on it{times}. The score is that of this recipe trained on "
            f"{100 * (self.folds - 1) / self.folds:.0f} % of the images, not of one model."
        )
        if self.repeats > 1:
            words += " The interval resamples images with all of their judgements together."
        return words

    @property
    def fold_table(self) -> Table:
        """How each fold fared."""
        return tabulate_folds(self.rows, self.shown, self.task)

    @property
    def task(self) -> str:
        """The task of the recipe."""
        return self.judged.headline.task

    @property
    def spread_table(self) -> Table:
        """Mean and deviation over the folds."""
        spreads, metrics = find_spreads(self.rows), self.judged.headline.metrics
        rows: list[Row] = []
        for name in self.shown:
            spread = spreads[name]
            ends = (min(spread.values, default=None), max(spread.values, default=None))
            shown = (spread.mean, spread.deviation, *ends)
            rows.append(
                [
                    title_of(name, self.task),
                    show_interval(name, metrics[name]),
                    *(format_score(name, value) for value in shown),
                ]
            )
        head = ["Metric", "Out of fold", "Mean of folds", "± deviation", "Lowest", "Highest"]
        return Table("Mean and deviation over the folds", head, rows, 5)


def find_spreads(rows: Sequence[FoldRow]) -> dict[str, FoldSpread]:
    """Return mean and deviation over the folds of every metric.

    The deviation tells how much a score depends on which images are held out. It is no
    interval of the mean: the folds share most of what they trained on.
    """
    names = rows[0].metrics if rows else ()
    return {name: _spread([row.metrics.get(name) for row in rows]) for name in names}


def _spread(given: Sequence[float | None]) -> FoldSpread:
    values = tuple(value for value in given if value is not None)
    mean = statistics.fmean(values) if values else None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return FoldSpread(mean, deviation, values)


def tabulate_folds(rows: Sequence[FoldRow], shown: Sequence[str], task: str) -> Table:
    """Tell how each fold fared, with a link to its own page.

    Args:
        rows: The folds.
        shown: Metrics, a column each.
        task: Of the recipe.
    """
    is_repeated = any(row.repeat > 1 for row in rows)
    cells: list[Row] = [
        [
            Cell(
                f"{row.repeat}.{row.fold}" if is_repeated else str(row.fold),
                link=f"{row.path}/report.html",
            ),
            format_count(row.images),
            format_count(row.epochs),
            *(format_score(name, row.metrics.get(name)) for name in shown),
            format_seconds(row.seconds),
        ]
        for row in rows
    ]
    head = ["Fold", "Images", "Epochs", *(title_of(name, task) for name in shown), "Trained for"]
    return Table("Scores of each fold", head, cells, len(head) - 1)


def draw_crossval_figures(report: CrossvalReport) -> Figures:
    """Draw the figures of a cross-validation."""
    spreads, metrics = find_spreads(report.rows), report.judged.headline.metrics
    rows = [
        DotRow(
            title_of(name, report.task),
            metrics[name].value,
            metrics[name].low,
            metrics[name].high,
            spreads[name].values,
        )
        for name in report.shown
        if name != "loss"  # it is not bounded by 1
    ]
    alt = f"Scores of {len(report.rows)} folds as dots, out-of-fold scores with their intervals."
    return (
        draw_data_figures(report.data)
        | draw_score_figures(report.judged)
        | keep_drawn(folds=draw_dots(rows, "score", alt))
    )


def render_crossval_page(report: CrossvalReport, figures: Figures | None = None) -> str:
    """Return the page of a cross-validation, ``report.html``.

    Args:
        report: What it says.
        figures: From ``draw_crossval_figures``, where they are drawn already.
    """
    figures = draw_crossval_figures(report) if figures is None else figures
    return render_page("crossval.html", page=report, figures=figures, **SCORE_WORDS)
