"""From which probability on a label is given, and how to judge that fairly.

Owns: the search for thresholds on held-out images, one for all classes or one a class,
and the cross-fitting that judges each image by thresholds it had no part in.
Does not own: the rule that compares (``outcome``), where thresholds are
stored (``model.bundle``).

Both searches are exact: the score is followed over every distinct probability, and the
threshold lies in the middle between the last probability that gives a label and the next
one below. Of several thresholds that are equally good the one nearest to a given centre
is taken, so that nothing is made of chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.errors import ScoringError
from tfclassify.scoring.intervals import deal_parts
from tfclassify.scoring.outcome import DEFAULT_THRESHOLD, BoolArray, FloatArray, LabelOutcome

#: Fewer images of a class than this say nothing of its own threshold: the common one holds.
LEAST_POSITIVES = 5

KINDS = ("one", "per_class")


@dataclass(frozen=True)
class FittedThresholds:
    """Thresholds from held-out images.

    Attributes:
        stored: From all images, ``(C,)``: what new images are labelled by.
        crossed: ``(n, C)``: for each image those that were found without it, for judging
            these very images.
    """

    stored: FloatArray
    crossed: FloatArray


def fit_thresholds(
    targets: ArrayLike,
    probabilities: ArrayLike,
    kind: Literal["one", "per_class"] | float,
    *,
    seed: int,
    groups: Sequence[object] | None = None,
) -> FittedThresholds:
    """Find the thresholds to store, and those to judge the same images by.

    Args:
        targets: Multi-hot labels, ``(n, C)``, of images that were not trained on.
        probabilities: ``(n, C)`` from 0 to 1.
        kind: ``one``, ``per_class``, or a number, which is taken as it is.
        seed: Decides the parts of cross-fitting.
        groups: Group of each image; a group is never on both sides.

    Raises:
        ScoringError: If the arrays do not fit together, or ``kind`` is none of these.
    """
    outcome = LabelOutcome(targets, probabilities)
    if isinstance(kind, (int, float)):
        fixed = LabelOutcome(targets, probabilities, kind).thresholds
        return FittedThresholds(fixed[0].copy(), fixed)
    return FittedThresholds(
        search_thresholds(targets, probabilities, kind),
        cross_fit_thresholds(
            outcome.targets, outcome.probabilities, kind, seed=seed, groups=groups
        ),
    )


def search_thresholds(targets: ArrayLike, probabilities: ArrayLike, kind: str) -> FloatArray:
    """Find the thresholds that maximise F1 on labelled images.

    - ``one``: the same for all classes, with the greatest mean over images of F1
      (``f1_samples``).
    - ``per_class``: for each class the greatest F1 of that class. A class with fewer than
      5 images of its own takes the common threshold: its F1 is right or wrong by one image.

    Args:
        targets: Multi-hot labels, ``(n, C)``.
        probabilities: ``(n, C)`` from 0 to 1.
        kind: ``one`` or ``per_class``.

    Returns:
        Thresholds, ``(C,)``, each exactly a float32, since models compute in it.

    Raises:
        ScoringError: If the arrays do not fit together, or ``kind`` is neither.
    """
    if kind not in KINDS:
        raise ScoringError(f"thresholds: must be a number or one of {KINDS}, got {kind!r}")
    outcome = LabelOutcome(targets, probabilities)
    # As models and readers see them; the middle between two of these lies between them.
    scores = outcome.probabilities.astype(np.float32).astype(np.float64)
    common = _search_common(outcome.targets, scores)
    found = np.full(outcome.class_count, common)
    if kind == "per_class":
        for number in range(outcome.class_count):
            if outcome.targets[:, number].sum() >= LEAST_POSITIVES:
                column = outcome.targets[:, number], scores[:, number]
                found[number] = _search_class(*column, centre=common)
    return found


def cross_fit_thresholds(
    targets: ArrayLike,
    probabilities: ArrayLike,
    kind: str,
    *,
    seed: int,
    groups: Sequence[object] | None = None,
) -> FloatArray:
    """Find for each image the thresholds that the other images ask for.

    A score under thresholds that were tuned on the very images it is measured on is too
    good. So the images are cut into 5 parts at random, groups kept whole, and each part
    gets the thresholds that were found on the other four.

    Args:
        targets: Multi-hot labels, ``(n, C)``.
        probabilities: ``(n, C)`` from 0 to 1.
        kind: ``one`` or ``per_class``.
        seed: Decides the parts.
        groups: Group of each image, ``n`` of them; an empty string or None stands for an
            image on its own.

    Returns:
        Thresholds, ``(n, C)``. Where all images are of one group there are no others to
        ask, and they are 0.5.

    Raises:
        ScoringError: If the arrays do not fit together, or ``kind`` is neither.
    """
    outcome = LabelOutcome(targets, probabilities)
    parts = deal_parts(outcome.images, seed=seed, groups=groups)
    crossed = np.full(outcome.probabilities.shape, DEFAULT_THRESHOLD)
    for part in np.unique(parts):
        is_inside = parts == part
        if not is_inside.all():
            others = outcome.targets[~is_inside], outcome.probabilities[~is_inside]
            crossed[is_inside] = search_thresholds(*others, kind)
    return crossed


def _search_common(targets: BoolArray, scores: FloatArray) -> float:
    """Return the threshold with the greatest mean F1 of the images.

    Giving an image its ``k`` most probable labels, ``h`` of them right, it scores
    ``2 h / (s + k)``. Each cell, taken from the most probable on, moves one image from
    ``k - 1`` labels to ``k``; the sum of these moves is the score under each threshold.
    """
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.cumsum(np.take_along_axis(targets, order, axis=1), axis=1)
    support = targets.sum(axis=1, keepdims=True)
    given = np.arange(1, targets.shape[1] + 1)
    f1 = 2.0 * hits / (support + given)
    none_given = (support == 0).astype(np.float64)
    moves = np.diff(f1, axis=1, prepend=none_given)
    own = np.take_along_axis(scores, order, axis=1).ravel()
    return _pick(own, moves.ravel(), float(none_given.sum()), centre=DEFAULT_THRESHOLD)


def _search_class(targets: BoolArray, scores: FloatArray, centre: float) -> float:
    """Return the threshold with the greatest F1 of one class that has images."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(targets[order])
    f1 = 2.0 * hits / (targets.sum() + np.arange(1, len(scores) + 1))
    return _pick(scores[order], np.diff(f1, prepend=0.0), 0.0, centre=centre)


def _pick(scores: FloatArray, moves: FloatArray, start: float, centre: float) -> float:
    """Return the best threshold, when reaching each score moves the total.

    Args:
        scores: ``(m,)``, in any order.
        moves: What lowering the threshold to each score adds to the total, ``(m,)``; moves
            at the same score happen together.
        start: The total with the threshold above all scores.
        centre: Where to prefer thresholds that are equally good.
    """
    levels, level = np.unique(-scores, return_inverse=True)
    falling = -levels
    totals = start + np.concatenate([[0.0], np.cumsum(np.bincount(level, weights=moves))])
    uppers, lowers = np.concatenate([[1.0], falling]), np.concatenate([falling, [0.0]])
    middles = ((uppers + lowers) / 2.0).astype(np.float32).astype(np.float64)
    # Between neighbours in single precision, or above a score of 1, there is no room.
    is_possible = middles > lowers
    is_possible[-1] = True
    # A hair of tolerance: sums in another order may differ in their last bits.
    is_best = is_possible & (totals >= totals[is_possible].max() - 1e-9)
    best = np.flatnonzero(is_best)
    return float(middles[best[np.argmin(np.abs(middles[best] - centre))]])
