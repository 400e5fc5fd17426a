"""The names that a metric may have in a recipe.

Owns: the plain list, so that a misspelt name is answered without NumPy.
Does not own: the formulas (``scoring.metrics``, tested to hold exactly these).
"""

from __future__ import annotations

#: Of task multi_class.
METRIC_NAMES = (
    "loss",
    "accuracy",
    "top_2",
    "top_3",
    "top_5",
    "balanced_accuracy",
    "precision_macro",
    "precision_weighted",
    "recall_macro",
    "recall_weighted",
    "f1_macro",
    "f1_weighted",
    "roc_auc",
    "ece",
    "brier",
)

#: Of task multi_label.
MULTI_LABEL_METRIC_NAMES = (
    "loss",
    "map",
    "iou",
    "f1_samples",
    "f1_macro",
    "f1_micro",
    "f1_weighted",
    "precision_macro",
    "precision_micro",
    "recall_macro",
    "recall_micro",
    "roc_auc",
    "hamming",
    "exact_match",
)


def list_metric_names(task: str) -> tuple[str, ...]:
    """Return the names that metrics may have under a recipe's ``task``."""
    return MULTI_LABEL_METRIC_NAMES if task == "multi_label" else METRIC_NAMES
