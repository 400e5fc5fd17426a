"""The page of a comparison: scores, differences from a reference, and what an image costs.

Owns: what it says, its tables and figures; the same tables for a terminal. Does not own:
reading and pairing the models (``judging``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from tfclassify.pages.charts import CostPoint, DotRow, draw_dots, draw_score_against_cost
from tfclassify.pages.drawing import Figures, keep_drawn
from tfclassify.pages.rendering import Page, render_page
from tfclassify.pages.tables import Cell, Row, Table, show_interval
from tfclassify.pages.wording import (
    ABSENT,
    format_count,
    format_difference,
    format_difference_range,
    format_large,
    format_ms,
    format_p,
    format_score,
    format_seconds,
    title_of,
)
from tfclassify.scoring.intervals import Interval


@dataclass(frozen=True)
class ContenderRow:
    """One of the models that are compared.

    Attributes:
        name: What it is called, such as ``plants/001``.
        path: Its run, or its cross-validation.
        judged_on: The split whose images it was judged on.
        metrics: Every metric with its interval, as the run itself reported it.
        images: Judgements that they rest on.
        groups: Independent groups of images, or None.
        views: Views of an image that are averaged.
        training_seconds: Time of all epochs; None if unknown.
        params: Numbers in the network; None where it was not profiled.
        macs: Multiply-accumulates of one view; None where it was not profiled.
        latency_ms: Median time of one view at batch 1; None if not measured.
    """

    name: str
    path: str
    judged_on: str
    metrics: Mapping[str, Interval]
    images: int
    groups: int | None
    views: int
    training_seconds: float | None = None
    params: int | None = None
    macs: int | None = None
    latency_ms: float | None = None

    @property
    def image_macs(self) -> int | None:
        """Multiply-accumulates for one image: of all its views."""
        return None if self.macs is None else self.macs * self.views


@dataclass(frozen=True)
class PairRow:
    """One model against the reference, on the images that both were judged on.

    Attributes:
        name: The model.
        reference: What it is set against.
        images: Images in common.
        difference: Its score less the reference's, with its interval; None if the two
            could not be paired.
        only_reference: Images that only the reference gets right.
        only_name: Images that only this model gets right.
        p_value: McNemar's exact test of the two counts.
        p_adjusted: The same, adjusted by Holm for the number of models.
        reason: Why the two could not be paired; empty where they were.
    """

    name: str
    reference: str
    images: int
    difference: Interval | None = None
    only_reference: int | None = None
    only_name: int | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class CompareReport(Page):
    """Everything that a comparison says.

    Attributes:
        task: Of all models.
        metric: The score that is compared.
        shown: Metrics of the table of all scores.
        is_higher_better: Whether a larger score is a better one.
        right: What makes an image right for McNemar, in words.
        reference: Name of the model that the others are set against.
        contenders: The models, in the order given.
        pairs: Each of the others against the reference.
        remarks: What a reader should know.
    """

    task: str
    metric: str
    shown: tuple[str, ...]
    is_higher_better: bool
    right: str
    reference: str
    contenders: tuple[ContenderRow, ...]
    pairs: tuple[PairRow, ...]
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the score is called."""
        return title_of(self.metric, self.task)

    @property
    def score_table(self) -> Table:
        """Each model's score."""
        rows: list[Row] = [
            [row.name, show_interval(self.metric, row.metrics[self.metric]), str(row.images)]
            for row in self.contenders
        ]
        return Table("Scores of the models", ["Model", self.title, "Images"], rows, 2)

    @property
    def difference_table(self) -> Table:
        """Each of the others against the reference."""
        rows = [[pair.name, *self._list_pair(pair)] for pair in self.pairs]
        head = ["Model", "Difference", "Only it right", "Only reference right"]
        head += ["p (McNemar)", "p (Holm)"]
        return Table(f"Differences from {self.reference}", head, rows, 5)

    def _list_pair(self, pair: PairRow) -> list[str | Cell]:
        if pair.difference is None:
            return ["not paired", *[ABSENT] * 4]
        ends = format_difference_range(self.metric, pair.difference).removesuffix(" points")
        return [
            Cell(
                format_difference(self.metric, pair.difference.value),
                "" if ends == ABSENT else ends,
            ),
            *(
                ABSENT if number is None else format_count(number)
                for number in (pair.only_name, pair.only_reference)
            ),
            format_p(pair.p_value),
            format_p(pair.p_adjusted),
        ]

    @property
    def cost_table(self) -> Table:
        """What an image costs each model."""
        is_timed = any(row.latency_ms is not None for row in self.contenders)
        head = ["Model", self.title, "Views", "MACs per image", "MACs per view", "Parameters"]
        head += [*(["ms per view"] if is_timed else []), "Trained for"]
        rows: list[Row] = []
        for row in self.contenders:
            times = [format_ms(row.latency_ms)] if is_timed else []
            rows.append(
                [
                    row.name,
                    format_score(self.metric, row.metrics[self.metric].value),
                    format_count(row.views),
                    ABSENT if row.image_macs is None else format_large(row.image_macs),
                    ABSENT if row.macs is None else format_large(row.macs),
                    ABSENT if row.params is None else format_count(row.params),
                    *times,
                    ABSENT
                    if row.training_seconds is None
                    else format_seconds(row.training_seconds),
                ]
            )
        return Table("Cost of the models", head, rows, len(head) - 1)

    @property
    def metric_table(self) -> Table:
        """Every metric of each model."""
        rows: list[Row] = [
            [
                title_of(name, self.task),
                *(show_interval(name, row.metrics[name]) for row in self.contenders),
            ]
            for name in self.shown
        ]
        head = ["Metric", *(row.name for row in self.contenders)]
        return Table("Every metric of each model", head, rows, len(head) - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        contenders = [
            {
                **{key: value for key, value in vars(row).items() if key != "metrics"},
                "image_macs": row.image_macs,
                "metrics": {name: each.to_dict() for name, each in row.metrics.items()},
            }
            for row in self.contenders
        ]
        return {
            "task": self.task,
            "metric": self.metric,
            "reference": self.reference,
            "contenders": contenders,
            "pairs": [asdict(pair) for pair in self.pairs],
            "remarks": list(self.remarks),
        }


def describe_scores(report: CompareReport) -> str:
    """Write the scores and their differences from the reference for a terminal."""
    parts = [report.score_table.to_text()]
    if report.pairs:
        parts += [f"Against {report.reference}:", report.difference_table.to_text()]
    return "\n\n".join(parts)


def describe_comparison(report: CompareReport) -> str:
    """Write a comparison for a terminal."""
    remarks = "\n".join(f"note: {remark}" for remark in report.remarks)
    parts = [describe_scores(report), report.cost_table.to_text(), remarks]
    return "\n\n".join(part for part in parts if part)


def draw_compare_figures(report: CompareReport) -> Figures:
    """Draw scores, differences and costs; those without anything to show are left out."""
    title, reference = report.title, report.reference
    say = partial(format_score, report.metric)
    points_of = ", points of per cent" if say(0.0).endswith("%") else ""
    rows, points = [], []
    for each in report.contenders:
        score, is_marked = each.metrics[report.metric], each.name == reference
        row = DotRow(each.name, score.value, score.low, score.high, is_marked=is_marked)
        rows.append(row)
        if each.image_macs and score.value is not None:
            points.append(CostPoint(row, each.image_macs))
    differences = [
        DotRow(pair.name, pair.difference.value, pair.difference.low, pair.difference.high)
        for pair in report.pairs
        if pair.difference is not None
    ]
    return keep_drawn(
        scores=draw_dots(rows, title, f"{title} of {len(rows)} models with intervals.", say=say),
        differences=draw_dots(
            differences,
            f"{title} minus that of {reference}{points_of}",
            f"Differences of {title} from {reference} with intervals.",
            zero=True,
            say=lambda value: format_difference(report.metric, value).removesuffix(" points"),
        ),
        costs=draw_score_against_cost(
            points, title, f"{title} of {len(points)} models over the MACs of one image.", say
        ),
    )


def render_compare_page(report: CompareReport) -> str:
    """Return the page of a comparison."""
    return render_page("compare.html", page=report, figures=draw_compare_figures(report))
