"""How much each member of an ensemble should count.

Owns: the weights that make the averaged probabilities most likely, and a fair score of
such a search. Does not own: the members' probabilities (``inference``).

The averaged probability of a label is a mixture, ``sum of w_m p_m``. Its log likelihood on
held-out images is concave in the weights, so there is one best answer. Expectation
maximisation climbs to it, and every step knows how far the top can still be:

    w_m <- w_m g_m,   g_m = mean over labels of p_m / (sum of w_k p_k),   gap <= max g_m - 1
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import ScoringError
from tfclassify.scoring.intervals import deal_parts
from tfclassify.scoring.metrics import SMALLEST_PROBABILITY
from tfclassify.scoring.outcome import FloatArray
from tfclassify.scoring.tasks import Task

#: How far, in nats a label, the likelihood found may lie below the best.
TOLERANCE = 1e-6
_MOST_STEPS = 5000


def find_likelihoods(
    members: NDArray[np.floating], targets: NDArray[np.floating], task: Task
) -> FloatArray:
    """Return what each member gave to what is true.

    Args:
        members: Probabilities, ``(members, n, classes)``.
        targets: One-hot or multi-hot, ``(n, classes)``.
        task: What is true of an image: one class, or each class by itself.

    Returns:
        ``(n, members, labels)``: one label an image, the probability of its class; or one
        a class, the probability that it is there or that it is not.

    Raises:
        ScoringError: If the shapes do not fit, or there is no image.
    """
    if members.ndim != 3 or members.shape[1:] != targets.shape or not targets.size:
        raise ScoringError(
            f"ensemble: the members' probabilities must have the shape (members, images, "
            f"classes) over the targets {targets.shape}, got {members.shape}"
        )
    images_first = np.swapaxes(members.astype(np.float64), 0, 1)
    there = targets[:, None, :].astype(np.float64)
    return np.maximum(task.find_likelihoods(there, images_first), SMALLEST_PROBABILITY)


def search_weights(likelihoods: FloatArray) -> FloatArray:
    """Find the weights under which the averaged probabilities are most likely.

    Args:
        likelihoods: From ``find_likelihoods``, ``(n, members, labels)``.

    Returns:
        ``(members,)``, 0 or more, summing to 1; within ``TOLERANCE`` of the best.
    """
    members = likelihoods.shape[1]
    rows = np.swapaxes(likelihoods, 1, 2).reshape(-1, members)
    weights = np.full(members, 1.0 / members)
    for _ in range(_MOST_STEPS):
        gains = (rows / (rows @ weights)[:, None]).mean(axis=0)
        if gains.max() - 1.0 <= TOLERANCE:
            break
        weights = weights * gains
    return np.asarray(weights / weights.sum())


def mix(members: NDArray[np.floating], weights: FloatArray) -> FloatArray:
    """Return the weighted mean of ``(members, n, classes)`` as ``(n, classes)``."""
    return np.tensordot(weights, members.astype(np.float64), axes=1)


def cross_fit(
    members: NDArray[np.floating],
    likelihoods: FloatArray,
    *,
    seed: int,
    groups: Sequence[object] | None = None,
) -> FloatArray:
    """Average each image's probabilities by weights that were found without it.

    Weights that were searched on an image flatter the score on it; see ``deal_parts``.

    Args:
        members: Probabilities, ``(members, n, classes)``.
        likelihoods: From ``find_likelihoods``.
        seed: Deals the parts.
        groups: Group of each image; an empty string stands for an image on its own.

    Returns:
        ``(n, classes)``.

    Raises:
        ScoringError: If there are not two images, or groups, to deal.
    """
    parts = deal_parts(len(likelihoods), seed=seed, groups=groups)
    if not parts.any():
        raise ScoringError(
            "ensemble: weights that are searched need 2 images or groups at least, got 1; "
            "give the weights, or --weights equal"
        )
    mixed = np.zeros(members.shape[1:])
    for part in np.unique(parts):
        is_in = parts == part
        mixed[is_in] = mix(members[:, is_in], search_weights(likelihoods[~is_in]))
    return mixed
