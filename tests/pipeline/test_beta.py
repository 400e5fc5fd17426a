from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tfclassify.pipeline.beta import CELLS, draw_beta


def draw(uniform: np.ndarray, alpha: float) -> np.ndarray:
    return draw_beta(tf.constant(uniform, tf.float64), alpha).numpy()


def test_alpha_one_is_uniform():
    uniform = np.linspace(0, 0.999, 50)
    assert np.array_equal(draw(uniform, 1.0), uniform)


def test_alpha_half_is_the_arcsine_law():
    # Its quantile function is known: sin(pi u / 2) squared.
    uniform = np.linspace(0, 0.9999, 777)
    expected = np.sin(np.pi * uniform / 2) ** 2
    np.testing.assert_allclose(draw(uniform, 0.5), expected, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 0.4, 2.0, 8.0])
def test_distribution_function_is_that_of_beta(alpha: float):
    uniform = (np.arange(20_000) + 0.5) / 20_000
    values = draw(uniform, alpha)
    assert np.all(np.diff(values) >= 0)
    assert stats.kstest(values, stats.beta(alpha, alpha).cdf).statistic < 1.5 / CELLS


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 100.0])
def test_ends_stay_within_the_range(alpha: float):
    values = draw(np.array([0.0, 0.5, 1.0 - 2.0**-24]), alpha)
    assert values[0] == pytest.approx(0.0, abs=0.01)
    assert values[1] == pytest.approx(0.5, abs=1e-9)
    assert values[2] <= 1.0
