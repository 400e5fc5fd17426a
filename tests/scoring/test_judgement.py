"""The whole verdict of either task: against scikit-learn, and through JSON and back."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from tests.builders import make_label_outcome, make_outcome
from tests.scoring.builders import bootstrap, judge_classes, judge_labels
from tfclassify.errors import ScoringError
from tfclassify.scoring import judgement as judgement_module
from tfclassify.scoring.judgement import (
    FORMAT,
    MOST_ADDITIONS,
    Addition,
    Judgement,
    LabelJudgement,
)
from tfclassify.scoring.metrics import LABEL_METRICS, METRICS

CLASSES = ("ash", "birch", "cedar", "elm")


@pytest.fixture(scope="module")
def outcome() -> tuple[np.ndarray, np.ndarray]:
    targets, probabilities = make_outcome(seed=0, images=150, classes=4)
    targets[targets == 3] = 0  # elm has no images but is predicted
    return targets, probabilities


@pytest.fixture(scope="module")
def judgement(outcome) -> Judgement:
    return judge_classes(*outcome, CLASSES, seed=1, temperature=1.5)


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
    cells = [(*where, matrix[*where]) for where in np.argwhere(matrix).tolist()]
    assert list(judgement.confusion) == cells
    assert judgement.wrong == (targets != predicted).sum()


def test_a_class_without_images_has_no_recall(judgement) -> None:
    elm = judgement.class_scores[3]
    assert (elm.support, elm.hits) == (0, 0)
    assert elm.recall.value is elm.recall.low is None
    assert elm.precision.value == 0.0
    # Never right in p predictions: a share that the exact bound covers.
    assert elm.precision.method == "exact"


def test_a_class_without_images_or_predictions_has_no_score_at_all() -> None:
    probabilities = np.array([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.8, 0.2, 0.0]])
    row = judge_classes([0, 1, 1], probabilities, ["a", "b", "c"], seed=0).class_scores[2]
    assert row.precision.value is row.recall.value is row.f1.value is None
    assert row.f1.n == 0


def test_calibration_after_a_temperature(judgement) -> None:
    calibration = judgement.calibration
    assert calibration.temperature == 1.5
    assert sum(row.count for row in calibration.curve_after) == 150
    assert calibration.ece_after != judgement.metrics["ece"].value
    assert calibration.loss_after != judgement.metrics["loss"].value


def test_no_temperature_leaves_the_second_curve_out(outcome) -> None:
    calibration = judge_classes(*outcome, CLASSES, seed=1, resamples=5).calibration
    assert calibration.curve_after is calibration.ece_after is None


def test_round_trip_through_json(outcome, judgement) -> None:
    without = judge_classes(*outcome, CLASSES, seed=1, resamples=5)
    for each in (judgement, without):
        text = json.dumps(each.to_dict(), allow_nan=False)
        assert Judgement.from_dict(json.loads(text)) == each


def test_a_single_image_and_a_perfect_model_stay_clean_json() -> None:
    for targets in ([0], [0, 1, 2, 3]):
        verdict = judge_classes(targets, np.eye(4)[targets], CLASSES, seed=0, temperature=2.0)
        text = json.dumps(verdict.to_dict(), allow_nan=False)
        assert Judgement.from_dict(json.loads(text)) == verdict


def test_groups_are_counted_and_bound_the_class_intervals() -> None:
    targets = np.array([0] * 8 + [1] * 8)
    probabilities = np.eye(2)[targets]
    groups = ["x"] * 4 + ["y"] * 4 + ["z"] * 4 + ["x"] * 4
    verdict = judge_classes(targets, probabilities, ["a", "b"], seed=0, groups=groups)
    assert verdict.groups == 3
    # 8 images of class a come from 2 groups: two trials, 0.025 ** (1 / 2).
    assert verdict.class_scores[0].recall.low == pytest.approx(0.1581, abs=1e-4)
    assert verdict.metrics["accuracy"].low == pytest.approx(0.025 ** (1 / 3))


def test_top_confusions_are_the_largest_cells_off_the_diagonal() -> None:
    targets = [0, 0, 0, 1, 2, 2]
    predicted = [1, 1, 0, 1, 0, 2]
    verdict = judge_classes(targets, np.eye(3)[predicted], ["a", "b", "c"], seed=0, resamples=5)
    assert verdict.top_confusions() == [("a", "b", 2), ("c", "a", 1)]
    assert verdict.top_confusions(limit=1) == [("a", "b", 2)]


def test_class_names_must_match_the_columns(outcome) -> None:
    with pytest.raises(ScoringError, match=r"one name a column of probabilities, 4, got 2"):
        judge_classes(*outcome, ["a", "b"], seed=0)


def test_another_format_is_refused(judgement) -> None:
    with pytest.raises(ScoringError, match=r"reads format 2, got 99; evaluate the run again"):
        Judgement.from_dict({**judgement.to_dict(), "format": 99})


@pytest.mark.parametrize("key", ["metrics", "calibration", "class_scores"])
def test_incomplete_scores_are_refused(judgement, key: str) -> None:
    values = judgement.to_dict()
    del values[key]
    with pytest.raises(ScoringError, match=rf"stored scores are incomplete, got .*{key}"):
        Judgement.from_dict(values)


THRESHOLDS = np.array([0.5, 0.4, 0.6, 0.5])


@pytest.fixture(scope="module")
def sets() -> tuple[np.ndarray, np.ndarray]:
    targets, probabilities = make_label_outcome(seed=0, images=150, classes=4)
    targets[:, 3] = 0  # no image has elm, but it is given
    return targets, probabilities


@pytest.fixture(scope="module")
def labels(sets) -> LabelJudgement:
    return judge_labels(*sets, CLASSES, seed=1, thresholds=THRESHOLDS)


def test_every_metric_stands_on_its_own_resamples(sets, labels) -> None:
    assert tuple(labels.metrics) == tuple(LABEL_METRICS)
    for name, interval in labels.metrics.items():
        assert interval.value == pytest.approx(LABEL_METRICS[name].compute(*sets, THRESHOLDS))
        assert interval.low < interval.value < interval.high
        assert interval.n == 150


def test_class_rows_agree_with_scikit_learn(sets, labels) -> None:
    targets, given = sets[0], sets[1] >= THRESHOLDS
    precision, recall, f1, support = precision_recall_fscore_support(
        targets, given, zero_division=np.nan
    )
    for number, row in enumerate(labels.class_scores):
        expected = [precision[number], recall[number], f1[number]]
        values = [row.precision.value, row.recall.value, row.f1.value]
        assert values == [None if np.isnan(x) else pytest.approx(x) for x in expected]
        assert (row.support, row.predicted) == (support[number], given[:, number].sum())
        assert (row.precision.n, row.recall.n) == (row.predicted, row.support)
        assert row.threshold == THRESHOLDS[number]
    average = average_precision_score(targets[:, 0], sets[1][:, 0])
    assert labels.class_scores[0].ap.value == pytest.approx(average)


def test_a_class_that_no_image_has(labels) -> None:
    elm = labels.class_scores[3]
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
    assert verdict.added == ((0, 1, 2, 2), (0, 2, 1, 3))
    assert verdict.top_additions() == [
        Addition("b", beside="a", images=2, chances=2),
        Addition("c", beside="a", images=1, chances=3),
    ]
    assert len(verdict.top_additions(limit=1)) == 1


def test_the_most_frequent_additions_are_kept(sets, labels, monkeypatch) -> None:
    targets, given = sets[0].astype(bool), sets[1] >= THRESHOLDS
    counted = []
    for there, absent in np.ndindex(4, 4):
        images = sum(
            t[there] and g[absent] and not t[absent] for t, g in zip(targets, given, strict=True)
        )
        chances = sum(t[there] and not t[absent] for t in targets)
        counted += [(there, absent, images, chances)] * bool(images)
    counted.sort(key=lambda row: (-row[2], row[3], row[0], row[1]))
    assert len(counted) > 6
    assert list(labels.added) == counted
    monkeypatch.setattr(judgement_module, "MOST_ADDITIONS", 2)
    few = judge_labels(*sets, CLASSES, seed=1, thresholds=THRESHOLDS, resamples=2)
    assert list(few.added) == counted[:2]


MANY = tuple(f"class {number}" for number in range(10_000))


def test_ten_thousand_classes_cost_what_the_images_cost() -> None:
    draws = np.random.default_rng(0)
    probabilities = draws.random((40, len(MANY)))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    tracemalloc.start()
    verdict = judge_classes(draws.integers(0, 10_000, 40), probabilities, MANY, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A table of all pairs would hold 100 million numbers, the resamples of all classes 30.
    assert len(verdict.confusion) <= 40
    assert peak < 300 << 20
    assert len(json.dumps(verdict.to_dict())) < 6_000_000
    assert sum(row.f1.value is not None for row in verdict.class_scores) <= 80


def test_ten_thousand_labels_given_to_all() -> None:
    targets = np.zeros((6, len(MANY)), dtype=int)
    targets[range(6), range(6)] = 1
    verdict = judge_labels(targets, np.full(targets.shape, 0.9), MANY, seed=0, resamples=2)
    assert len(verdict.added) == MOST_ADDITIONS
    assert verdict.top_additions(1) == [Addition("class 1", "class 0", 1, 1)]


def test_crossed_thresholds_judge_and_stored_ones_are_shown(sets) -> None:
    crossed = np.where(np.arange(150)[:, None] % 2, 0.3, 0.7) * np.ones((150, 4))
    verdict = judge_labels(
        *sets, CLASSES, seed=1, thresholds=THRESHOLDS, crossed=crossed, resamples=5
    )
    assert verdict.threshold_origin == "cross_fitted"
    expected = f1_score(sets[0], sets[1] >= crossed, average="samples", zero_division=1)
    assert verdict.metrics["f1_samples"].value == pytest.approx(expected)
    assert [row.threshold for row in verdict.class_scores] == THRESHOLDS.tolist()


def test_the_origin_of_the_thresholds(sets, labels) -> None:
    assert labels.threshold_origin == "stored"
    plain = judge_labels(*sets, CLASSES, seed=1, resamples=5)
    assert plain.threshold_origin == "half"
    assert {row.threshold for row in plain.class_scores} == {0.5}


def test_label_sets_through_json(labels) -> None:
    text = json.dumps(labels.to_dict(), allow_nan=False)
    assert Judgement.from_dict(json.loads(text)) == labels


def test_images_without_any_label_stay_clean_json() -> None:
    verdict = judge_labels(np.zeros((3, 2)), np.full((3, 2), 0.2), ["a", "b"], seed=0)
    assert verdict.metrics["map"].value is None
    # Right in 3 of 3: the share has an exact bound, 0.025 ** (1 / 3).
    assert verdict.metrics["exact_match"].low == pytest.approx(0.2924, abs=1e-4)
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    assert Judgement.from_dict(json.loads(text)) == verdict


def test_groups_of_label_sets_are_counted(sets) -> None:
    groups = [f"site {number % 30}" for number in range(150)]
    verdict = judge_labels(*sets, CLASSES, seed=0, groups=groups, resamples=20)
    assert verdict.groups == 30


def test_label_names_must_match_the_columns(sets) -> None:
    with pytest.raises(ScoringError, match=r"one name a column of probabilities, 4, got 2"):
        judge_labels(*sets, ["a", "b"], seed=0)


@pytest.mark.parametrize("key", ["metrics", "class_scores", "added", "label_counts"])
def test_incomplete_scores_of_label_sets_are_refused(labels, key: str) -> None:
    values = labels.to_dict()
    del values[key]
    with pytest.raises(ScoringError, match=rf"stored scores are incomplete, got .*{key}"):
        Judgement.from_dict(values)


def test_an_unknown_task_is_refused(judgement) -> None:
    with pytest.raises(ScoringError, match=r"multi_class or multi_label, got 'detect'; evaluate"):
        Judgement.from_dict({**judgement.to_dict(), "task": "detect"})


def test_scores_from_before_there_were_two_tasks_are_read(judgement) -> None:
    values = judgement.to_dict()
    del values["task"]
    assert Judgement.from_dict(values) == judgement


@pytest.mark.parametrize("task", [[], {}, {"a": 1}, None, 5])
def test_a_task_that_is_no_name_is_refused(task: object) -> None:
    with pytest.raises(ScoringError, match="task must be multi_class or multi_label, got"):
        Judgement.from_dict({"format": FORMAT, "task": task})
