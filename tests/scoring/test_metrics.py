"""The metrics of both tasks against scikit-learn, brute force and numbers worked by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from tests.builders import make_label_outcome, make_outcome
from tests.fake_runs import make_recipe
from tests.scoring.builders import judge_classes
from tfclassify.errors import ScoringError
from tfclassify.recipe import names
from tfclassify.recipe.loading import dump_recipe, parse_recipe
from tfclassify.recipe.names import list_metric_names
from tfclassify.scoring import outcome as outcome_module
from tfclassify.scoring.intervals import plan_resamples, resample
from tfclassify.scoring.metrics import (
    LABEL_METRICS,
    METRICS,
    Metric,
    compute_scores,
    find_measure,
    register_metric,
)
from tfclassify.scoring.outcome import LabelOutcome, Outcome

#: Three images of three classes; the second is wrong, the third by a tie.
TARGETS = np.array([0, 1, 2])
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.4, 0.2, 0.4]])


def score_sets(*given: Any) -> dict[str, float]:
    """Score targets, probabilities and maybe thresholds with every measure of label sets."""
    return compute_scores(LabelOutcome(*given), LABEL_METRICS.values())


def score(name: str, targets: np.ndarray, probabilities: np.ndarray) -> float:
    return METRICS[name].compute(targets, probabilities)


@pytest.mark.parametrize("average", ["macro", "weighted"])
@pytest.mark.parametrize("kind", ["precision", "recall", "f1"])
@pytest.mark.parametrize("absent", [False, True])
def test_averages_agree_with_scikit_learn(average: str, kind: str, absent: bool) -> None:
    targets, probabilities = make_outcome(seed=1, images=200, classes=6)
    if absent:
        targets[targets == 2] = 3
        probabilities[:, 5] *= 1e-3  # class 5 has images and is never predicted
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    function = getattr(oracle, f"{kind}_score")
    expected = function(targets, probabilities.argmax(1), average=average, zero_division=0)
    assert score(f"{kind}_{average}", targets, probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_top_k_agrees_with_scikit_learn(k: int) -> None:
    targets, probabilities = make_outcome(seed=2, images=300, classes=7)
    expected = oracle.top_k_accuracy_score(targets, probabilities, k=k, labels=range(7))
    assert score(f"top_{k}", targets, probabilities) == pytest.approx(expected)


def test_accuracy_and_balanced_accuracy_agree_with_scikit_learn() -> None:
    targets, probabilities = make_outcome(seed=3, images=150, classes=5)
    targets[targets == 4] = 0  # predicted, but without images
    predicted = probabilities.argmax(1)
    assert score("accuracy", targets, probabilities) == oracle.accuracy_score(targets, predicted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        expected = oracle.balanced_accuracy_score(targets, predicted)
    assert score("balanced_accuracy", targets, probabilities) == pytest.approx(expected)


@pytest.mark.parametrize("is_tied", [False, True])
def test_roc_auc_agrees_with_scikit_learn(is_tied: bool) -> None:
    targets, probabilities = make_outcome(seed=4, images=120, classes=4)
    if is_tied:
        probabilities = np.round(probabilities, 1) + 0.01
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = oracle.roc_auc_score(targets, probabilities, multi_class="ovr", average="macro")
    assert score("roc_auc", targets, probabilities) == pytest.approx(expected)


def test_roc_auc_skips_a_class_without_images() -> None:
    targets, probabilities = make_outcome(seed=5, images=90, classes=4)
    targets[targets == 3] = 1
    areas = [oracle.roc_auc_score(targets == c, probabilities[:, c]) for c in range(3)]
    assert score("roc_auc", targets, probabilities) == pytest.approx(np.mean(areas))


def test_loss_and_brier_agree_with_scikit_learn() -> None:
    targets, probabilities = make_outcome(seed=6, images=110, classes=3)
    assert score("loss", targets, probabilities) == pytest.approx(
        oracle.log_loss(targets, probabilities)
    )
    # The one-hot form, written out image by image.
    expected = np.mean(
        [np.sum((row - np.eye(3)[t]) ** 2) for t, row in zip(targets, probabilities, strict=True)]
    )
    assert score("brier", targets, probabilities) == pytest.approx(expected)


def test_loss_stays_finite_when_the_true_class_has_probability_zero() -> None:
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert score("loss", np.array([1, 0]), probabilities) == pytest.approx(8.0590, abs=1e-4)


def test_hand_worked_numbers() -> None:
    values = compute_scores(Outcome(TARGETS, PROBABILITIES), METRICS.values())
    # Predicted 0, 0, 0: the tie of the third image goes to the lower class id.
    assert values["accuracy"] == pytest.approx(1 / 3)
    # The true class ranks 0, 1 and 1.
    assert values["top_2"] == 1.0
    assert values["top_3"] == values["top_5"] == 1.0
    assert values["balanced_accuracy"] == pytest.approx(1 / 3)
    assert values["precision_macro"] == pytest.approx((1 / 3) / 3)
    assert values["f1_macro"] == pytest.approx((2 * 1 / (1 + 3)) / 3)
    # Gaps: 0.7 - 1 in bin (.667, .733], 0.6 in (.533, .6], 0.4 in (.333, .4].
    assert values["ece"] == pytest.approx((0.3 + 0.6 + 0.4) / 3)
    brier = (0.3**2 + 0.2**2 + 0.1**2) + (0.6**2 + 0.7**2 + 0.1**2) + (0.4**2 + 0.2**2 + 0.6**2)
    assert values["brier"] == pytest.approx(brier / 3)


def test_ece_cancels_within_a_bin_only() -> None:
    # 0.95 and 0.96 share the last bin, one right and one wrong: |0.95 - 1 + 0.96| / 2.
    probabilities = np.array([[0.95, 0.05], [0.96, 0.04]])
    assert score("ece", np.array([0, 1]), probabilities) == pytest.approx(0.455)
    # A confidence on an edge belongs to the bin below it: 0.8 = 12 / 15 is not with 0.82.
    probabilities = np.array([[0.8, 0.2], [0.82, 0.18]])
    assert score("ece", np.array([0, 1]), probabilities) == pytest.approx((0.2 + 0.82) / 2)


def test_a_tie_never_lets_accuracy_and_ranks_disagree() -> None:
    probabilities = np.full((4, 4), 0.25)
    assert score("accuracy", np.arange(4), probabilities) == 0.25
    assert score("top_2", np.arange(4), probabilities) == 0.5
    assert score("top_3", np.arange(4), probabilities) == 0.75


def test_a_single_image_has_every_metric_but_the_area() -> None:
    values = compute_scores(Outcome([1], [[0.2, 0.8]]), METRICS.values())
    assert np.isnan(values.pop("roc_auc"))
    assert np.isfinite(list(values.values())).all()
    assert values["accuracy"] == values["f1_macro"] == values["balanced_accuracy"] == 1.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_contract_of_every_metric(metric) -> None:
    targets, probabilities = make_outcome(seed=7, images=60, classes=8)
    value = metric.compute(targets, probabilities)
    assert metric.range[0] <= value <= metric.range[1]
    perfect = metric.compute(targets, np.eye(8)[targets])
    best = metric.range[1] if metric.higher_is_better else metric.range[0]
    assert perfect == pytest.approx(best)
    assert metric.is_better(perfect, value)
    assert not metric.is_better(value, perfect)
    shuffled = np.random.default_rng(0).permutation(60)
    assert metric.compute(targets[shuffled], probabilities[shuffled]) == pytest.approx(value)


def test_a_missing_value_beats_nothing() -> None:
    metric = METRICS["roc_auc"]
    assert metric.is_better(0.5, than=float("nan"))
    assert not metric.is_better(float("nan"), than=0.5)
    assert not metric.is_better(float("nan"), than=float("nan"))


def test_names_equal_those_of_the_recipe() -> None:
    from tfclassify.recipe.names import METRIC_NAMES

    assert tuple(METRICS) == tuple(METRIC_NAMES)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ScoringError, match=r"'acuracy'; did you mean 'accuracy'\? allowed: loss"):
        find_measure("acuracy", METRICS)


#: Four images of three classes; the last has no label and is given none.
SET_TARGETS = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
SET_PROBABILITIES = np.array([[0.9, 0.2, 0.1], [0.6, 0.7, 0.1], [0.1, 0.1, 0.4], [0.2, 0.3, 0.3]])


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    targets, probabilities = make_label_outcome(seed=1, images=120, classes=7)
    targets[:, 2] = 0  # given, but without images
    probabilities[:, 4] *= 0.4  # with images, but never given
    probabilities[:, 5] *= 0.4
    targets[:, 5] = 0  # neither
    targets[:9] = 0
    probabilities[:5] *= 0.3  # of nine images without labels, some are given none
    return targets, probabilities


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("kind", ["precision", "recall", "f1"])
def test_averages_agree_with_scikit_learn_of_label_sets(sample, kind: str, average: str) -> None:
    targets, given = sample[0], sample[1] >= 0.5
    seen = [c for c in range(7) if targets[:, c].any() or given[:, c].any()]
    function = getattr(oracle, f"{kind}_score")
    expected = function(targets, given, labels=seen, average=average, zero_division=0)
    assert LABEL_METRICS[f"{kind}_{average}"].compute(*sample) == pytest.approx(expected)


def test_the_rest_agrees_with_scikit_learn(sample) -> None:
    targets, probabilities = sample
    given = probabilities >= 0.5
    values = score_sets(*sample)
    expected = {
        "iou": oracle.jaccard_score(targets, given, average="samples", zero_division=1),
        "f1_samples": oracle.f1_score(targets, given, average="samples", zero_division=1),
        "f1_weighted": oracle.f1_score(targets, given, average="weighted", zero_division=0),
        "hamming": oracle.hamming_loss(targets, given),
        "exact_match": oracle.accuracy_score(targets, given),
    }
    there = [c for c in range(7) if targets[:, c].any()]
    columns = (targets[:, there], probabilities[:, there])
    expected["map"] = oracle.average_precision_score(*columns, average="macro")
    expected["roc_auc"] = oracle.roc_auc_score(*columns, average="macro")
    losses = [oracle.log_loss(targets[:, c], probabilities[:, c], labels=[0, 1]) for c in range(7)]
    expected["loss"] = np.mean(losses)
    assert {name: values[name] for name in expected} == pytest.approx(expected)


def test_hand_worked_numbers_of_label_sets() -> None:
    values = score_sets(SET_TARGETS, SET_PROBABILITIES)
    # Given: {a}, {a, b}, {}, {} for {a, b}, {b}, {c}, {}.
    assert values["iou"] == pytest.approx((1 / 2 + 1 / 2 + 0 + 1) / 4)
    assert values["f1_samples"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 1) / 4)
    assert values["exact_match"] == 0.25
    assert values["hamming"] == pytest.approx(3 / 12)
    # a: 1 of 2 given right, 1 of 1 found; b: 1 of 1, 1 of 2; c: none given, 0 of 1.
    assert values["precision_macro"] == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert values["recall_macro"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert values["f1_macro"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert values["f1_weighted"] == pytest.approx((1 * 2 / 3 + 2 * 2 / 3 + 1 * 0) / 4)
    assert values["precision_micro"] == pytest.approx(2 / 3)
    assert values["recall_micro"] == pytest.approx(2 / 4)
    assert values["f1_micro"] == pytest.approx(2 * 2 / (3 + 4))
    # a is first of its column, b first and third, c first.
    assert values["map"] == pytest.approx((1 + (1 + 2 / 3) / 2 + 1) / 3)
    # b: positives 0.7 and 0.2 against negatives 0.1 and 0.3: 2 + 1 of 4 pairs.
    assert values["roc_auc"] == pytest.approx((1 + 3 / 4 + 1) / 3)


def test_thresholds_move_the_line_but_not_the_ranking() -> None:
    values = score_sets(SET_TARGETS, SET_PROBABILITIES, [0.8, 0.2, 0.35])
    assert values["recall_micro"] == 1.0
    assert values["precision_micro"] == pytest.approx(4 / 5)
    plain = score_sets(SET_TARGETS, SET_PROBABILITIES)
    assert all(values[name] == plain[name] for name in ("loss", "map", "roc_auc"))


def test_the_loss_stays_finite_where_a_label_has_probability_zero() -> None:
    loss = LABEL_METRICS["loss"].compute([[1, 0]], [[0.0, 1.0]])
    assert loss == pytest.approx(-np.log(1e-7))


def test_nothing_there_and_nothing_given() -> None:
    values = score_sets(np.zeros((2, 3)), np.full((2, 3), 0.1))
    for name in ("iou", "f1_samples", "exact_match"):
        assert values.pop(name) == 1.0
    assert values.pop("hamming") == 0.0
    assert values.pop("loss") == pytest.approx(-np.log(0.9))
    assert np.isnan(list(values.values())).all()


@pytest.mark.parametrize("metric", LABEL_METRICS.values(), ids=LABEL_METRICS)
def test_contract_of_every_metric_of_label_sets(metric) -> None:
    targets, probabilities = make_label_outcome(seed=7, images=60, classes=6)
    value = metric.compute(targets, probabilities)
    assert metric.range[0] <= value <= metric.range[1]
    best = metric.range[1] if metric.higher_is_better else metric.range[0]
    perfect = metric.compute(targets, targets)
    assert perfect == pytest.approx(best, abs=1e-6)
    assert metric.is_better(perfect, value)
    shuffled = np.random.default_rng(0).permutation(60)
    assert metric.compute(targets[shuffled], probabilities[shuffled]) == pytest.approx(value)


@pytest.mark.parametrize("metric", LABEL_METRICS.values(), ids=LABEL_METRICS)
def test_each_resample_scores_like_its_images_copied(metric) -> None:
    targets, probabilities = make_label_outcome(seed=0, images=40, classes=4)
    thresholds = np.random.default_rng(1).uniform(0.3, 0.7, (40, 4))
    plan = plan_resamples(40, seed=3, resamples=6)
    outcome = LabelOutcome(targets, probabilities, thresholds)
    values = resample({"it": metric.weigh}, outcome, plan)["it"]
    weights = np.concatenate(list(plan.chunks())).astype(int)
    for value, times in zip(values, weights, strict=True):
        copies = np.repeat(np.arange(40), times)
        expected = metric.compute(targets[copies], probabilities[copies], thresholds[copies])
        assert value == pytest.approx(expected)


def test_the_bootstrap_ranks_a_class_once_for_all_resamples_of_a_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranked: list[int] = []

    def count(scores: np.ndarray, is_positive: np.ndarray, weights: np.ndarray):
        ranked.append(weights.shape[1])
        return rank(scores, is_positive, weights)

    rank = outcome_module._rank_class
    monkeypatch.setattr(outcome_module, "_rank_class", count)
    targets, probabilities = make_label_outcome(seed=0, images=50, classes=4)
    plan = plan_resamples(50, seed=0, resamples=300)
    statistics = {name: metric.weigh for name, metric in LABEL_METRICS.items()}
    resample(statistics, LabelOutcome(targets, probabilities), plan)
    # Not once a resample, nor once for each of the metrics that need it.
    assert ranked == [300] * 4


def test_names_equal_those_of_the_recipe_of_label_sets() -> None:
    from tfclassify.recipe.names import MULTI_LABEL_METRIC_NAMES

    assert tuple(LABEL_METRICS) == tuple(MULTI_LABEL_METRIC_NAMES)


def test_an_unknown_name_is_refused_with_the_nearest_of_label_sets() -> None:
    with pytest.raises(ScoringError, match=r"'f1_sample'; did you mean 'f1_samples'\? allowed: lo"):
        find_measure("f1_sample", LABEL_METRICS)


@pytest.fixture
def own_metric() -> Iterator[Metric]:
    metric = Metric("sure", "Sure", lambda seen: seen.mean(seen.outcome.confidence > 0.9))
    register_metric(metric)
    register_metric(metric)  # as a notebook's cell that runs twice
    yield metric
    del METRICS["sure"]
    names._OWN_METRICS.clear()


def test_a_metric_of_ones_own_is_named_by_recipes_and_judged(own_metric: Metric) -> None:
    assert list_metric_names("multi_class")[-1] == "sure"
    assert "sure" not in list_metric_names("multi_label")
    recipe = make_recipe(metric="sure")
    assert parse_recipe(dump_recipe(recipe)).metric == "sure"
    targets, probabilities = make_outcome(seed=1, images=50, classes=3)
    judgement = judge_classes(targets, probabilities, "abc", seed=0, resamples=50)
    share = float((probabilities.max(axis=1) > 0.9).mean())
    assert judgement.metrics["sure"].value == pytest.approx(share)


def test_installed_packages_announce_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[bool] = []
    monkeypatch.setattr(names, "list_announced", lambda kind: (kind,))
    monkeypatch.setattr(names, "load_announced", lambda *_: lambda: called.append(True))
    names._load_packages.cache_clear()
    try:
        list_metric_names("multi_class")
        list_metric_names("multi_class")
    finally:
        names._load_packages.cache_clear()
    assert called == [True]


@pytest.mark.parametrize("name", ["accuracy", "two words", ""])
def test_a_metrics_name_must_be_free_and_a_name(name: str) -> None:
    with pytest.raises(ScoringError, match="register_metric: a name is letters"):
        register_metric(Metric(name, "Other", lambda seen: seen.total))
