"""The verdict on label sets: against scikit-learn, and through JSON and back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as oracle

from tests.builders import make_label_outcome
from tfclassify.errors import ScoringError
from tfclassify.scoring.metrics import LABEL_METRICS
from tfclassify.scoring.multi_label_judgement import (
    Addition,
    MultiLabelJudgement,
    judge_labels,
)

CLASSES = ("ash", "birch", "cedar", "elm")
THRESHOLDS = np.array([0.5, 0.4, 0.6, 0.5])


@pytest.fixture(scope="module")
def outcome() -> tuple[np.ndarray, np.ndarray]:
    targets, probabilities = make_label_outcome(seed=0, images=150, classes=4)
    targets[:, 3] = 0  # no image has elm, but it is given
    return targets, probabilities


@pytest.fixture(scope="module")
def judgement(outcome) -> MultiLabelJudgement:
    return judge_labels(*outcome, CLASSES, seed=1, thresholds=THRESHOLDS)


def test_every_metric_stands_on_its_own_resamples(outcome, judgement) -> None:
    assert tuple(judgement.metrics) == tuple(LABEL_METRICS)
    for name, interval in judgement.metrics.items():
        assert interval.value == pytest.approx(LABEL_METRICS[name].compute(*outcome, THRESHOLDS))
        assert interval.low < interval.value < interval.high
        assert interval.n == 150


def test_class_rows_agree_with_scikit_learn(outcome, judgement) -> None:
    targets, given = outcome[0], outcome[1] >= THRESHOLDS
    precision, recall, f1, support = oracle.precision_recall_fscore_support(
        targets, given, zero_division=np.nan
    )
    for number, row in enumerate(judgement.class_scores):
        expected = [precision[number], recall[number], f1[number]]
        values = [row.precision.value, row.recall.value, row.f1.value]
        assert values == [None if np.isnan(x) else pytest.approx(x) for x in expected]
        assert (row.support, row.predicted) == (support[number], given[:, number].sum())
        assert (row.precision.n, row.recall.n) == (row.predicted, row.support)
        assert row.threshold == THRESHOLDS[number]
    average = oracle.average_precision_score(targets[:, 0], outcome[1][:, 0])
    assert judgement.class_scores[0].ap.value == pytest.approx(average)


def test_a_class_that_no_image_has(judgement) -> None:
    elm = judgement.class_scores[3]
    assert (elm.support, elm.hits) == (0, 0)
    assert elm.ap.value is elm.recall.value is None
    # Never right in p: a share that the exact bound covers.
    assert (elm.precision.value, elm.precision.method) == (0.0, "exact")


def test_counts_worked_by_hand() -> None:
    targets = [[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 0]]
    given = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1]])
    verdict = judge_labels(targets, given * 0.8 + 0.1, ["a", "b", "c"], seed=0, resamples=5)
    # One image has none, two have one, one has two; given: 0, 2, 1, 1 of size 0 to 3.
    assert verdict.label_counts == ((1, 0), (2, 2), (1, 1), (0, 1))
    assert verdict.pairs == ((3, 1, 0), (1, 1, 0), (0, 0, 0))
    assert verdict.added == ((0, 2, 1), (0, 0, 0), (0, 0, 0))
    assert verdict.top_additions() == [
        Addition("b", beside="a", images=2, chances=2),
        Addition("c", beside="a", images=1, chances=3),
    ]
    assert len(verdict.top_additions(limit=1)) == 1


def test_crossed_thresholds_judge_and_stored_ones_are_shown(outcome) -> None:
    crossed = np.where(np.arange(150)[:, None] % 2, 0.3, 0.7) * np.ones((150, 4))
    verdict = judge_labels(
        *outcome, CLASSES, seed=1, thresholds=THRESHOLDS, crossed=crossed, resamples=5
    )
    assert verdict.threshold_origin == "cross_fitted"
    expected = oracle.f1_score(
        outcome[0], outcome[1] >= crossed, average="samples", zero_division=1
    )
    assert verdict.metrics["f1_samples"].value == pytest.approx(expected)
    assert [row.threshold for row in verdict.class_scores] == THRESHOLDS.tolist()


def test_the_origin_of_the_thresholds(outcome, judgement) -> None:
    assert judgement.threshold_origin == "stored"
    plain = judge_labels(*outcome, CLASSES, seed=1, resamples=5)
    assert plain.threshold_origin == "half"
    assert {row.threshold for row in plain.class_scores} == {0.5}


def test_round_trip_through_json(judgement) -> None:
    text = json.dumps(judgement.to_dict(), allow_nan=False)
    assert MultiLabelJudgement.from_dict(json.loads(text)) == judgement


def test_images_without_any_label_stay_clean_json() -> None:
    verdict = judge_labels(np.zeros((3, 2)), np.full((3, 2), 0.2), ["a", "b"], seed=0)
    assert verdict.metrics["map"].value is None
    # Right in 3 of 3: the share has an exact bound, 0.025 ** (1 / 3).
    assert verdict.metrics["exact_match"].low == pytest.approx(0.2924, abs=1e-4)
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    assert MultiLabelJudgement.from_dict(json.loads(text)) == verdict


def test_groups_are_counted(outcome) -> None:
    groups = [f"site {number % 30}" for number in range(150)]
    verdict = judge_labels(*outcome, CLASSES, seed=0, groups=groups, resamples=20)
    assert verdict.groups == 30


def test_class_names_must_match_the_columns(outcome) -> None:
    with pytest.raises(ScoringError, match=r"one name a column of probabilities, 4, got 2"):
        judge_labels(*outcome, ["a", "b"], seed=0)


@pytest.mark.parametrize("key", ["metrics", "class_scores", "pairs", "label_counts"])
def test_incomplete_scores_are_refused(judgement, key: str) -> None:
    values = judgement.to_dict()
    del values[key]
    with pytest.raises(ScoringError, match=rf"stored scores are incomplete, got .*{key}"):
        MultiLabelJudgement.from_dict(values)


def test_another_format_or_task_is_refused(judgement) -> None:
    with pytest.raises(ScoringError, match=r"reads format 1, got 99; evaluate the run again"):
        MultiLabelJudgement.from_dict({**judgement.to_dict(), "format": 99})
    with pytest.raises(ScoringError, match=r"must be of task multi_label, got 'multi_class'"):
        MultiLabelJudgement.from_dict({**judgement.to_dict(), "task": "multi_class"})
