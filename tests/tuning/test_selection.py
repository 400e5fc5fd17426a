"""What a choice is worth: near the truth where the best was lucky, and never by a leak."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.scoring.verdicts import Answers
from tfclassify.tuning.selection import TrialAnswers, judge_choices, select


def make_answers(right: np.ndarray, groups: list[str] | None = None) -> TrialAnswers:
    """Make trials of two classes that are right on the images marked, ``(T, n)`` bool."""
    images = right.shape[1]
    ids = np.arange(images) % 2
    targets = np.eye(2, dtype=np.float32)[ids]
    probabilities = np.where(right[..., None], targets, 1 - targets).astype(np.float32) * 0.8 + 0.1
    return TrialAnswers(
        "multi_class", "accuracy", targets, list(range(len(right))), probabilities, groups
    )


def test_the_best_of_coins_is_worth_a_coin() -> None:
    naive, honest, covered = [], [], 0
    for seed in range(30):
        right = np.random.default_rng(seed).random((60, 100)) < 0.5
        found = select(make_answers(right), seed=seed)
        naive.append(found.naive.value)
        honest.append(found.honest.value)
        assert found.honest.low is not None
        assert found.honest.high is not None
        covered += found.honest.low <= 0.5 <= found.honest.high
    assert np.mean(naive) > 0.60  # the luck of the best of 60
    assert np.mean(honest) == pytest.approx(0.5, abs=0.03)
    assert covered >= 27


def test_a_trial_that_is_truly_better_is_found() -> None:
    generator = np.random.default_rng(0)
    right = generator.random((20, 400)) < 0.6
    right[7] = generator.random(400) < 0.9
    found = select(make_answers(right), seed=0)
    assert found.best == 7
    assert found.chosen == {7: 1.0}
    assert found.honest.value == pytest.approx(found.naive.value, abs=0.005)
    assert found.gain.low is not None
    assert found.gain.low > 0.15


def test_groups_are_left_out_whole() -> None:
    # Trial 1 is right on the images of one group only: chosen with it, judged without.
    groups = [f"sender {number // 10}" for number in range(100)]
    right = np.zeros((2, 100), dtype=bool)
    right[0, ::10] = True  # one image of each group
    right[1, :10] = True
    found = select(make_answers(right, groups), seed=0)
    assert found.start.value == pytest.approx(0.1)
    # Where trial 1 wins, its group was drawn, so all it is judged on is wrong.
    assert found.honest.value == pytest.approx(0.1 * found.chosen[0], abs=0.01)
    assert 0.1 < found.chosen[1] < 0.7


def test_a_few_images_may_be_drawn_whole() -> None:
    found = select(make_answers(np.array([[True, True], [False, True]])), seed=0)
    assert found.best == 0


def test_label_sets_are_judged_alike() -> None:
    targets = np.array([[1, 0], [1, 1], [0, 1], [1, 0]] * 5, dtype=np.float32)
    probabilities = np.stack([np.full_like(targets, 0.6), targets * 0.8 + 0.1])
    answers = TrialAnswers("multi_label", "f1_samples", targets, [0, 4], probabilities)
    found = select(answers, seed=0)
    assert found.best == 4
    assert found.naive.value == 1.0


def test_a_loss_is_made_small() -> None:
    right = np.array([[True] * 10, [False] * 10])
    answers = make_answers(right)
    answers = TrialAnswers("multi_class", "loss", answers.targets, [0, 1], answers.probabilities)
    assert select(answers, seed=0).best == 0


def make_fold_answers(right: np.ndarray, groups: tuple[str, ...]) -> Answers:
    """Make answers of two classes; views that say the contrary must not be looked at."""
    ids = np.arange(len(right)) % 2
    targets = np.eye(2, dtype=np.float32)[ids]
    plain = np.where(right[:, None], targets, 1 - targets).astype(np.float32) * 0.8 + 0.1
    names = tuple(f"{number}.png" for number in range(len(right)))
    return Answers(("a", "b"), names, names, names, groups, targets, plain, 1 - plain)


@pytest.mark.parametrize("group", ["", "g"])
def test_nested_folds_by_hand(group: str) -> None:
    """The start is right on 40 of 80 images, what was chosen on those and on 24 others."""
    groups = tuple(group and f"{group}{number // 8}" for number in range(80))
    start = np.arange(80) % 2 == 0
    chosen = start | (np.arange(80) < 48)
    nested = judge_choices(
        make_fold_answers(start, groups),
        make_fold_answers(chosen, groups),
        [3, 0],
        metric="accuracy",
        seed=0,
    )
    assert nested.best == (3, 0)
    assert (nested.start.value, nested.honest.value) == (0.5, 0.8)
    assert nested.gain.value == pytest.approx(0.3)
    assert nested.gain.n == 80
    assert nested.gain.low is not None
    assert nested.gain.high is not None
    # By hand: each image of a group gains 0.5 or nothing; 6 of 10 groups do.
    spread = 0.5 * (0.6 * 0.4 / 10) ** 0.5 if group else (0.3 * 0.7 / 80) ** 0.5
    assert nested.gain.high - nested.gain.low == pytest.approx(2 * 1.96 * spread, rel=0.15)
