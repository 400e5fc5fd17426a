"""Coefficients of agreement, each under many weightings of the images at once.

Owns: the formulas. Does not own: which answers they are asked about, and the resamples that
make intervals of them (``agreement``).

Each is a function of weights ``(r, n)``, how often a resample holds each image, and returns
``(r,)``; NaN where it has no value, since all answers are one and chance alone would agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from tfclassify.labelling.ratings import Ratings

Floats = NDArray[np.float64]
#: A number under each of ``r`` weightings of the images.
Coefficient = Callable[[Floats], Floats]


def count_values(ratings: Ratings) -> sparse.csr_array:
    """Count who said what of each image, ``(n, k)``."""
    rows, columns = np.nonzero(ratings.is_answered)
    codes = ratings.codes[rows, columns]
    shape = (len(ratings.images), len(ratings.values))
    ones = np.ones(len(rows))
    return sparse.csr_array(sparse.coo_array((ones, (rows, codes)), shape=shape))


def measure_disagreement(ratings: Ratings) -> Floats:
    """Measure how far apart any two answers of each image are in the mean, ``(n,)``, 0 to 1.

    An image with fewer than two answers has 0.
    """
    values = count_values(ratings)
    answers = ratings.counts.astype(np.float64)
    pairs = answers * (answers - 1)
    if ratings.distances is None:
        apart = answers**2 - np.asarray(values.multiply(values).sum(axis=1))
    else:
        apart = np.asarray(values.multiply(values @ ratings.distances).sum(axis=1))
    return np.divide(apart, pairs, out=np.zeros_like(pairs), where=pairs > 0)


def raw_agreement(ratings: Ratings) -> Coefficient:
    """How alike two answers of one image are: the mean over images with two or more."""
    alike = np.where(ratings.counts > 1, 1.0 - measure_disagreement(ratings), 0.0)
    is_shared = (ratings.counts > 1).astype(np.float64)
    return lambda weights: _divide(weights @ alike, weights @ is_shared)


def krippendorff_alpha(ratings: Ratings) -> Coefficient:
    """Krippendorff's alpha: 1 less the disagreement seen by that of chance.

        alpha = 1 - D_seen / D_chance

    An image of ``a`` answers weighs as ``a`` of them, and one with a single answer says
    nothing. Chance draws two of all answers without putting the first back.

    Reference:
        Krippendorff 2011, Computing Krippendorff's Alpha-Reliability.
    """
    answers = np.where(ratings.counts > 1, ratings.counts, 0).astype(np.float64)
    seen = measure_disagreement(ratings) * answers
    values = sparse.csr_array(count_values(ratings).multiply((answers > 0)[:, None]))

    def compute(weights: Floats) -> Floats:
        total = weights @ answers
        each = weights @ values
        if ratings.distances is None:
            apart = total**2 - (each**2).sum(axis=1)
        else:
            apart = ((each @ ratings.distances) * each).sum(axis=1)
        return 1.0 - _divide((weights @ seen) * (total - 1), apart)

    return compute


def fleiss_kappa(ratings: Ratings, answers: int) -> Coefficient:
    """Fleiss' kappa on the images that have exactly so many answers, whoever gave them.

        kappa = (P - P_chance) / (1 - P_chance),  P_chance = sum of squared shares

    Reference:
        Fleiss 1971, Measuring nominal scale agreement among many raters.
    """
    is_used = (ratings.counts == answers).astype(np.float64)
    values = sparse.csr_array(count_values(ratings).multiply(is_used[:, None]))
    squares = np.asarray(values.multiply(values).sum(axis=1))
    alike = is_used * (squares - answers) / (answers * (answers - 1))

    def compute(weights: Floats) -> Floats:
        images = weights @ is_used
        shares = _divide(weights @ values, (images * answers)[:, None])
        chance = (shares**2).sum(axis=1)
        return _divide(_divide(weights @ alike, images) - chance, 1.0 - chance)

    return compute


def cohen_kappa(first: NDArray[np.int64], second: NDArray[np.int64], values: int) -> Coefficient:
    """Cohen's kappa of two labellers on the images that both answered.

    Chance draws one answer of each.

    Args:
        first: Codes of one labeller, ``(n,)``, -1 where there is no answer.
        second: Those of the other.
        values: Number of codes, ``k``.

    Reference:
        Cohen 1960, A coefficient of agreement for nominal scales.
    """
    rows = np.flatnonzero((first >= 0) & (second >= 0))
    shape, ones = (len(rows), values), np.ones(len(rows))
    own, other = (
        sparse.csr_array(sparse.coo_array((ones, (range(len(rows)), codes[rows])), shape=shape))
        for codes in (first, second)
    )
    alike = (first[rows] == second[rows]).astype(np.float64)

    def compute(weights: Floats) -> Floats:
        weights = weights[:, rows]
        images = weights.sum(axis=1)
        chance = _divide(((weights @ own) * (weights @ other)).sum(axis=1), images**2)
        return _divide(_divide(weights @ alike, images) - chance, 1.0 - chance)

    return compute


def class_agreement(ratings: Ratings) -> Coefficient:
    """Chance that a second answer names a class, given that a first one does.

    Args:
        ratings: Of one class, from ``Ratings.of_class``.

    Reference:
        Fleiss 1981, Statistical methods for rates and proportions: specific agreement.
    """
    answers = np.where(ratings.counts > 1, ratings.counts, 0).astype(np.float64)
    named = ((ratings.codes == 1).sum(axis=1) * (answers > 0)).astype(np.float64)
    others = np.maximum(answers - 1, 1)
    again = named * (named - 1) / others
    return lambda weights: _divide(weights @ again, weights @ named)


def confuse(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count what one labeller said by what another said of the same images.

    Returns:
        ``(cells, 3)``: code of the first, code of the second, images; those that occur.
    """
    both = (first >= 0) & (second >= 0)
    cells, counts = np.unique(np.stack([first[both], second[both]]), axis=1, return_counts=True)
    return np.concatenate([cells, counts[None, :]]).T


def _divide(part: Floats, whole: Floats) -> Floats:
    """Divide; NaN where there is no whole."""
    whole = np.broadcast_to(whole, part.shape)
    # Differences that should be 0 may keep a last bit.
    is_there = np.abs(whole) > 1e-12
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=is_there)
