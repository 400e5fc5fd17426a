"""Confident learning by hand, and as cleanlab computes it."""

from __future__ import annotations

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues as find_by_cleanlab
from cleanlab.rank import (
    get_normalized_margin_for_each_label,
    get_self_confidence_for_each_label,
)

from tests.builders import make_label_outcome, make_outcome
from tfclassify.errors import ScoringError
from tfclassify.labelling.confident import find_label_issues, find_set_issues


def test_by_hand() -> None:
    given = np.array([0, 0, 0, 1, 1, 1])
    probabilities = np.array(
        [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8], [0.75, 0.25]]
    )
    found = find_label_issues(given, probabilities)
    # Class 0 has 0.9, 0.8 and 0.1 of itself, class 1 has 0.7, 0.8 and 0.25.
    assert found.thresholds.tolist() == pytest.approx([0.6, 1.75 / 3])
    assert found.confident.tolist() == [0, 0, 1, 1, 1, 0]
    assert found.counts.tolist() == [[2, 1], [1, 2]]
    assert found.rank().tolist() == [2, 5]
    assert found.self_confidence[[2, 5]].tolist() == [0.1, 0.25]
    assert found.margin[[2, 5]].tolist() == pytest.approx([-0.8, -0.5])
    assert found.suggested[[2, 5]].tolist() == [1, 0]


def test_two_rankings() -> None:
    # The first has less of its label, the second is further behind the best other one.
    given = np.array([0, 0, 0, 1, 2])
    probabilities = np.array(
        [[0.1, 0.5, 0.4], [0.15, 0.8, 0.05], [0.9, 0.05, 0.05], [0.1, 0.4, 0.5], [0.2, 0.3, 0.5]]
    )
    found = find_label_issues(given, probabilities)
    assert found.rank().tolist()[:2] == [0, 1]
    assert found.rank("margin").tolist()[:2] == [1, 0]


@pytest.mark.parametrize("seed", range(4))
def test_as_cleanlab_computes_it(seed: int) -> None:
    given, probabilities = make_outcome(seed, 400, 5)
    generator = np.random.default_rng(seed)
    is_changed = generator.random(400) < 0.1
    given = np.where(is_changed, generator.integers(5, size=400), given)
    found = find_label_issues(given, probabilities)
    assert found.thresholds == pytest.approx(get_confident_thresholds(given, probabilities))
    assert found.self_confidence == pytest.approx(
        get_self_confidence_for_each_label(given, probabilities)
    )
    margins = get_normalized_margin_for_each_label(given, probabilities)
    assert (found.margin + 1) / 2 == pytest.approx(margins)
    # cleanlab takes the most probable class of all where several are confident, the paper the
    # most probable confident one: rows on which these are the same are the same.
    is_confident = probabilities >= found.thresholds - 1e-6
    first = probabilities.argmax(axis=1)
    is_same = (is_confident.sum(axis=1) < 2) | is_confident[np.arange(400), first]
    assert is_same.mean() > 0.9
    joint = compute_confident_joint(
        given[is_same], probabilities[is_same], thresholds=found.thresholds, calibrate=False
    )
    kept = (found.confident >= 0) & is_same
    counts = np.zeros((5, 5), dtype=int)
    np.add.at(counts, (given[kept], found.confident[kept]), 1)
    assert counts.tolist() == joint.tolist()
    theirs = find_by_cleanlab(given, probabilities, filter_by="confident_learning")
    assert (found.is_issue & is_same).tolist() == (theirs & is_same).tolist()
    assert found.is_issue.sum() > 20


def test_changed_labels_are_found() -> None:
    true, probabilities = make_outcome(3, 1000, 4, skill=4.0)
    given = true.copy()
    given[:50] = (given[:50] + 1) % 4
    found = find_label_issues(given, probabilities)
    first = found.rank()[:50]
    assert (first < 50).mean() > 0.8
    assert (found.suggested[first[first < 50]] == true[first[first < 50]]).mean() > 0.9


def test_a_class_without_images_is_never_confident() -> None:
    found = find_label_issues(np.array([0, 1]), np.array([[0.1, 0.1, 0.8], [0.0, 0.1, 0.9]]))
    assert np.isinf(found.thresholds[2])
    assert 2 not in found.confident


def test_nothing_is_wrong_with_no_image() -> None:
    found = find_label_issues(np.zeros(0, np.int64), np.zeros((0, 3)))
    assert found.rank().tolist() == []
    assert found.counts.sum() == 0


def test_sets_are_judged_class_by_class_as_cleanlab_does() -> None:
    targets, probabilities = make_label_outcome(0, 300, 4, skill=4.0)
    given = targets.astype(bool)
    given[:20, 1] ^= True
    found = find_set_issues(given, probabilities)
    for column in range(4):
        both = np.stack([1 - probabilities[:, column], probabilities[:, column]], axis=1)
        theirs = find_by_cleanlab(
            given[:, column].astype(int), both, filter_by="confident_learning"
        )
        assert found.is_issue[:, column].tolist() == theirs.tolist()
    assert found.is_issue[:20, 1].mean() > 0.6
    row = found.rank()[0]
    assert found.score[row] == found.score.min()
    changed = found.suggested[row] != given[row]
    assert changed.tolist() == found.is_issue[row].tolist()


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ScoringError, match=r"got \(3,\) labels and \(2, 2\) probabilities"):
        find_label_issues(np.zeros(3, np.int64), np.zeros((2, 2)))
    with pytest.raises(ScoringError, match=r"2 classes or more, got \(3,\) labels and \(3, 1\)"):
        find_label_issues(np.zeros(3, np.int64), np.zeros((3, 1)))
    with pytest.raises(ScoringError, match="must be from 0 to 1, got 2"):
        find_label_issues(np.array([0, 2]), np.zeros((2, 2)))
    with pytest.raises(ScoringError, match=r"must be as many as the probabilities, \(2, 3\)"):
        find_set_issues(np.zeros((2, 2), bool), np.zeros((2, 3)))
