"""Class weights: what an error on each class costs.

Owns: turning a recipe's ``class_weights`` into numbers. Does not own: how they meet
labels. Under ``multi_class`` they weigh images (``pipeline.stream``: the expectation under
the soft label), under ``multi_label`` the presence of a class (``losses``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfclassify.errors import TrainingError
from tfclassify.recipe.wording import find_nearest
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL

#: Limit of a balanced weight of ``multi_label``, and of its inverse.
LARGEST_RATIO = 100.0


def resolve_class_weights(
    wanted: str | Mapping[str, float],
    targets: np.ndarray,
    classes: Sequence[str],
    task: str = MULTI_CLASS,
) -> np.ndarray | None:
    """Give each class its weight.

    Under ``multi_class``, ``balanced`` is ``n / (classes * n_of_class)``: every class then
    weighs the same in total, and the mean weight of an image is 1.

    Under ``multi_label`` it is ``n_without / n_with``: the images that have a class weigh
    as much in total as those that have not. It stays within 1 / 100 and 100, so that a
    class of next to no images does not drown the others, and is 1 for a class that no
    training image has.

    Classes left out of a mapping weigh 1.

    Args:
        wanted: ``none``, ``balanced``, or class name to weight.
        targets: Training labels, ``(n, classes)`` of 0 and 1.
        classes: Class names in id order.
        task: ``multi_class`` or ``multi_label``.

    Returns:
        ``(classes,)`` float32, or None where every class weighs 1.

    Raises:
        TrainingError: If a name is not a class, or under ``multi_class`` a class has no
            training image.

    Reference:
        King and Zeng 2001, "Logistic regression in rare events data", section 4.2.
    """
    if wanted == "none":
        return None
    if isinstance(wanted, Mapping):
        return _named_weights(wanted, classes)
    counts = targets.sum(axis=0, dtype=np.int64)
    if task == MULTI_LABEL:
        ratios = (len(targets) - counts) / np.maximum(counts, 1)
        limited = np.clip(ratios, 1.0 / LARGEST_RATIO, LARGEST_RATIO)
        return np.where(counts > 0, limited, 1.0).astype(np.float32)
    if (counts == 0).any():
        name = classes[int(np.argmin(counts))]
        raise TrainingError(
            f"class_weights: balanced weights need a training image of every class, and "
            f"{name!r} has none; drop the label or give it images"
        )
    return (len(targets) / (len(classes) * counts)).astype(np.float32)


def _named_weights(wanted: Mapping[str, float], classes: Sequence[str]) -> np.ndarray:
    for name in wanted:
        if name not in classes:
            near = find_nearest(name, classes)
            hint = f"; did you mean {near!r}?" if near else f"; classes: {', '.join(classes)}"
            raise TrainingError(f"class_weights: {name!r} is not a class{hint}")
    return np.array([wanted.get(name, 1.0) for name in classes], dtype=np.float32)
