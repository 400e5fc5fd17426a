"""The bootstrap against resamples made image by image, and its settled cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from sklearn import metrics as oracle

from tests.builders import make_label_outcome, make_outcome
from tests.scoring.builders import bootstrap, judge_labels
from tfclassify.errors import ScoringError
from tfclassify.scoring.intervals import (
    CHUNK_ELEMENTS,
    Interval,
    make_interval,
    plan_resamples,
    resample,
)
from tfclassify.scoring.metrics import LABEL_METRICS, METRICS
from tfclassify.scoring.outcome import LabelOutcome, Outcome, Weighting


def draw_weights(plan) -> np.ndarray:
    return np.concatenate(list(plan.chunks()))


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_each_resample_scores_like_its_images_copied(metric) -> None:
    targets, probabilities = make_outcome(seed=0, images=40, classes=4)
    plan = plan_resamples(40, seed=3, resamples=6)
    values = resample({"it": metric.weigh}, Outcome(targets, probabilities), plan)["it"]
    for value, weights in zip(values, draw_weights(plan).astype(int), strict=True):
        copies = np.repeat(np.arange(40), weights)
        assert value == pytest.approx(metric.compute(targets[copies], probabilities[copies]))


def test_accuracy_lies_where_the_normal_approximation_says() -> None:
    targets, probabilities = make_outcome(seed=1, images=2000, classes=5)
    interval = bootstrap(METRICS["accuracy"], targets, probabilities, seed=0, resamples=2000)
    share = oracle.accuracy_score(targets, probabilities.argmax(1))
    half_width = norm.ppf(0.975) * np.sqrt(share * (1 - share) / 2000)
    assert interval.value == share
    assert interval.low == pytest.approx(share - half_width, abs=0.003)
    assert interval.high == pytest.approx(share + half_width, abs=0.003)
    assert interval.n == 2000
    assert interval.method == "bootstrap"


def test_about_95_of_100_intervals_hold_the_truth() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        is_right = generator.random(120) < 0.7
        probabilities = np.where(is_right[:, None], [0.1, 0.9], [0.9, 0.1])
        interval = bootstrap(
            METRICS["accuracy"], np.ones(120, int), probabilities, seed=seed, resamples=300
        )
        held += interval.low <= 0.7 <= interval.high
    assert 180 <= held <= 198


def test_the_same_seed_gives_the_same_interval_and_another_does_not() -> None:
    targets, probabilities = make_outcome(seed=2, images=90, classes=3)
    first, again, other = (
        bootstrap(METRICS["loss"], targets, probabilities, seed=seed, resamples=200)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert first.value == other.value


def test_few_resamples_of_very_many_classes_are_held_at_once() -> None:
    plan = plan_resamples(10, seed=0)
    parts = list(plan.chunks(10_000))
    assert max(map(len, parts)) * 10_000 <= CHUNK_ELEMENTS
    assert np.array_equal(np.concatenate(parts), np.concatenate(list(plan.chunks())))


def test_chunks_do_not_change_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_resamples(17, seed=9, resamples=50)
    whole = draw_weights(plan)
    monkeypatch.setattr("tfclassify.scoring.intervals.CHUNK_ELEMENTS", 17 * 7)
    assert len(list(plan.chunks())) == 8
    assert np.array_equal(draw_weights(plan), whole)
    assert (whole.sum(axis=1) == 17).all()


def test_a_group_is_drawn_whole_and_lone_images_alone() -> None:
    plan = plan_resamples(6, seed=0, resamples=100, groups=["a", "", "a", "b", "", None])
    weights = draw_weights(plan)
    assert plan.unit_count == 5
    assert np.array_equal(weights[:, 0], weights[:, 2])
    lone = weights[:, [1, 3, 4, 5]]
    assert not any(
        np.array_equal(lone[:, i], lone[:, j]) for i in range(4) for j in range(i + 1, 4)
    )


def test_groups_of_alike_images_widen_the_interval() -> None:
    # 40 people with 10 alike photos each: as good as 40 images, not 400.
    is_right = np.repeat(np.random.default_rng(0).random(40) < 0.6, 10)
    probabilities = np.where(is_right[:, None], [0.2, 0.8], [0.8, 0.2])
    people = np.repeat(np.arange(40), 10).tolist()
    widths = []
    for groups in (None, people):
        interval = bootstrap(
            METRICS["accuracy"], np.ones(400, int), probabilities, seed=0, groups=groups
        )
        widths.append(interval.high - interval.low)
    assert widths[1] / widths[0] == pytest.approx(np.sqrt(10), rel=0.15)


@pytest.mark.parametrize("is_right", [True, False])
def test_a_proportion_that_never_varies_gets_the_exact_bound(is_right: bool) -> None:
    probabilities = np.tile([0.1, 0.9] if is_right else [0.9, 0.1], (20, 1))
    interval = bootstrap(METRICS["accuracy"], np.ones(20, int), probabilities, seed=0)
    expected = binomtest(20 if is_right else 0, 20).proportion_ci(0.95, method="exact")
    assert interval.method == "exact"
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_a_score_that_never_varies_and_is_no_proportion_has_no_interval() -> None:
    probabilities = np.tile([0.1, 0.9], (20, 1))
    interval = bootstrap(METRICS["f1_macro"], np.ones(20, int), probabilities, seed=0)
    assert interval == Interval(1.0, None, None, 20, method="none", classes=(1, 2))


def test_a_single_image() -> None:
    accuracy = bootstrap(METRICS["accuracy"], [1], [[0.2, 0.8]], seed=0)
    assert (accuracy.low, accuracy.high) == pytest.approx((0.025, 1.0))
    assert bootstrap(METRICS["loss"], [1], [[0.2, 0.8]], seed=0).low is None
    area = bootstrap(METRICS["roc_auc"], [1], [[0.2, 0.8]], seed=0)
    assert area == Interval(None, None, None, 1, method="none")


def test_resamples_without_a_value_are_left_out() -> None:
    samples = np.array([np.nan, 0.2, 0.4, np.nan, 0.6])
    interval = make_interval(0.4, samples, n=5, level=0.5)
    assert (interval.low, interval.high) == pytest.approx((0.3, 0.5))


def test_a_class_of_one_image_leaves_most_resamples_without_an_area() -> None:
    targets = np.array([0] * 9 + [1])
    probabilities = make_outcome(seed=3, images=10, classes=2)[1]
    interval = bootstrap(METRICS["roc_auc"], targets, probabilities, seed=0)
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


def test_the_interval_is_widened_to_hold_its_score() -> None:
    interval = make_interval(0.1, np.linspace(0.2, 0.3, 50), n=50)
    assert interval.low == 0.1


def test_description() -> None:
    assert Interval(0.9231, 0.9012, 0.9434, 620).describe() == "0.923 (0.901–0.943, n=620)"
    assert Interval(0.5, None, None, 1, method="none").describe(1) == "0.5 (n=1)"
    assert Interval(None, None, None, 1, method="none").describe() == "–"


def test_the_bootstrap_asks_a_metric_once_for_all_resamples_of_a_chunk() -> None:
    asked: list[int] = []

    def count(weighting: Weighting) -> np.ndarray:
        asked.append(len(weighting.weights))
        return METRICS["accuracy"].weigh(weighting)

    outcome = Outcome(*make_outcome(seed=0, images=600, classes=8))
    samples = resample({"counted": count}, outcome, plan_resamples(600, seed=0, resamples=5000))
    assert samples["counted"].shape == (5000,)
    assert asked == [CHUNK_ELEMENTS // 600, 5000 - CHUNK_ELEMENTS // 600]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resamples": 0}, r"resamples: must be at least 1, got 0"),
        ({"groups": ["a"]}, r"groups: must be one an image, 2, got 1"),
        ({"level": 95}, r"level: must be between 0 and 1, got 95"),
    ],
)
def test_what_cannot_be_resampled_is_refused(changes, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        bootstrap(METRICS["accuracy"], [0, 1], np.eye(2), seed=0, **changes)


def test_recentred_resamples_have_the_score_in_their_middle() -> None:
    samples = np.linspace(0.5, 0.7, 201)
    plain = make_interval(0.4, samples, n=9)
    assert (plain.low, plain.high) == pytest.approx((0.4, 0.695))
    moved = make_interval(0.4, samples, n=9, recentred=True)
    assert (moved.low, moved.high) == pytest.approx((0.305, 0.495))
    # No score from 0 to 1 ends up outside.
    assert make_interval(0.95, samples, n=9, recentred=True).high == 1.0


def test_average_precision_on_few_images_is_not_lifted() -> None:
    targets, probabilities = make_label_outcome(seed=2, images=300, classes=20, share=0.04)
    interval = judge_labels(targets, probabilities, list("abcdefghijklmnopqrst"), seed=0).metrics
    middle = (interval["map"].low + interval["map"].high) / 2
    assert interval["map"].value == pytest.approx(middle, abs=0.01)
    plan = plan_resamples(300, seed=0)
    lifted = resample(
        {"map": LABEL_METRICS["map"].weigh}, LabelOutcome(targets, probabilities), plan
    )["map"]
    assert lifted.mean() > interval["map"].value + 0.01


@pytest.mark.parametrize(("images", "sharpness"), [(60, 1.0), (200, 1.0), (200, 0.85), (200, 0.6)])
def test_the_calibration_errors_interval_holds_the_true_error(
    images: int, sharpness: float
) -> None:
    metric = METRICS["ece"]

    def draw(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels that fall as a model of softer probabilities than it says would have them."""
        powers = np.exp(generator.normal(size=(count, 8)) * 2.0)
        true = powers / powers.sum(axis=1, keepdims=True)
        said = true ** (1.0 / sharpness)
        ids = (true.cumsum(axis=1) > generator.random((count, 1))).argmax(axis=1)
        return ids, said / said.sum(axis=1, keepdims=True)

    true_error = metric.compute(*draw(np.random.default_rng(0), 400_000))
    sets = 50
    found = [
        bootstrap(metric, *draw(np.random.default_rng(seed), images), seed=seed, resamples=200)
        for seed in range(1, sets + 1)
    ]
    held = sum(each.low <= true_error <= each.high for each in found)
    assert held >= 0.88 * sets  # the plain bootstrap: 0, 0, 0 and 41 of 50
