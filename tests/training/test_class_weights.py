from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from tfclassify.errors import TrainingError
from tfclassify.training.class_weights import resolve_class_weights

CLASSES = ("ash", "birch", "cedar")


def one_hot(*ids: int) -> np.ndarray:
    return np.eye(3, dtype=np.float32)[list(ids)]


def test_none_is_no_weights() -> None:
    assert resolve_class_weights("none", one_hot(0, 1, 2), CLASSES) is None


def test_balanced_agrees_with_scikit_learn() -> None:
    ids = np.array([0, 0, 0, 0, 1, 1, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=ids)
    weights = resolve_class_weights("balanced", one_hot(*ids), CLASSES)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_named_weights_default_to_one() -> None:
    weights = resolve_class_weights({"cedar": 2.5}, one_hot(0), CLASSES)
    assert weights is not None
    assert weights.tolist() == [1.0, 1.0, 2.5]


def test_a_class_without_images_cannot_be_balanced() -> None:
    with pytest.raises(TrainingError, match="'birch' has none"):
        resolve_class_weights("balanced", one_hot(0, 0, 2), CLASSES)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(TrainingError, match="'birsh' is not a class; did you mean 'birch'"):
        resolve_class_weights({"birsh": 1.0}, one_hot(0), CLASSES)


def test_a_strange_name_is_answered_with_all() -> None:
    with pytest.raises(TrainingError, match="'xyz' is not a class; classes: ash, birch, cedar"):
        resolve_class_weights({"xyz": 1.0}, one_hot(0), CLASSES)


def test_balanced_label_sets_weigh_presence_against_absence() -> None:
    # ash in 3 of 4 images, birch in 1, cedar in none.
    targets = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], np.float32)
    weights = resolve_class_weights("balanced", targets, CLASSES, "multi_label")
    np.testing.assert_allclose(weights, [1 / 3, 3.0, 1.0], rtol=1e-6)


def test_balanced_label_sets_have_limits() -> None:
    targets = np.zeros((1000, 3), np.float32)
    targets[:, 0], targets[0, 1], targets[:20, 2] = 1.0, 1.0, 1.0
    weights = resolve_class_weights("balanced", targets, CLASSES, "multi_label")
    np.testing.assert_allclose(weights, [0.01, 100.0, 49.0], rtol=1e-6)


def test_named_weights_go_for_label_sets_too() -> None:
    weights = resolve_class_weights({"birch": 4.0}, one_hot(0), CLASSES, "multi_label")
    assert weights is not None
    assert weights.tolist() == [1.0, 4.0, 1.0]
