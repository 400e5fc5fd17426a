"""The figures of a report by name, for its page and for the run's ``figures`` folder.

Owns: which figures a report has. Does not own: how each is drawn
(``training_figures``, ``score_figures``, ``data_figures``, ``label_set_figures``,
``label_score_figures``).
"""

from __future__ import annotations

from pathlib import Path

from tfclassify.files import write_text
from tfclassify.pages.content import (
    DataSummary,
    EvaluationReport,
    InspectReport,
    RunReport,
    Verdict,
)
from tfclassify.pages.data_figures import draw_class_histogram, draw_image_sizes
from tfclassify.pages.drawing import Drawing
from tfclassify.pages.label_score_figures import (
    draw_additions,
    draw_class_ap,
    draw_label_counts,
)
from tfclassify.pages.label_set_figures import draw_co_occurrence, draw_labels_per_image
from tfclassify.pages.score_figures import draw_class_recall, draw_confusion, draw_reliability
from tfclassify.pages.training_figures import draw_learning_curves
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement

#: Name, as in ``figures/<name>.svg``, and drawing.
Figures = dict[str, Drawing]


def draw_run_figures(report: RunReport) -> Figures:
    """Draw the figures of a run; those without anything to show are left out."""
    figures = draw_data_figures(report.data)
    curves = draw_learning_curves(report.phases, report.metric)
    if curves is not None:
        figures["learning_curves"] = curves
    if report.verdict is not None:
        figures |= draw_verdict_figures(report.verdict)
    return figures


def draw_evaluation_figures(report: EvaluationReport) -> Figures:
    """Draw the figures of an evaluation."""
    return {
        **draw_data_figures(report.data),
        **draw_verdict_figures(report.verdict),
    }


def draw_data_figures(data: DataSummary) -> Figures:
    """Draw the figures of a set of images; those without anything to show are left out."""
    figures = {"class_histogram": draw_class_histogram(data)}
    if data.label_sets is not None:
        figures["labels_per_image"] = draw_labels_per_image(data.label_sets)
        together = draw_co_occurrence(data.label_sets)
        if together is not None:
            figures["co_occurrence"] = together
    return figures


def draw_inspect_figures(report: InspectReport) -> Figures:
    """Draw the figures of a data source; those without anything to show are left out."""
    figures = draw_data_figures(report.data)
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
    save_figures(figures, folder)
    return figures


def save_figures(figures: Figures, folder: Path) -> None:
    """Write each figure as ``<name>.svg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawing in figures.items():
        write_text(folder / f"{name}.svg", drawing.svg)


def draw_verdict_figures(verdict: Verdict) -> Figures:
    """Draw the figures of a judgement; those without anything to show are left out."""
    judgement, plain = verdict.headline, verdict.judgement
    if isinstance(judgement, MultiLabelJudgement):
        figures = {
            "class_ap": draw_class_ap(judgement.class_scores),
            "label_counts": draw_label_counts(judgement),
        }
        additions = draw_additions(judgement)
        return figures if additions is None else {**figures, "additions": additions}
    figures = {
        "class_recall": draw_class_recall(judgement.class_scores),
        "confusion_matrix": draw_confusion(judgement),
    }
    if not isinstance(plain, MultiLabelJudgement):
        # The temperature was fitted on plain views, so it is shown on them.
        figures["reliability"] = draw_reliability(plain.calibration)
    return figures
