"""The page of an ensemble: its members, its scores, and what joining them gained.

Owns: the part that only such a page has. Does not own: scores (``score_sections``),
comparison (``compare_page``), the frame (``page``).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfclassify.pages.compare_content import CompareReport
from tfclassify.pages.compare_page import make_difference_part, make_score_part
from tfclassify.pages.content import Command, DataSummary, Fact, Integrity, Verdict
from tfclassify.pages.data_sections import make_data
from tfclassify.pages.figures import Figures, draw_data_figures, draw_verdict_figures
from tfclassify.pages.markup import Markup, join, make_table, tag
from tfclassify.pages.page import judge_sections, render_plain_page
from tfclassify.pages.score_sections import make_headline
from tfclassify.pages.sections import Section, make_integrity, make_repetition
from tfclassify.pages.wording import format_count


@dataclass(frozen=True)
class MemberRow:
    """One member of an ensemble.

    Attributes:
        name: Its run.
        backbone: What it is built on.
        image_size: ``(height, width)`` that it takes.
        parameters: Numbers in its network.
        weight: Its share of the answer; 0 where it was left out.
    """

    name: str
    backbone: str
    image_size: tuple[int, int]
    parameters: int
    weight: float


@dataclass(frozen=True)
class EnsembleReport:
    """Everything that the page of an ensemble says.

    Attributes:
        name: Of the ensemble.
        run: Number of its run.
        metric: The metric that headlines.
        created: When it was made, in words.
        version: Version of tfclassify.
        members: Its members.
        how: How the weights came about, in words.
        image_size: ``(height, width)`` that the ensemble takes.
        verdict: The scores that headline; None where no image was held out.
        others: Scores on other held-out images.
        comparison: The ensemble against its members; None without held-out images.
        data: The images.
        integrity: What was found when they were checked.
        environment: Facts about the machine and the software.
        commands: How to repeat and use it.
        recipe_text: What it is used by.
    """

    name: str
    run: str
    metric: str
    created: str
    version: str
    members: tuple[MemberRow, ...]
    how: str
    image_size: tuple[int, int]
    verdict: Verdict | None
    others: tuple[Verdict, ...]
    comparison: CompareReport | None
    data: DataSummary
    integrity: Integrity
    environment: tuple[Fact, ...] = ()
    commands: tuple[Command, ...] = ()
    recipe_text: str = ""


def draw_ensemble_figures(report: EnsembleReport) -> Figures:
    """Draw the figures of an ensemble that are kept as files."""
    figures = draw_data_figures(report.data)
    return figures if report.verdict is None else figures | draw_verdict_figures(report.verdict)


def render_ensemble_page(report: EnsembleReport, figures: Figures | None = None) -> str:
    """Return the page of an ensemble, ``report.html``.

    Args:
        report: What it says.
        figures: From ``draw_ensemble_figures``, where they are drawn already.
    """
    figures = draw_ensemble_figures(report) if figures is None else figures
    sections = [Section("members", "The members", _make_members(report))]
    if report.comparison is not None:
        sections += [
            Section("gain", "Ensemble and members", make_score_part(report.comparison)),
            Section("differences", "Members against it", make_difference_part(report.comparison)),
        ]
    headline = tag("p", "No image was held out by every member, so there is no score.")
    if report.verdict is not None:
        headline = make_headline(report.verdict, report.metric)
        sections += judge_sections(report.verdict, figures, report.others)
    sections += [
        make_data(report.data, figures),
        make_integrity(report.integrity),
        make_repetition(report.commands, report.environment, report.recipe_text),
    ]
    facts, lead = f"Run {report.run} · {report.created}", "Several models, averaged in one."
    return render_plain_page(report.name, facts, lead, sections, report.version, headline=headline)


def _make_members(report: EnsembleReport) -> Markup:
    rows = [
        [
            row.name,
            row.backbone,
            f"{row.image_size[0]}x{row.image_size[1]}",
            format_count(row.parameters),
            f"{row.weight:.3f}" if row.weight else "left out",
        ]
        for row in report.members
    ]
    head = ["Run", "Backbone", "Image size", "Parameters", "Weight"]
    table = make_table(head, rows, numeric=3, caption="Members and their weights")
    words = report.how
    if any(row.image_size != report.image_size for row in report.members):
        height, width = report.image_size
        words += (
            f" Images are read at {height}x{width}; the model shrinks them for the members that "
            "take smaller ones."
        )
    return join([table, tag("p", words, class_="quiet")])
