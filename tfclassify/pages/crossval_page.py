"""The page of a cross-validation: out-of-fold scores, and how they vary over the folds.

Owns: the parts that only such a page has. Does not own: the scores' parts
(``score_sections``), the frame (``page``).
"""

from __future__ import annotations

from tfclassify.pages.crossval_content import CrossvalReport, FoldRow, find_spreads
from tfclassify.pages.data_sections import make_data
from tfclassify.pages.dot_figures import DotRow, draw_dots
from tfclassify.pages.drawing import Drawing
from tfclassify.pages.figures import Figures, draw_data_figures, draw_verdict_figures
from tfclassify.pages.markup import Markup, embed_drawing, join, make_table, tag
from tfclassify.pages.page import judge_sections, render_plain_page
from tfclassify.pages.score_sections import make_headline, show_interval
from tfclassify.pages.sections import Section, make_integrity, make_repetition
from tfclassify.pages.wording import (
    count_of,
    format_count,
    format_score,
    format_seconds,
    title_of,
)


def draw_crossval_figures(report: CrossvalReport) -> Figures:
    """Draw the figures of a cross-validation."""
    figures = {
        **draw_data_figures(report.data),
        **draw_verdict_figures(report.verdict),
    }
    folds = _draw_folds(report)
    if folds is not None:
        figures["folds"] = folds
    return figures


def render_crossval_page(report: CrossvalReport, figures: Figures | None = None) -> str:
    """Return the page of a cross-validation, ``report.html``.

    Args:
        report: What it says.
        figures: From ``draw_crossval_figures``, where they are drawn already.
    """
    figures = draw_crossval_figures(report) if figures is None else figures
    headline = join(
        [make_headline(report.verdict, report.metric), tag("p", _warn(report), class_="caution")]
    )
    sections = [
        Section("folds", "The folds", _make_folds(report, figures)),
        *judge_sections(report.verdict, figures),
        make_data(report.data, figures),
        make_integrity(report.integrity),
        make_repetition(report.commands, report.environment, report.recipe_text),
    ]
    seconds = sum(row.seconds for row in report.rows)
    facts = f"{report.place} · {report.created} · {format_seconds(seconds)} of training"
    title = f"{report.name}: cross-validation in {report.folds} folds"
    return render_plain_page(
        title, facts, report.description, sections, report.version, headline=headline
    )


def _warn(report: CrossvalReport) -> str:
    """Say what the scores stand for, and what they do not."""
    times = "" if report.repeats == 1 else f", {report.repeats} times with other folds"
    words = (
        f"Each of the {count_of(report.images, 'image')} is judged by the model that did not train "
        f"on it{times}. The score is that of this recipe trained on "
        f"{100 * (report.folds - 1) / report.folds:.0f} % of the images, not of one model."
    )
    if report.repeats > 1:
        words += " The interval resamples images with all of their judgements together."
    if report.has_chosen:
        words += (
            " The images of a fold also chose its best epoch, so new images may score a little "
            "lower."
        )
    return words


def _list_bounded(report: CrossvalReport) -> list[str]:
    """Return the shown metrics that lie between 0 and 1."""
    return [name for name in report.shown if name != "loss"]


def _draw_folds(report: CrossvalReport) -> Drawing | None:
    spreads, metrics = find_spreads(report.rows), report.verdict.headline.metrics
    rows = [
        DotRow(
            title_of(name, report.verdict.headline.task),
            metrics[name].value,
            metrics[name].low,
            metrics[name].high,
            spreads[name].values,
        )
        for name in _list_bounded(report)
    ]
    alt = f"Scores of {len(report.rows)} folds as dots, out-of-fold scores with their intervals."
    return draw_dots(rows, "score", alt)


def _make_folds(report: CrossvalReport, figures: Figures) -> Markup:
    figure = embed_drawing(
        figures.get("folds"),
        "folds",
        "Dot and line: out of fold, with its interval. Grey dots: the single folds.",
    )
    shown = list(report.shown)
    titles = [title_of(name, report.verdict.headline.task) for name in shown]
    head = ["Fold", "Images", "Epochs", *titles, "Time"]
    rows = [_fold_cells(row, report, shown) for row in report.rows]
    table = make_table(head, rows, numeric=len(head) - 1, caption="Scores of each fold")
    note = tag(
        "p",
        "Mean ± standard deviation over the folds tells how much a score depends on which images "
        "are held out; it is no interval, since folds share what they train on.",
        class_="quiet",
    )
    return join([figure, table, tag("h3", "Over the folds"), _make_spreads(report), note])


def _fold_cells(row: FoldRow, report: CrossvalReport, shown: list[str]) -> list[str | Markup]:
    name = f"{row.repeat}.{row.fold}" if report.repeats > 1 else str(row.fold)
    return [
        tag("a", name, href=f"{row.path}/report.html"),
        format_count(row.images),
        format_count(row.epochs),
        *(format_score(metric, row.metrics.get(metric)) for metric in shown),
        format_seconds(row.seconds),
    ]


def _make_spreads(report: CrossvalReport) -> Markup:
    spreads, metrics = find_spreads(report.rows), report.verdict.headline.metrics
    rows = []
    for name in report.shown:
        spread = spreads[name]
        rows.append(
            [
                title_of(name, report.verdict.headline.task),
                show_interval(name, metrics[name]),
                format_score(name, spread.mean),
                format_score(name, spread.deviation),
                format_score(name, min(spread.values, default=None)),
                format_score(name, max(spread.values, default=None)),
            ]
        )
    head = ["Metric", "Out of fold", "Mean of folds", "± deviation", "Lowest", "Highest"]
    return make_table(head, rows, numeric=5, caption="Mean and deviation over the folds")
