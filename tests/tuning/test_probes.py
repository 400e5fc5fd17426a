from __future__ import annotations

import numpy as np
import pytest

from tfclassify.tuning.probes import probe_features

ALONE = [""] * 120


def score(features: np.ndarray, targets: np.ndarray, groups: list[str], **named: str) -> float:
    named = {"task": "multi_class", "metric": "accuracy"} | named
    return probe_features(features, targets, groups, seed=0, **named)[0]


def make_features(ids: np.ndarray, signal: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(len(ids), 8))
    noise[:, :3] += signal * np.eye(3)[ids]
    return noise


def test_more_signal_scores_higher_and_none_scores_chance() -> None:
    ids = np.arange(120) % 3
    targets = np.eye(3)[ids]
    scores = [score(make_features(ids, signal), targets, ALONE) for signal in (0.0, 2.0, 6.0)]
    assert scores[0] < 0.5 < scores[1] < scores[2]
    assert scores[2] > 0.95


def test_a_group_is_not_learnt_by_heart() -> None:
    """Features that tell the group, and nothing of the class, are worth nothing."""
    draw = np.random.default_rng(1)
    groups = np.repeat(np.arange(12), 10)
    ids = draw.integers(0, 2, 12)[groups]
    features = draw.normal(size=(12, 16))[groups] + 0.01 * draw.normal(size=(120, 16))
    targets = np.eye(2)[ids]
    assert score(features, targets, ALONE) > 0.95
    assert score(features, targets, [f"g{group}" for group in groups]) < 0.8


def test_label_sets_and_classes_that_no_image_has() -> None:
    ids = np.arange(120) % 3
    targets = np.eye(4)[ids]
    targets[::2, 0] = 1.0
    found = score(make_features(ids, 6.0), targets, ALONE, task="multi_label", metric="map")
    assert found > 0.8
    assert score(make_features(ids, 6.0), np.eye(4)[ids], ALONE) > 0.95


def test_a_loss_is_turned_round() -> None:
    ids = np.arange(120) % 3
    good, bad = (score(make_features(ids, s), np.eye(3)[ids], ALONE, metric="loss") for s in (6, 0))
    assert bad < good < 0


def test_log_losses_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import log_loss

    ids = np.arange(120) % 3
    features = make_features(ids, 6.0)
    named = {"task": "multi_class", "metric": "loss", "seed": 0}
    score, losses = probe_features(features, np.eye(3)[ids], ALONE, **named)
    assert losses.shape == (120,)
    assert losses.mean() == pytest.approx(-score)
    named["task"] = "multi_label"
    _, losses = probe_features(features, np.eye(3)[ids], ALONE, **named)
    assert losses.shape == (120,)
    # A class that no image has, and one that all have: answered as surely as may be.
    targets = np.stack([np.zeros(120), np.ones(120)], axis=1)
    _, losses = probe_features(features, targets, ALONE, **named)
    assert losses == pytest.approx(log_loss([0, 1], [0.001, 0.999]))
