"""Reliability and temperature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from tests.builders import make_outcome
from tfclassify.errors import ScoringError
from tfclassify.scoring.calibration import (
    TEMPERATURE_RANGE,
    apply_temperature,
    fit_temperature,
    reliability_curve,
)
from tfclassify.scoring.metrics import METRICS


def make_calibrated(seed: int, images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw targets from the probabilities themselves."""
    generator = np.random.default_rng(seed)
    probabilities = softmax(generator.normal(0, 2, (images, classes)), axis=1)
    spots = generator.random(images)[:, None]
    return (probabilities.cumsum(1) < spots).sum(1), probabilities


def test_curve_agrees_with_scikit_learn() -> None:
    targets, probabilities = make_outcome(seed=0, images=500, classes=4)
    curve = reliability_curve(targets, probabilities)
    shares, means = calibration_curve(
        probabilities.argmax(1) == targets, probabilities.max(1), n_bins=15
    )
    filled = [row for row in curve if row.count]
    assert [row.accuracy for row in filled] == pytest.approx(shares.tolist())
    assert [row.confidence for row in filled] == pytest.approx(means.tolist())
    assert len(curve) == 15
    assert sum(row.count for row in curve) == 500
    assert curve[0].count == 0
    assert curve[0].accuracy is None


def test_error_is_the_weighted_gap_of_the_curve() -> None:
    targets, probabilities = make_outcome(seed=1, images=300, classes=3)
    curve = reliability_curve(targets, probabilities)
    gaps = [row.count * abs(row.confidence - row.accuracy) for row in curve if row.count]
    assert METRICS["ece"].compute(targets, probabilities) == pytest.approx(sum(gaps) / 300)


def test_a_calibrated_model_has_a_small_error_and_temperature_one() -> None:
    targets, probabilities = make_calibrated(seed=2, images=20_000, classes=5)
    assert METRICS["ece"].compute(targets, probabilities) < 0.015
    assert fit_temperature(targets, probabilities) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_fitting_undoes_a_distortion(factor: float) -> None:
    targets, probabilities = make_calibrated(seed=3, images=20_000, classes=5)
    distorted = softmax(np.log(probabilities) * factor, axis=1)
    temperature = fit_temperature(targets, distorted)
    assert temperature == pytest.approx(factor, rel=0.03)
    assert (
        METRICS["ece"].compute(targets, apply_temperature(distorted, temperature))
        < 0.015
        < METRICS["ece"].compute(targets, distorted)
    )


def test_fitting_agrees_with_scipy() -> None:
    targets, probabilities = make_outcome(seed=4, images=200, classes=6, skill=3.0)
    logs = np.log(probabilities)
    best = minimize_scalar(
        lambda t: log_loss(targets, softmax(logs / t, axis=1)),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-8},
    )
    assert fit_temperature(targets, probabilities) == pytest.approx(best.x, rel=1e-4)


def test_a_model_that_is_always_right_is_left_as_it_is() -> None:
    assert fit_temperature([0, 1], [[0.6, 0.4], [0.4, 0.6]]) == 1.0


def test_a_model_that_is_always_sure_and_wrong_meets_the_bound() -> None:
    assert fit_temperature([0, 0], [[0.0, 1.0], [0.0, 1.0]]) == pytest.approx(TEMPERATURE_RANGE[1])


def test_a_temperature_changes_no_prediction_and_keeps_sums() -> None:
    probabilities = make_outcome(seed=5, images=50, classes=4)[1]
    cooled = apply_temperature(probabilities.astype(np.float32), 0.5)
    assert np.array_equal(cooled.argmax(1), probabilities.argmax(1))
    assert cooled.sum(1) == pytest.approx(np.ones(50))
    # By hand: at T = 0.5 probabilities are squared and brought back to the sum 1.
    assert apply_temperature([[0.75, 0.25]], 0.5) == pytest.approx(np.array([[0.9, 0.1]]))
    assert np.array_equal(apply_temperature(probabilities, 1.0), probabilities)


def test_zeros_survive() -> None:
    assert np.isfinite(apply_temperature([[1.0, 0.0]], 3.0)).all()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_temperature_is_refused(temperature: float) -> None:
    with pytest.raises(ScoringError, match=r"temperature: must be a positive number, got"):
        apply_temperature([[0.5, 0.5]], temperature)
