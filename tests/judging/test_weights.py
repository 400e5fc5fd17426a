"""Weights of an ensemble, against hand-worked cases and another optimiser."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from tests.builders import make_outcome
from tfclassify.errors import ScoringError
from tfclassify.judging.weights import cross_fit, find_likelihoods, mix, search_weights
from tfclassify.scoring.tasks import TASKS, get_task


def stack(*given: float) -> np.ndarray:
    """Make likelihoods of one label an image from one row an image."""
    return np.asarray(given, dtype=np.float64)[:, :, None]


def test_likelihoods_by_hand() -> None:
    members = np.array([[[0.7, 0.3], [0.2, 0.8]], [[0.4, 0.6], [0.1, 0.9]]], np.float32)
    targets = np.array([[1, 0], [0, 1]], np.float32)
    single = find_likelihoods(members, targets, get_task("multi_class"))
    assert single[:, :, 0] == pytest.approx(np.array([[0.7, 0.4], [0.8, 0.9]]))
    several = find_likelihoods(members, targets, get_task("multi_label"))
    assert several[0] == pytest.approx(np.array([[0.7, 0.7], [0.4, 0.4]]))
    assert several[1] == pytest.approx(np.array([[0.8, 0.8], [0.9, 0.9]]))


def test_a_probability_of_zero_stays_a_number() -> None:
    members = np.array([[[1.0, 0.0]]])
    found = find_likelihoods(members, np.array([[0.0, 1.0]]), get_task("multi_class"))
    assert found.min() == pytest.approx(1e-7)


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 2), (1, 0, 2)])
def test_shapes_must_fit(shape: tuple[int, ...]) -> None:
    targets = np.zeros((0, 2)) if 0 in shape else np.zeros((3, 2))
    with pytest.raises(ScoringError, match="must have the shape"):
        find_likelihoods(np.zeros(shape), targets, get_task("multi_class"))


def test_the_better_member_of_every_image_takes_all() -> None:
    weights = search_weights(stack([0.9, 0.3], [0.8, 0.2], [0.7, 0.6]))
    assert weights == pytest.approx([1.0, 0.0], abs=1e-5)


def test_weights_by_hand() -> None:
    # log(0.8 w + 0.2 (1 - w)) + log(0.2 w + 0.8 (1 - w)) is largest in the middle; twice
    # the first image instead: d/dw [2 log(0.2 + 0.6 w) + log(0.8 - 0.6 w)] = 0 at w = 7/9.
    assert search_weights(stack([0.8, 0.2], [0.2, 0.8])) == pytest.approx([0.5, 0.5])
    found = search_weights(stack([0.8, 0.2], [0.8, 0.2], [0.2, 0.8]))
    assert found == pytest.approx([7 / 9, 2 / 9], abs=2e-3)


@pytest.mark.parametrize("task", TASKS)
def test_the_best_likelihood_is_that_of_another_optimiser(task: str) -> None:
    targets = np.eye(4)[make_outcome(0, 80, 4)[0]]
    generator = np.random.default_rng(0)
    members = []
    for skill in (2.0, 1.0, 0.5):
        powers = np.exp(generator.normal(size=(80, 4)) + skill * targets)
        members.append(powers / powers.sum(axis=1, keepdims=True))
    likelihoods = find_likelihoods(np.stack(members), targets, get_task(task))

    def cost(weights: np.ndarray) -> float:
        return -float(np.log(np.einsum("nml,m->nl", likelihoods, weights)).mean())

    other = minimize(
        cost, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, method="SLSQP", options={"ftol": 1e-12},
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )  # fmt: skip
    found = search_weights(likelihoods)
    assert found.sum() == pytest.approx(1.0)
    assert cost(found) <= cost(other.x) + 2e-6


def test_mixing_by_hand() -> None:
    members = np.array([[[0.6, 0.4]], [[0.2, 0.8]]])
    assert mix(members, np.array([0.25, 0.75])) == pytest.approx(np.array([[0.3, 0.7]]))


def test_an_image_has_no_say_in_its_own_weights() -> None:
    # Two folds of one image: each is averaged by what the other image alone calls for.
    members = np.array([[[0.9, 0.1], [0.4, 0.6]], [[0.3, 0.7], [0.1, 0.9]]])
    targets = np.array([[1.0, 0.0], [0.0, 1.0]])
    likelihoods = find_likelihoods(members, targets, get_task("multi_class"))
    mixed = cross_fit(members, likelihoods, seed=0)
    # The second image wants member two (0.9 > 0.6), the first wants member one (0.9 > 0.3).
    assert mixed == pytest.approx(np.array([[0.3, 0.7], [0.4, 0.6]]), abs=1e-4)


def test_groups_stay_together_in_a_fold() -> None:
    members = np.zeros((2, 4, 2)) + 0.5
    likelihoods = np.zeros((4, 2, 1)) + 0.5
    assert cross_fit(members, likelihoods, seed=0, groups=["a", "a", "b", ""]).shape == (4, 2)
    with pytest.raises(ScoringError, match="need 2 images or groups at least, got 1"):
        cross_fit(members, likelihoods, seed=0, groups=["a"] * 4)
