"""Targets and probabilities: their checks, the ranking, the counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from tests.builders import make_outcome
from tfclassify.errors import ScoringError
from tfclassify.scoring.outcome import Outcome, Weighting


@pytest.mark.parametrize(
    ("targets", "probabilities", "message"),
    [
        ([0], [0.5, 0.5], r"shape \(images, classes\) with 2 classes or more, got \(2,\)"),
        ([0], [[1.0]], r"2 classes or more, got \(1, 1\)"),
        ([], np.zeros((0, 3)), r"there are no images to score"),
        ([0, 0], [[0.5, 0.5], [np.nan, 0.5]], r"row 1 holds NaN or infinity, got \[nan, 0.5\]"),
        ([0], [[2.0, 3.0]], r"row 0 must be 0 or more and sum to 1, got the sum 5; apply softmax"),
        ([0], [[-0.5, 1.5]], r"row 0 must be 0 or more"),
        ([0, 1], [[0.5, 0.5]], r"one class id an image, shape \(1,\), got \(2,\)"),
        ([0.0], [[0.5, 0.5]], r"must be integer class ids, got float64"),
        ([2], [[0.5, 0.5]], r"row 0 must be from 0 to 1, got 2; leave unlabelled images out"),
        ([-1], [[0.5, 0.5]], r"row 0 must be from 0 to 1, got -1"),
    ],
)
def test_what_does_not_fit_is_refused(targets, probabilities, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        Outcome(np.array(targets, dtype=None if targets else np.int64), probabilities)


def test_half_precision_rows_are_taken() -> None:
    probabilities = np.full((1, 3), 1 / 3, dtype=np.float16)
    assert Outcome([0], probabilities).images == 1


def test_ties_go_to_the_lower_class_id() -> None:
    outcome = Outcome([0, 1, 2], [[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.4, 0.2, 0.4]])
    assert outcome.predicted.tolist() == [0, 0, 0]
    assert outcome.true_rank.tolist() == [0, 1, 1]
    assert outcome.correct.tolist() == [True, False, False]


def test_ranks_agree_with_a_stable_sort() -> None:
    targets, probabilities = make_outcome(seed=0, images=80, classes=9)
    ranking = np.argsort(-probabilities, axis=1, kind="stable")
    expected = [row.tolist().index(t) for row, t in zip(ranking, targets, strict=True)]
    assert Outcome(targets, probabilities).true_rank.tolist() == expected


def test_counts_of_a_weighting_are_those_of_repeated_images() -> None:
    targets, probabilities = make_outcome(seed=1, images=30, classes=4)
    weights = np.random.default_rng(2).integers(0, 4, size=(5, 30)).astype(float)
    weighting = Weighting(Outcome(targets, probabilities), weights)
    for row, times in enumerate(weights.astype(int)):
        repeated = np.repeat(np.arange(30), times)
        matrix = confusion_matrix(
            targets[repeated], probabilities.argmax(1)[repeated], labels=range(4)
        )
        counts = weighting.class_counts
        assert counts.hits[row].tolist() == np.diag(matrix).tolist()
        assert counts.support[row].tolist() == matrix.sum(1).tolist()
        assert counts.predicted[row].tolist() == matrix.sum(0).tolist()
        assert weighting.total[row] == repeated.size
