"""Suspects: each kind on answers, features and photos that are made so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.builders import make_label_outcome, make_outcome
from tfclassify.labelling.issues import (
    KINDS,
    Issue,
    find_conflicting,
    find_contradicted,
    find_hardest,
    find_outliers,
    find_poor_photos,
    rank_suspects,
)
from tfclassify.scoring.verdicts import Answers

CLASSES = ("dress", "shirt", "skirt")


def make_answers(targets: np.ndarray, probabilities: np.ndarray) -> Answers:
    size = len(probabilities)
    names = tuple(f"{number:03}.png" for number in range(size))
    classes = CLASSES if probabilities.shape[1] == 3 else ("a", "b", "c", "d")
    marks = targets if targets.ndim == 2 else np.eye(len(classes))[targets]
    answers = Answers(
        classes, names, names, ("",) * size, ("",) * size, marks.astype(np.float32), probabilities
    )
    is_set = targets.ndim == 2
    return replace(answers, thresholds=np.full(marks.shape, 0.5)) if is_set else answers


def make_single(changed: int = 12) -> tuple[Answers, np.ndarray]:
    true, probabilities = make_outcome(0, 300, 3, skill=5.0)
    given = true.copy()
    given[:changed] = (given[:changed] + 1) % 3
    return make_answers(given, probabilities), true


def test_contradicted_labels_say_what_the_model_says() -> None:
    answers, true = make_single()
    issues = find_contradicted(answers)
    assert {issue.row for issue in issues[:10]} <= set(range(12))
    first = issues[0]
    assert first.suggestion == CLASSES[true[first.row]]
    given = CLASSES[int(answers.targets[first.row].argmax())]
    assert first.reason.startswith(f"the model gives {given} 0.")
    assert f", {first.suggestion} " in first.reason
    assert first.reason.endswith(" %")
    assert [issue.score for issue in issues] == sorted(issue.score for issue in issues)
    by_margin = find_contradicted(answers, "margin")
    assert {issue.row for issue in by_margin} == {issue.row for issue in issues}
    assert all(0 <= issue.score <= 1 for issue in by_margin)


def test_contradicted_sets_name_each_label() -> None:
    targets, probabilities = make_label_outcome(0, 300, 4, skill=6.0)
    targets[:10, 2] = 1 - targets[:10, 2]
    answers = make_answers(targets, probabilities)
    issues = find_contradicted(answers)
    assert {issue.row for issue in issues[:6]} <= set(range(10))
    first = issues[0]
    was = bool(targets[first.row, 2])
    assert f"c is {'there' if was else 'absent'}, which the model gives " in first.reason
    assert ("c" in first.suggestion.split("|")) is not was


def test_the_highest_losses_are_few_and_wrong() -> None:
    answers, _ = make_single()
    issues = find_hardest(answers)
    assert len(issues) == 3  # 1 % of 300
    likelihoods = (answers.targets * answers.probabilities).sum(axis=1)
    assert [issue.row for issue in issues] == np.argsort(likelihoods)[:3].tolist()
    # An image that the model is right on is not remarked on, however little it has.
    right = make_answers(np.zeros(5, np.int64), np.tile([0.4, 0.3, 0.3], (5, 1)))
    assert find_hardest(right) == []


def test_near_duplicates_under_different_labels() -> None:
    generator = np.random.default_rng(0)
    thumbnails = generator.integers(0, 256, (6, 9, 9, 3)).astype(np.uint8)
    thumbnails[4] = thumbnails[1]
    thumbnails[4, 0, 0] //= 2
    thumbnails[5] = thumbnails[2]
    answers = make_answers(np.array([0, 1, 2, 0, 2, 2]), np.full((6, 3), 1 / 3))
    issues = sorted(find_conflicting(answers, thumbnails), key=lambda each: each.row)
    assert [(issue.row, issue.suggestion) for issue in issues] == [(1, "skirt"), (4, "shirt")]
    assert issues[0].reason.startswith("nearly equals 004.png, labelled skirt (")
    # 2 and 5 are equal under one label; black ones without contrast match nothing.
    assert find_conflicting(answers, np.zeros_like(thumbnails)) == []


def test_outliers_are_far_from_all_others() -> None:
    generator = np.random.default_rng(0)
    values = (np.ones(24) + 0.2 * generator.normal(size=(100, 24))).astype(np.float32)
    values[17] = -values[17]
    is_there = np.ones(100, dtype=bool)
    is_there[3] = False
    values[3] = 0
    (found,) = find_outliers(values, is_there)
    assert (found.row, found.kind) == (17, "outlier")
    assert found.score == 0.0
    assert "its 10 nearest images are -0." in found.reason
    assert find_outliers(values[:49], is_there[:49]) == []


def test_poor_photos() -> None:
    measured = np.tile([200.0, 60.0, 0.5], (40, 1))
    measured[:, 2] *= np.linspace(0.9, 1.1, 40)
    measured[3] = [30, 12, 0.5]
    measured[5] = [120, 1, np.nan]
    measured[8, 2] = 0.02
    measured[9] = np.nan
    issues = {issue.row: issue for issue in find_poor_photos(measured)}
    assert {row: issue.kind for row, issue in issues.items()} == {
        3: "dark",
        5: "empty",
        8: "blurred",
    }
    assert issues[3].score == pytest.approx(0.75)
    assert "darker than 30 of 255" in issues[3].reason
    assert "varies by 1.0 of 255" in issues[5].reason
    assert "sharpness 0.020, that of half" in issues[8].reason


def test_an_image_stands_once_under_its_weightiest_reason() -> None:
    answers = make_answers(np.array([0, 1, 2]), np.full((3, 3), 1 / 3))
    issues = [
        Issue(0, "dark", 0.1, "is dark"),
        Issue(1, "label", 0.3, "says shirt", "shirt"),
        Issue(0, "label", 0.5, "says skirt", "skirt"),
        Issue(2, "blurred", 0.0, "is blurred"),
        Issue(1, "duplicate", 0.0, "is there twice", "dress"),
    ]
    suspects = rank_suspects(answers, issues)
    assert [(each.row, each.kind) for each in suspects] == [
        (1, "label"),
        (0, "label"),
        (2, "blurred"),
    ]
    assert suspects[0].reason == "says shirt; is there twice"
    assert suspects[0].suggestion == "shirt"
    assert (suspects[1].given, suspects[2].suggestion) == ("dress", "")
    assert {issue.kind for issue in issues} <= set(KINDS)
