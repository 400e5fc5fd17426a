"""The page of a comparison: scores, differences, and what each image costs.

Owns: the parts of the page. Does not own: the cells (``compare_tables``), the figures
(``dot_figures``), the frame (``page``).
"""

from __future__ import annotations

from tfclassify.pages.compare_content import CompareReport
from tfclassify.pages.compare_tables import (
    list_cost_columns,
    list_cost_rows,
    list_metric_rows,
    list_score_columns,
    list_score_rows,
)
from tfclassify.pages.dot_figures import (
    CostPoint,
    DotRow,
    draw_dots,
    draw_score_against_cost,
)
from tfclassify.pages.drawing import Drawing
from tfclassify.pages.markup import Markup, embed_drawing, join, make_table, tag
from tfclassify.pages.page import render_plain_page
from tfclassify.pages.sections import Section, make_repetition
from tfclassify.pages.wording import count_of


def render_compare_page(report: CompareReport) -> str:
    """Return the page of a comparison."""
    sections = [
        Section("scores", "Scores", make_score_part(report)),
        Section("differences", f"Against {report.reference}", make_difference_part(report)),
        Section("cost", "Score and cost", make_cost_part(report)),
        Section("metrics", "All metrics", _make_metrics(report)),
    ]
    if report.commands:
        sections.append(make_repetition(report.commands, ()))
    title = f"{count_of(len(report.contenders), 'model')} compared"
    lead = f"{report.title} on held-out images, and what it takes."
    return render_plain_page(title, report.created, lead, sections, report.version)


def draw_scores(report: CompareReport) -> Drawing | None:
    """Draw each model's score with its interval; the reference is set off."""
    rows = []
    for row in report.contenders:
        score = row.metrics[report.metric]
        is_marked = row.name == report.reference
        rows.append(DotRow(row.name, score.value, score.low, score.high, is_marked=is_marked))
    title = report.title
    return draw_dots(rows, title, f"{title} of {len(rows)} models with intervals.")


def draw_differences(report: CompareReport) -> Drawing | None:
    """Draw each model's difference from the reference with its interval."""
    rows = [
        DotRow(pair.name, pair.difference.value, pair.difference.low, pair.difference.high)
        for pair in report.pairs
        if pair.difference is not None
    ]
    title = f"{report.title} less that of {report.reference}"
    return draw_dots(rows, title, f"Differences from {report.reference}.", zero=True)


def draw_costs(report: CompareReport) -> Drawing | None:
    """Draw scores over the multiply-accumulates of an image."""
    points = []
    for row in report.contenders:
        score = row.metrics[report.metric]
        if row.image_macs and score.value is not None:
            is_marked = row.name == report.reference
            points.append(
                CostPoint(row.name, row.image_macs, score.value, score.low, score.high, is_marked)
            )
    title = report.title
    alt = f"{title} of {len(points)} models over the multiply-accumulates of one image."
    return draw_score_against_cost(points, title, alt)


def make_score_part(report: CompareReport) -> Markup:
    """Make the figure and the table of the scores, with the remarks."""
    figure = embed_drawing(
        draw_scores(report),
        "scores",
        "Lines are intervals. Where two overlap, the models can still differ: on the same "
        "images the difference below is the better guide.",
    )
    head = list_score_columns(report)[:4]
    rows = [row[:4] for row in list_score_rows(report)]
    table = make_table(_capitalise(head), rows, numeric=3, caption="Scores of the models")
    remarks = [tag("p", remark, class_="caution") for remark in report.remarks]
    return join([*remarks, figure, table])


def make_difference_part(report: CompareReport) -> Markup:
    """Make the figure and the table of the paired differences."""
    titles = list_score_columns(report)
    rows = [
        [cells[0], *cells[4:]] for cells in list_score_rows(report) if cells[0] != report.reference
    ]
    head = _capitalise([titles[0], *titles[4:]])
    table = make_table(head, rows, numeric=6, caption="Paired differences")
    better = "above" if report.is_higher_better else "below"
    note = (
        f"For an interval the same images are drawn for both models, so what is hard for both "
        f"cancels. A model is better where its whole interval lies {better} 0. McNemar's exact "
        f"test looks at images that only one of the two gets right ({report.right}); Holm's "
        f"column allows for the number of models tried."
    )
    figure = embed_drawing(
        draw_differences(report), "differences", "Beyond the line: a difference."
    )
    reasons = [
        tag("p", f"{pair.name}: not paired, {pair.reason}.", class_="caution")
        for pair in report.pairs
        if pair.reason
    ]
    return join([figure, table, *reasons, tag("p", note, class_="quiet")])


def make_cost_part(report: CompareReport) -> Markup:
    """Make the figure and the table of score against cost."""
    figure = embed_drawing(
        draw_costs(report),
        "costs",
        "To the left is cheaper, on a logarithmic axis. With several views of an image, all of "
        "them are counted.",
    )
    head, rows = list_cost_columns(report), list_cost_rows(report)
    table = make_table(_capitalise(head), rows, numeric=len(head) - 1, caption="Cost of the models")
    return join([figure, table])


def _make_metrics(report: CompareReport) -> Markup:
    head = ["Metric", *(row.name for row in report.contenders)]
    return make_table(
        head, list_metric_rows(report), numeric=len(head) - 1, caption="Every metric of each model"
    )


def _capitalise(titles: list[str]) -> list[str]:
    return [title if title.startswith("p ") else title[:1].upper() + title[1:] for title in titles]
