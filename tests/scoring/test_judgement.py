"""The whole verdict: against scikit-learn, and through JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tests.builders import make_outcome
from tests.scoring.builders import bootstrap
from tfclassify.errors import ScoringError
from tfclassify.scoring.judgement import Judgement, judge
from tfclassify.scoring.metrics import METRICS

CLASSES = ("ash", "birch", "cedar", "elm")


@pytest.fixture(scope="module")
def outcome() -> tuple[np.ndarray, np.ndarray]:
    targets, probabilities = make_outcome(seed=0, images=150, classes=4)
    targets[targets == 3] = 0  # elm has no images but is predicted
    return targets, probabilities


@pytest.fixture(scope="module")
def judgement(outcome) -> Judgement:
    return judge(*outcome, CLASSES, seed=1, temperature=1.5)


def test_every_metric_has_the_interval_of_its_own_bootstrap(outcome, judgement) -> None:
    assert tuple(judgement.metrics) == tuple(METRICS)
    for name, interval in judgement.metrics.items():
        assert interval == bootstrap(METRICS[name], *outcome, seed=1)


def test_class_rows_and_confusion_agree_with_scikit_learn(outcome, judgement) -> None:
    targets, predicted = outcome[0], outcome[1].argmax(1)
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, predicted, labels=range(4), zero_division=np.nan
    )
    for row, *expected in zip(judgement.class_scores, precision, recall, f1, support, strict=True):
        values = [row.precision.value, row.recall.value, row.f1.value]
        expected_values = [None if np.isnan(x) else pytest.approx(x) for x in expected[:3]]
        assert values == expected_values
        assert row.support == expected[3]
        assert row.precision.n == row.predicted
        assert row.recall.n == row.support
    matrix = confusion_matrix(targets, predicted, labels=range(4))
    assert np.array_equal(judgement.confusion, matrix)


def test_a_class_without_images_has_no_recall(judgement) -> None:
    elm = judgement.class_scores[3]
    assert (elm.support, elm.hits) == (0, 0)
    assert elm.recall.value is elm.recall.low is None
    assert elm.precision.value == 0.0
    # Never right in p predictions: a share that the exact bound covers.
    assert elm.precision.method == "exact"


def test_a_class_without_images_or_predictions_has_no_score_at_all() -> None:
    probabilities = np.array([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.8, 0.2, 0.0]])
    row = judge([0, 1, 1], probabilities, ["a", "b", "c"], seed=0).class_scores[2]
    assert row.precision.value is row.recall.value is row.f1.value is None
    assert row.f1.n == 0


def test_calibration_after_a_temperature(judgement) -> None:
    calibration = judgement.calibration
    assert calibration.temperature == 1.5
    assert sum(row.count for row in calibration.curve_after) == 150
    assert calibration.ece_after != judgement.metrics["ece"].value
    assert calibration.loss_after != judgement.metrics["loss"].value


def test_no_temperature_leaves_the_second_curve_out(outcome) -> None:
    calibration = judge(*outcome, CLASSES, seed=1, resamples=5).calibration
    assert calibration.curve_after is calibration.ece_after is None


def test_round_trip_through_json(outcome, judgement) -> None:
    without = judge(*outcome, CLASSES, seed=1, resamples=5)
    for each in (judgement, without):
        text = json.dumps(each.to_dict(), allow_nan=False)
        assert Judgement.from_dict(json.loads(text)) == each


def test_a_single_image_and_a_perfect_model_stay_clean_json() -> None:
    for targets in ([0], [0, 1, 2, 3]):
        verdict = judge(targets, np.eye(4)[targets], CLASSES, seed=0, temperature=2.0)
        text = json.dumps(verdict.to_dict(), allow_nan=False)
        assert Judgement.from_dict(json.loads(text)) == verdict


def test_groups_are_counted_and_bound_the_class_intervals() -> None:
    targets = np.array([0] * 8 + [1] * 8)
    probabilities = np.eye(2)[targets]
    groups = ["x"] * 4 + ["y"] * 4 + ["z"] * 4 + ["x"] * 4
    verdict = judge(targets, probabilities, ["a", "b"], seed=0, groups=groups)
    assert verdict.groups == 3
    # 8 images of class a come from 2 groups: two trials, 0.025 ** (1 / 2).
    assert verdict.class_scores[0].recall.low == pytest.approx(0.1581, abs=1e-4)
    assert verdict.metrics["accuracy"].low == pytest.approx(0.025 ** (1 / 3))


def test_top_confusions_are_the_largest_cells_off_the_diagonal() -> None:
    targets = [0, 0, 0, 1, 2, 2]
    predicted = [1, 1, 0, 1, 0, 2]
    verdict = judge(targets, np.eye(3)[predicted], ["a", "b", "c"], seed=0, resamples=5)
    assert verdict.top_confusions() == [("a", "b", 2), ("c", "a", 1)]
    assert verdict.top_confusions(limit=1) == [("a", "b", 2)]


def test_class_names_must_match_the_columns(outcome) -> None:
    with pytest.raises(ScoringError, match=r"one name a column of probabilities, 4, got 2"):
        judge(*outcome, ["a", "b"], seed=0)


def test_another_format_is_refused(judgement) -> None:
    with pytest.raises(ScoringError, match=r"reads format 1, got 99; evaluate the run again"):
        Judgement.from_dict({**judgement.to_dict(), "format": 99})


@pytest.mark.parametrize("key", ["metrics", "calibration", "class_scores"])
def test_incomplete_scores_are_refused(judgement, key: str) -> None:
    values = judgement.to_dict()
    del values[key]
    with pytest.raises(ScoringError, match=rf"stored scores are incomplete, got .*{key}"):
        Judgement.from_dict(values)
