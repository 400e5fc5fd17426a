"""The search for thresholds: against brute force, and never on what it judges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from tests.builders import make_label_outcome
from tfclassify.errors import ScoringError
from tfclassify.scoring.thresholds import (
    cross_fit_thresholds,
    fit_thresholds,
    search_thresholds,
)


def try_all(score, probabilities: np.ndarray) -> float:
    """Return the best score over a threshold below, between and above all probabilities."""
    values = np.unique(probabilities.astype(np.float32))
    tried = [0.0, *((values[1:] + values[:-1]) / 2), (values[-1] + 1) / 2]
    return max(score(np.float32(threshold)) for threshold in tried)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("is_tied", [False, True])
def test_the_common_threshold_is_as_good_as_any(seed: int, is_tied: bool) -> None:
    targets, probabilities = make_label_outcome(seed, images=15, classes=4)
    probabilities = np.round(probabilities, 1 if is_tied else 5)

    def score(threshold: float) -> float:
        given = probabilities.astype(np.float32) >= threshold
        return f1_score(targets, given, average="samples", zero_division=1)

    found = search_thresholds(targets, probabilities, "one")
    assert np.unique(found).size == 1
    assert score(np.float32(found[0])) == pytest.approx(try_all(score, probabilities))


@pytest.mark.parametrize("seed", range(3))
def test_each_class_gets_as_good_a_threshold_as_any(seed: int) -> None:
    targets, probabilities = make_label_outcome(seed, images=40, classes=3, share=0.4)
    found = search_thresholds(targets, probabilities, "per_class")
    for number in range(3):
        column = probabilities[:, number].astype(np.float32)

        def score(threshold: float, number: int = number, column: np.ndarray = column) -> float:
            return f1_score(targets[:, number], column >= threshold, zero_division=0)

        assert score(np.float32(found[number])) == pytest.approx(try_all(score, column))


def test_the_threshold_lies_in_the_middle_of_the_gap() -> None:
    found = search_thresholds([[1], [0], [1]], [[0.75], [0.25], [0.875]], "one")
    assert found.tolist() == [0.5]


def test_a_class_with_few_images_takes_the_common_threshold() -> None:
    # Class a: 5 images at 0.25 and above. Class b: 4 at 0.75, which alone would say 0.5.
    targets = np.array([[1, 0]] * 5 + [[0, 1]] * 4 + [[0, 0]] * 3)
    probabilities = np.where(targets[:, :1] == 1, [0.25, 0.0], [0.125, 0.0])
    probabilities[5:9] = [0.125, 0.75]
    found = search_thresholds(targets, probabilities, "per_class")
    assert found.tolist() == [0.1875, 0.1875]
    more = np.concatenate([targets, [[0, 1]]]), np.concatenate([probabilities, [[0.125, 0.75]]])
    assert search_thresholds(*more, "per_class").tolist() == [0.1875, 0.375]


def test_extreme_probabilities_leave_a_possible_threshold() -> None:
    # All at 1 though none is right: no threshold is above 1, so the labels stay given.
    assert search_thresholds([[0], [0]], [[1.0], [1.0]], "one").tolist() == [0.5]
    assert search_thresholds([[0], [0]], [[0.5], [0.25]], "one").tolist() == [0.75]
    assert 0.0 <= search_thresholds([[1], [1]], [[0.0], [0.0]], "one")[0] <= 1.0


def test_neighbouring_probabilities_are_told_apart() -> None:
    low = np.float32(0.4)
    high = np.nextafter(low, np.float32(1))
    found = search_thresholds([[1], [0]], [[high], [low]], "one")
    assert low < np.float32(found[0]) <= high


def test_an_image_has_no_part_in_its_own_thresholds() -> None:
    targets, probabilities = make_label_outcome(seed=5, images=60, classes=3)
    crossed = cross_fit_thresholds(targets, probabilities, "one", seed=0)
    assert len(np.unique(crossed)) > 1
    for row in range(0, 60, 7):
        changed, moved = targets.copy(), probabilities.copy()
        changed[row], moved[row] = 1 - changed[row], 1 - moved[row]
        again = cross_fit_thresholds(changed, moved, "one", seed=0)
        assert again[row].tolist() == crossed[row].tolist()


def test_groups_are_never_asked_for_themselves() -> None:
    targets, probabilities = make_label_outcome(seed=6, images=40, classes=3)
    groups = [f"site {number % 8}" for number in range(40)]
    crossed = cross_fit_thresholds(targets, probabilities, "per_class", seed=1, groups=groups)
    for site in range(8):
        own = np.arange(40) % 8 == site
        changed = np.where(own[:, None], 1 - targets, targets)
        again = cross_fit_thresholds(changed, probabilities, "per_class", seed=1, groups=groups)
        assert np.array_equal(again[own], crossed[own])


def test_without_others_to_ask_the_line_is_a_half() -> None:
    targets, probabilities = make_label_outcome(seed=6, images=9, classes=3)
    crossed = cross_fit_thresholds(targets, probabilities, "one", seed=1, groups=["a"] * 9)
    assert np.unique(crossed).tolist() == [0.5]


def test_a_number_is_taken_as_it_is() -> None:
    targets, probabilities = make_label_outcome(seed=6, images=9, classes=3)
    fitted = fit_thresholds(targets, probabilities, 0.3, seed=0)
    assert fitted.stored.tolist() == [0.3] * 3
    assert np.unique(fitted.crossed).tolist() == [0.3]
    searched = fit_thresholds(targets, probabilities, "one", seed=0)
    assert np.array_equal(searched.stored, search_thresholds(targets, probabilities, "one"))
    crossed = cross_fit_thresholds(targets, probabilities, "one", seed=0)
    assert np.array_equal(searched.crossed, crossed)


def test_another_kind_is_refused() -> None:
    with pytest.raises(ScoringError, match=r"must be a number or one of .*, got 'each'"):
        search_thresholds([[1]], [[0.5]], "each")


def test_scores_under_crossed_thresholds_do_not_flatter() -> None:
    """Where nothing can be learnt, thresholds tuned on the judged images look clever."""
    generator = np.random.default_rng(0)
    targets = (generator.random((60, 12)) < 0.3).astype(int)
    probabilities = generator.random((60, 12))
    fitted = fit_thresholds(targets, probabilities, "per_class", seed=0)
    tuned = f1_score(targets, probabilities >= fitted.stored, average="macro", zero_division=0)
    fair = f1_score(targets, probabilities >= fitted.crossed, average="macro", zero_division=0)
    assert fair < tuned - 0.03
