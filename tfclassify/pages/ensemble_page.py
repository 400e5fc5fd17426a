"""The page of an ensemble: its members, its scores, and what joining them gained.

Owns: what only such a page says. Does not own: the parts on scores (``scores``) and on the
comparison with its members (``compare_page``).
"""

from __future__ import annotations

from dataclasses import dataclass

from tfclassify.pages.compare_page import CompareReport, draw_compare_figures
from tfclassify.pages.data_page import DataPage, draw_data_figures
from tfclassify.pages.drawing import Figures
from tfclassify.pages.rendering import render_page
from tfclassify.pages.run_page import SCORE_WORDS
from tfclassify.pages.score_figures import draw_score_figures
from tfclassify.pages.scores import Judged
from tfclassify.pages.tables import Table
from tfclassify.pages.wording import format_count, format_size


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


@dataclass(frozen=True, kw_only=True)
class EnsembleReport(DataPage):
    """Everything that the page of an ensemble says.

    Attributes:
        name: Of the ensemble.
        run: Number of its run.
        metric: The metric that headlines.
        members: Its members.
        how: How the weights came about, in words.
        image_size: ``(height, width)`` that the ensemble takes.
        judged: The scores that headline; None where no image was held out.
        others: Scores on other held-out images.
        comparison: The ensemble against its members; None without held-out images.
    """

    name: str
    run: str
    metric: str
    members: tuple[MemberRow, ...]
    how: str
    image_size: tuple[int, int]
    judged: Judged | None
    others: tuple[Judged, ...]
    comparison: CompareReport | None

    @property
    def member_table(self) -> Table:
        """The members and their weights."""
        rows = [
            [
                row.name,
                row.backbone,
                format_size(row.image_size),
                format_count(row.parameters),
                f"{row.weight:.3f}" if row.weight else "left out",
            ]
            for row in self.members
        ]
        head = ["Run", "Backbone", "Image size", "Parameters", "Weight"]
        return Table("Members and their weights", head, rows, 3)

    @property
    def explanation(self) -> str:
        """How the weights came about, and at what size images are read."""
        if all(row.image_size == self.image_size for row in self.members):
            return self.how
        return (
            f"{self.how} Images are read at {format_size(self.image_size)}; the model shrinks "
            f"them for the members that take smaller ones."
        )


def draw_ensemble_figures(report: EnsembleReport) -> Figures:
    """Draw the figures of an ensemble that are kept as files."""
    figures = draw_data_figures(report.data)
    return figures if report.judged is None else figures | draw_score_figures(report.judged)


def render_ensemble_page(report: EnsembleReport, figures: Figures | None = None) -> str:
    """Return the page of an ensemble, ``report.html``.

    Args:
        report: What it says.
        figures: From ``draw_ensemble_figures``, where they are drawn already.
    """
    figures = draw_ensemble_figures(report) if figures is None else figures
    if report.comparison is not None:
        figures = figures | draw_compare_figures(report.comparison)
    return render_page("ensemble.html", page=report, figures=figures, **SCORE_WORDS)
