"""The figures of a report by name, for its page and for the run's ``figures`` folder.

Owns: which figures a report has. Does not own: how each is drawn
(``training_figures``, ``score_figures``, ``data_figures``).
"""

from __future__ import annotations

from pathlib import Path

from tfclassify.files import write_text
from tfclassify.report.content import EvaluationReport, InspectReport, RunReport, Verdict
from tfclassify.report.data_figures import draw_class_histogram, draw_image_sizes
from tfclassify.report.drawing import Drawing
from tfclassify.report.score_figures import draw_class_recall, draw_confusion, draw_reliability
from tfclassify.report.training_figures import draw_learning_curves

#: Name, as in ``figures/<name>.svg``, and drawing.
Figures = dict[str, Drawing]


def draw_run_figures(report: RunReport) -> Figures:
    """Draw the figures of a run; those without anything to show are left out."""
    figures = {"class_histogram": draw_class_histogram(report.data)}
    curves = draw_learning_curves(report.phases, report.metric)
    if curves is not None:
        figures["learning_curves"] = curves
    if report.verdict is not None:
        figures |= _draw_verdict(report.verdict)
    return figures


def draw_evaluation_figures(report: EvaluationReport) -> Figures:
    """Draw the figures of an evaluation."""
    return {
        "class_histogram": draw_class_histogram(report.data),
        **_draw_verdict(report.verdict),
    }


def draw_inspect_figures(report: InspectReport) -> Figures:
    """Draw the figures of a data source; those without anything to show are left out."""
    figures = {"class_histogram": draw_class_histogram(report.data)}
    sizes = draw_image_sizes(report.sizes)
    if sizes is not None:
        figures["image_sizes"] = sizes
    return figures


def write_figures(report: RunReport, folder: Path) -> Figures:
    """Draw the figures of a run and write each as ``<name>.svg``.

    Returns:
        The figures, for ``render_page``, which need not draw them again then.
    """
    figures = draw_run_figures(report)
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in figures.items():
        write_text(folder / f"{name}.svg", drawing.svg)
    return figures


def _draw_verdict(verdict: Verdict) -> Figures:
    return {
        "class_recall": draw_class_recall(verdict.headline.class_scores),
        "confusion_matrix": draw_confusion(verdict.headline),
        # The temperature was fitted on plain views, so it is shown on them.
        "reliability": draw_reliability(verdict.judgement.calibration),
    }
