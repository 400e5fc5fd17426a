"""Class weights: what an error on each class costs.

Owns: turning a recipe's ``class_weights`` into numbers. Does not own: how they
meet soft labels (``pipeline.stream``: the expectation under the label).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np

from tfclassify.errors import TrainingError


def resolve_class_weights(
    wanted: str | Mapping[str, float], class_ids: np.ndarray, classes: Sequence[str]
) -> np.ndarray | None:
    """Give each class its weight.

    ``balanced`` is ``n / (classes * n_of_class)``: every class then weighs the
    same in total, and the mean weight of an image is 1. Classes left out of a
    mapping weigh 1.

    Args:
        wanted: ``none``, ``balanced``, or class name to weight.
        class_ids: Training labels, ``(n,)`` int.
        classes: Class names in id order.

    Returns:
        ``(classes,)`` float32, or None where every class weighs 1.

    Raises:
        TrainingError: If a name is not a class, or a class has no training image.

    Reference:
        King and Zeng 2001, "Logistic regression in rare events data", section 4.2.
    """
    if wanted == "none":
        return None
    if isinstance(wanted, Mapping):
        return _named_weights(wanted, classes)
    counts = np.bincount(class_ids, minlength=len(classes))
    if (counts == 0).any():
        name = classes[int(np.argmin(counts))]
        raise TrainingError(
            f"class_weights: balanced weights need a training image of every class, and "
            f"{name!r} has none; drop the label or give it images"
        )
    return (len(class_ids) / (len(classes) * counts)).astype(np.float32)


def _named_weights(wanted: Mapping[str, float], classes: Sequence[str]) -> np.ndarray:
    for name in wanted:
        if name not in classes:
            near = difflib.get_close_matches(name, classes, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; classes: {', '.join(classes)}"
            raise TrainingError(f"class_weights: {name!r} is not a class{hint}")
    return np.array([wanted.get(name, 1.0) for name in classes], dtype=np.float32)
