"""A comparison of runs in rows and cells, for a terminal and for a page.

Owns: the columns and the words of the cells. Does not own: alignment (``tables``), the
page (``compare_page``).
"""

from __future__ import annotations

from collections.abc import Sequence

from tfclassify.pages.compare_content import CompareReport, ContenderRow, PairRow
from tfclassify.pages.profile_tables import format_large, format_ms
from tfclassify.pages.tables import Column, render_table
from tfclassify.pages.wording import (
    ABSENT,
    format_count,
    format_range,
    format_score,
    format_seconds,
    title_of,
)
from tfclassify.scoring.intervals import Interval


def render_comparison(report: CompareReport) -> str:
    """Write a comparison as text for a terminal."""
    parts = [
        render_scores(report),
        _render(list_cost_columns(report), list_cost_rows(report)),
        "\n".join(f"note: {remark}" for remark in report.remarks),
    ]
    return "\n\n".join(part for part in parts if part)


def render_scores(report: CompareReport) -> str:
    """Write the scores and their differences from the reference as text."""
    table = _render(list_score_columns(report), list_score_rows(report))
    return f"{report.title}, against {report.reference}\n\n{table}"


def _render(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    columns = [Column(titles[0], longest=48), *(Column(title, "right") for title in titles[1:])]
    return render_table(columns, rows)


def list_score_columns(report: CompareReport) -> list[str]:
    """Return the titles of the table of scores and differences."""
    return [
        *("run", report.title, "interval", "images", "difference", "its interval"),
        *("only it right", "only reference right", "p (McNemar)", "p (Holm)"),
    ]


def list_score_rows(report: CompareReport) -> list[list[str]]:
    """Return the cells of the table of scores and differences."""
    pairs = {pair.name: pair for pair in report.pairs}
    rows = []
    for row in report.contenders:
        score = row.metrics[report.metric]
        cells = [row.name, format_score(report.metric, score.value)]
        cells += [format_range(report.metric, score), format_count(row.images)]
        rows.append(cells + _pair_cells(report.metric, pairs.get(row.name)))
    return rows


def _pair_cells(metric: str, pair: PairRow | None) -> list[str]:
    if pair is None or pair.difference is None:
        return ["reference" if pair is None else "not paired", *[ABSENT] * 5]
    return [
        format_difference(metric, pair.difference.value),
        format_difference_range(metric, pair.difference),
        _count(pair.only_name),
        _count(pair.only_reference),
        format_p(pair.p_value),
        format_p(pair.p_adjusted),
    ]


def _count(number: int | None) -> str:
    return ABSENT if number is None else format_count(number)


def format_difference(metric: str, value: float | None) -> str:
    """Write a difference of two scores with its sign, such as ``+1.3 points`` of per cent."""
    if value is None:
        return ABSENT
    text = format_score(metric, abs(value)).replace(" %", " points")
    # A difference that rounds to nothing has no sign.
    is_nothing = not any(digit in text for digit in "123456789")
    return text if is_nothing else f"{'+' if value > 0 else '-'}{text}"


def format_difference_range(metric: str, interval: Interval) -> str:
    """Write both ends of a difference with their signs; a dash if there are none."""
    if interval.low is None or interval.high is None:
        return ABSENT
    low = format_difference(metric, interval.low).removesuffix(" points")
    return f"{low} to {format_difference(metric, interval.high)}"


def format_p(value: float | None) -> str:
    """Write a p-value, such as ``0.031`` or ``< 0.001``."""
    if value is None:
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def list_cost_columns(report: CompareReport) -> list[str]:
    """Return the titles of the table of costs."""
    titles = ["run", report.title, "views", "MACs an image", "MACs a view", "parameters"]
    titles += ["ms a view"] if _is_timed(report) else []
    return [*titles, "trained for"]


def list_cost_rows(report: CompareReport) -> list[list[str]]:
    """Return the cells of the table of costs."""
    return [_cost_cells(report, row) for row in report.contenders]


def _cost_cells(report: CompareReport, row: ContenderRow) -> list[str]:
    seconds = row.training_seconds
    return [
        row.name,
        format_score(report.metric, row.metrics[report.metric].value),
        format_count(row.views),
        ABSENT if row.image_macs is None else format_large(row.image_macs),
        ABSENT if row.macs is None else format_large(row.macs),
        ABSENT if row.params is None else format_count(row.params),
        *([format_ms(row.latency_ms)] if _is_timed(report) else []),
        ABSENT if seconds is None else format_seconds(seconds),
    ]


def _is_timed(report: CompareReport) -> bool:
    return any(row.latency_ms is not None for row in report.contenders)


def list_metric_rows(report: CompareReport) -> list[list[str]]:
    """Return one row a metric: its title, and each model's value with its interval."""
    rows = []
    for name in report.shown:
        cells = [title_of(name, report.task)]
        for row in report.contenders:
            score = row.metrics[name]
            ends = format_range(name, score)
            value = format_score(name, score.value)
            cells.append(value if ends == ABSENT else f"{value} ({ends})")
        rows.append(cells)
    return rows
