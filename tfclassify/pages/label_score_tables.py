"""How a model did, as plain text for terminals: label sets above all.

Owns: the tables of classes and of labels too many, and which tables a task has. Does not
own: alignment and the tables of images with one label (``tables``).
"""

from __future__ import annotations

from tfclassify.pages.tables import (
    Column,
    render_table,
    tabulate_classes,
    tabulate_confusions,
)
from tfclassify.pages.wording import format_count, format_range, format_score
from tfclassify.scoring.multi_label_judgement import MultiLabelJudgement
from tfclassify.scoring.verdicts import AnyJudgement


def tabulate_verdict(judgement: AnyJudgement) -> list[str]:
    """Write the classes and the most frequent mistakes of either task, a text each."""
    if isinstance(judgement, MultiLabelJudgement):
        return [tabulate_label_classes(judgement), tabulate_additions(judgement)]
    return [tabulate_classes(judgement), tabulate_confusions(judgement)]


def tabulate_label_classes(judgement: MultiLabelJudgement) -> str:
    """Write average precision, with its interval, and precision, recall and F1 of each class."""
    columns = [Column("class", longest=32)]
    columns += [
        Column(title, "right")
        for title in (
            "images",
            "given to",
            "threshold",
            "AP",
            "interval",
            "precision",
            "recall",
            "F1",
        )
    ]
    rows = [
        [
            row.name,
            format_count(row.support),
            format_count(row.predicted),
            f"{row.threshold:.3f}",
            format_score("map", row.ap.value),
            format_range("map", row.ap),
            format_score("precision", row.precision.value),
            format_score("recall", row.recall.value),
            format_score("f1", row.f1.value),
        ]
        for row in judgement.class_scores
    ]
    return render_table(columns, rows)


def tabulate_additions(judgement: MultiLabelJudgement, limit: int = 5) -> str:
    """Write the most frequent labels too many; one sentence if there are none."""
    found = judgement.top_additions(limit)
    if not found:
        return "No image with labels of its own was given one too many."
    columns = [
        Column("given though absent", longest=32),
        Column("beside", longest=32),
        Column("images", "right"),
        Column("of", "right"),
    ]
    rows = [
        [row.given, row.beside, format_count(row.images), format_count(row.chances)]
        for row in found
    ]
    return render_table(columns, rows)
