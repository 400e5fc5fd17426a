from __future__ import annotations

import numpy as np
import pytest

from tfclassify.scoring.tasks import get_task
from tfclassify.training.hits import EpochTally, find_missed, score_images

LOGITS = np.array([[2.0, -1.0, -1.0], [-1.0, 1.0, 3.0], [-1.0, -2.0, -3.0]], np.float32)


def test_one_label_is_right_or_wrong() -> None:
    targets = np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32)
    task = get_task("multi_class")
    assert score_images(task, targets, LOGITS).tolist() == [1.0, 0.0, 1.0]
    assert find_missed(task, targets, LOGITS).tolist() == [False, True, False]


def test_label_sets_overlap_more_or_less() -> None:
    # Answers {0}, {1, 2} and nothing against {0, 1}, {1} and nothing.
    targets = np.array([[1.0, 0.7, 0.3], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    task = get_task("multi_label")
    assert score_images(task, targets, LOGITS) == pytest.approx([0.5, 0.5, 1.0])
    assert find_missed(task, targets, LOGITS).tolist() == [True, True, False]


def test_a_tally_weighs_batches_by_their_images() -> None:
    tally = EpochTally(np.zeros(3, bool))
    tally.add(2, 1.0, np.array([1.0, 0.0]))
    tally.add(1, 4.0, np.array([1.0]))
    assert (tally.loss, tally.score, tally.seen) == (6.0, 2.0, 3)
    assert tally.images_per_second > 0.0
