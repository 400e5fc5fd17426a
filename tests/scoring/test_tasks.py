"""What the two tasks mean, to whoever asks without knowing which it is."""

from __future__ import annotations

import numpy as np
import pytest

from tests.builders import make_label_outcome, make_outcome
from tfclassify.errors import ScoringError
from tfclassify.recipe.names import list_metric_names
from tfclassify.scoring.metrics import LABEL_METRICS
from tfclassify.scoring.tasks import TASKS, find_class_ids, find_metric, get_task, is_higher_better


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_contract_of_every_task(task) -> None:
    assert tuple(task.metrics) == list_metric_names(task.name)
    assert set(task.watched) <= set(task.metrics)
    targets = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 1]]
    values = task.compute(task.watched, targets, targets)
    assert tuple(values) == task.watched
    for name, value in values.items():
        assert value == pytest.approx(1.0 if is_higher_better(name) else 0.0, abs=1e-6)


def test_one_hot_targets_score_like_their_class_ids() -> None:
    targets, probabilities = make_outcome(seed=0, images=50, classes=4)
    values = get_task("multi_class").compute(["accuracy"], np.eye(4)[targets], probabilities)
    assert values == {"accuracy": np.mean(probabilities.argmax(1) == targets)}


def test_multi_label_takes_thresholds() -> None:
    targets, probabilities = make_label_outcome(seed=0, images=50, classes=4)
    values = get_task("multi_label").compute(["iou"], targets, probabilities, 0.3)
    expected = LABEL_METRICS["iou"].compute(targets, probabilities, np.full(4, 0.3))
    assert values == {"iou": expected}
    assert values != get_task("multi_label").compute(["iou"], targets, probabilities)


def test_directions() -> None:
    lower = {"loss", "ece", "brier", "hamming"}
    names = {name for task in TASKS for name in list_metric_names(task)}
    assert {name for name in names if not is_higher_better(name)} == lower


def test_metrics_that_share_a_name_agree_in_what_is_shown() -> None:
    for name in set(TASKS["multi_class"].metrics) & set(TASKS["multi_label"].metrics):
        one, other = (task.metrics[name] for task in TASKS.values())
        assert (one.higher_is_better, one.range) == (other.higher_is_better, other.range)
        assert name == "loss" or one.title == other.title


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 1], r"shape \(images, classes\), got \(2,\)"),
        ([[0, 1], [1, 1]], r"row 1 must hold one 1 and else 0, got \[1, 1\].* task: multi_label"),
        ([[0.4, 0.6]], r"row 0 must hold one 1 and else 0, got \[0.4, 0.6\]"),
        ([[0, 0]], r"row 0 must hold one 1"),
    ],
)
def test_targets_that_are_not_one_hot_are_refused(targets, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        find_class_ids(targets)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ScoringError, match=r"task: unknown name 'detect'; allowed: multi_class, m"):
        get_task("detect")
    with pytest.raises(
        ScoringError, match=r"metric: unknown name 'hammin'; did you mean 'hamming'"
    ):
        find_metric("hammin")


def test_probabilities_of_far_logits() -> None:
    logits = np.array([[0.0, 200.0, -200.0, np.log(3.0)]], np.float32)
    sets, classes = get_task("multi_label"), get_task("multi_class")
    np.testing.assert_allclose(sets.activate(logits), [[0.5, 1.0, 0.0, 0.75]], atol=1e-7)
    np.testing.assert_allclose(classes.activate(logits), [[0.0, 1.0, 0.0, 0.0]], atol=1e-7)
    assert sets.activate(logits).dtype == classes.activate(logits).dtype == np.float32


LOGITS = np.array([[2.0, -1.0, -1.0], [-1.0, 1.0, 3.0], [-1.0, -2.0, -3.0]], np.float32)


def test_one_label_is_right_or_wrong() -> None:
    targets = np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    task = get_task("multi_class")
    assert task.score_images(targets, LOGITS).tolist() == [1.0, 0.0, 1.0]
    assert task.find_missed(targets, LOGITS).tolist() == [False, True, False]


def test_label_sets_overlap_more_or_less() -> None:
    # Answers {0}, {1, 2} and nothing against {0, 1}, {1} and nothing.
    targets = np.array([[1.0, 0.7, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    task = get_task("multi_label")
    assert task.score_images(targets, LOGITS) == pytest.approx([0.5, 0.5, 1.0])
    assert task.find_missed(targets, LOGITS).tolist() == [True, True, False]


def test_thresholds_stand_in_the_order_of_the_classes() -> None:
    sets, classes = get_task("multi_label"), get_task("multi_class")
    assert sets.list_thresholds({"b": 0.2}, ("a", "b")).tolist() == [0.5, 0.2]
    assert sets.list_thresholds(None, ("a", "b")).tolist() == [0.5, 0.5]
    assert classes.list_thresholds({"b": 0.2}, ("a", "b")) is None


def test_one_label_is_decided_and_doubted() -> None:
    task = get_task("multi_class")
    rows = np.array([[0.5, 0.3, 0.2], [0.25, 0.25, 0.5], [0.4, 0.4, 0.2]])
    said = [[True, False, False], [False, False, True], [True, False, False]]
    assert task.decide(rows).tolist() == said
    assert task.decide(rows[1]).tolist() == said[1]
    assert task.find_doubts(rows) == pytest.approx([0.8, 0.75, 1.0])
    assert task.find_doubts(np.array([[0.9]])) == pytest.approx([0.1])
    assert task.find_likelihoods(said, rows).tolist() == [[0.5], [0.5], [0.4]]


def test_label_sets_are_decided_and_doubted() -> None:
    task = get_task("multi_label")
    rows = np.array([[0.5, 0.1, 0.9], [0.2, 0.25, 0.0], [0.75, 1.0, 0.0]])
    said = [[True, False, True], [False, False, False], [True, True, False]]
    assert task.decide(rows).tolist() == said
    assert task.decide(rows[2]).tolist() == said[2]
    assert task.find_doubts(rows) == pytest.approx([1.0, 0.5, 0.5])
    likelihoods = task.find_likelihoods(said, rows)
    assert likelihoods == pytest.approx(np.array([[0.5, 0.9, 0.9], [0.8, 0.75, 1.0], [0.75, 1, 1]]))


def test_thresholds_are_those_of_every_image() -> None:
    sets, classes = get_task("multi_label"), get_task("multi_class")
    assert sets.spread_thresholds(None, (2, 2)).tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert sets.spread_thresholds([0.2, 0.3], (2, 2)).tolist() == [[0.2, 0.3], [0.2, 0.3]]
    assert sets.spread_thresholds([[0.1, 0.2]], (1, 2)).tolist() == [[0.1, 0.2]]
    assert classes.spread_thresholds([0.2, 0.3], (2, 2)) is None
