"""The most confident mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.scoring.mistakes import WrongImage, find_mistakes, find_wrong_labels
from tfclassify.scoring.outcome import LabelOutcome, Outcome

PROBABILITIES = [[0.9, 0.1, 0.0], [0.3, 0.6, 0.1], [0.1, 0.1, 0.8], [0.2, 0.6, 0.2]]


def test_the_most_confident_come_first_and_right_ones_never() -> None:
    found = find_mistakes(Outcome([1, 0, 2, 0], PROBABILITIES))
    assert [wrong.position for wrong in found] == [0, 1, 3]
    assert found[0] == WrongImage(0, target=1, predicted=0, probability=0.9, true_probability=0.1)


def test_the_limit() -> None:
    assert [
        wrong.position for wrong in find_mistakes(Outcome([1, 0, 2, 0], PROBABILITIES), limit=1)
    ] == [0]


def test_a_perfect_model_has_none() -> None:
    assert find_mistakes(Outcome([0, 1, 2, 1], PROBABILITIES)) == []


def test_wrong_label_sets_come_by_their_loss() -> None:
    targets = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]])
    probabilities = np.array([[0.9, 0.1, 0.1], [0.2, 0.4, 0.9], [0.1, 0.6, 0.7], [0.4, 0.4, 0.4]])
    first, second = find_wrong_labels(LabelOutcome(targets, probabilities))
    assert (first.position, first.found, first.missed, first.added) == (1, (), (0, 1), (2,))
    assert first.loss == pytest.approx(-np.log([0.2, 0.4, 0.1]).mean())
    assert (second.position, second.found, second.missed, second.added) == (2, (2,), (), (1,))
    assert find_wrong_labels(LabelOutcome(targets, probabilities), limit=1) == [first]


def test_a_high_loss_alone_is_no_mistake() -> None:
    assert find_wrong_labels(LabelOutcome([[1, 0]], [[0.51, 0.49]])) == []
    assert [
        row.added for row in find_wrong_labels(LabelOutcome([[1, 0]], [[0.51, 0.49]], 0.4))
    ] == [(1,)]
