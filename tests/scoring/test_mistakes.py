"""The most confident mistakes."""

from __future__ import annotations

import pytest

from tfclassify.errors import ScoringError
from tfclassify.scoring.mistakes import WrongImage, find_mistakes

PROBABILITIES = [[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]]


def test_the_most_confident_come_first_and_right_ones_never() -> None:
    found = find_mistakes([1, 0, 2, 0], PROBABILITIES)
    assert [wrong.position for wrong in found] == [0, 1, 3]
    assert found[0] == WrongImage(0, target=1, predicted=0, probability=0.9, true_probability=0.1)


def test_the_limit() -> None:
    assert [wrong.position for wrong in find_mistakes([1, 0, 2, 0], PROBABILITIES, limit=1)] == [0]


def test_a_perfect_model_has_none() -> None:
    assert find_mistakes([0, 1, 2, 1], PROBABILITIES) == []


def test_arrays_are_checked() -> None:
    with pytest.raises(ScoringError, match="one class id an image"):
        find_mistakes([0], PROBABILITIES)
