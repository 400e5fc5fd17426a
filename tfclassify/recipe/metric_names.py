"""The names that a metric may have in a recipe.

Owns: the plain list, so that a misspelt name is answered without NumPy.
Does not own: the formulas (``scoring.metrics``, tested to hold exactly these).
"""

from __future__ import annotations

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
