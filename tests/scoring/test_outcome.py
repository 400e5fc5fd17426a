"""What is checked, ranked and counted before anything is scored, of either task."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.metrics import confusion_matrix

from tests.builders import make_label_outcome, make_outcome
from tfclassify.errors import ScoringError
from tfclassify.scoring.outcome import LabelOutcome, Outcome, Weighting, apply_thresholds


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


@pytest.mark.parametrize(
    ("targets", "probabilities", "thresholds", "message"),
    [
        ([0, 1], [0.5, 0.5], None, r"shape \(images, classes\), got \(2,\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), None, r"there are no images to score"),
        ([[0, 1]], [[0.5, np.nan]], None, r"row 0 must be from 0 to 1, got \[0.5, nan\]"),
        ([[0, 1]], [[-3.0, 2.0]], None, r"row 0 must be .* apply the sigmoid to logits"),
        ([[0], [1]], [[0.5, 0.5]], None, r"probabilities' shape \(1, 2\), got \(2, 1\)"),
        ([[0.0, 0.3]], [[0.5, 0.5]], None, r"row 0 must hold only 0 and 1, got \[0.0, 0.3\]"),
        ([[0, 1]], [[0.5, 0.5]], [0.1, 0.2, 0.3], r"one a class \(2,\) .*, got the shape \(3,\)"),
        ([[0, 1]], [[0.5, 0.5]], 1.5, r"thresholds: must be from 0 to 1, got 1.5"),
        ([[0, 1]], [[0.5, 0.5]], [0.5, np.nan], r"thresholds: must be from 0 to 1"),
    ],
)
def test_label_sets_that_do_not_fit_are_refused(
    targets, probabilities, thresholds, message
) -> None:
    with pytest.raises(ScoringError, match=message):
        LabelOutcome(targets, probabilities, thresholds)


def test_a_probability_at_the_threshold_gives_the_label() -> None:
    outcome = LabelOutcome([[1, 0], [0, 0]], [[0.5, 0.49], [0.2, 0.9]])
    assert outcome.is_predicted.tolist() == [[True, False], [False, True]]
    assert LabelOutcome([[1, 0]], [[0.3, 0.3]], [0.3, 0.31]).is_predicted.tolist() == [
        [True, False]
    ]


def test_each_image_may_have_thresholds_of_its_own() -> None:
    outcome = LabelOutcome([[1], [1]], [[0.4], [0.4]], [[0.3], [0.5]])
    assert outcome.is_predicted.tolist() == [[True], [False]]


def test_the_line_is_drawn_in_single_precision() -> None:
    # The single next to 0.4 is above it; in double precision it would be at the threshold.
    assert apply_thresholds(np.array([[0.4]]), np.float32(0.4)).all()
    assert apply_thresholds(np.array([[np.float32(0.4)]]), 0.4).all()


@pytest.mark.parametrize("is_tied", [False, True])
def test_ranking_agrees_with_scikit_learn_under_weights(is_tied: bool) -> None:
    targets, probabilities = make_label_outcome(seed=3, images=60, classes=5)
    if is_tied:
        probabilities = np.round(probabilities, 1)
    weights = np.random.default_rng(4).integers(0, 4, size=(6, 60)).astype(np.float64)
    precision, area = LabelOutcome(targets, probabilities).weigh(weights).ranking
    for row, weight in enumerate(weights):
        for number in range(5):
            cell = (targets[:, number], probabilities[:, number])
            expected = oracle.average_precision_score(*cell, sample_weight=weight)
            assert precision[row, number] == pytest.approx(expected)
            expected = oracle.roc_auc_score(*cell, sample_weight=weight)
            assert area[row, number] == pytest.approx(expected)


def test_a_class_without_positives_or_without_negatives() -> None:
    targets = [[0, 1], [0, 1]]
    precision, area = LabelOutcome(targets, [[0.1, 0.2], [0.3, 0.4]]).weigh().ranking
    assert np.isnan(precision[0, 0])
    assert precision[0, 1] == 1.0
    assert np.isnan(area).all()


def test_a_resample_that_misses_all_positives_has_no_value() -> None:
    outcome = LabelOutcome([[1], [0], [0]], [[0.9], [0.2], [0.1]])
    precision, area = outcome.weigh(np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 1.0]])).ranking
    assert np.isnan([precision[0, 0], area[0, 0]]).all()
    assert [precision[1, 0], area[1, 0]] == [1.0, 1.0]


def test_counts_of_label_sets_are_those_of_repeated_images() -> None:
    targets, probabilities = make_label_outcome(seed=1, images=20, classes=4)
    weights = np.random.default_rng(2).integers(0, 4, size=(3, 20)).astype(np.float64)
    counts = LabelOutcome(targets, probabilities).weigh(weights).class_counts
    for row, times in enumerate(weights.astype(int)):
        own, given = np.repeat(targets, times, 0), np.repeat(probabilities >= 0.5, times, 0)
        table = oracle.multilabel_confusion_matrix(own, given)
        assert counts.hits[row].tolist() == table[:, 1, 1].tolist()
        assert counts.support[row].tolist() == table[:, 1].sum(1).tolist()
        assert counts.predicted[row].tolist() == table[:, :, 1].sum(1).tolist()
