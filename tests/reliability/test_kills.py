"""Processes that are killed at any time lose nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability.kills import KillReport, kill_often
from tests.reliability.scene import EPOCHS, FOLDS, TRIALS, make_scene

#: Kills of the slow tests; 100 in all is `TFCLASSIFY_KILLS=50`.
KILLS = int(os.environ.get("TFCLASSIFY_KILLS", "10"))


def check(report: KillReport, kills: int, epochs: int) -> None:
    assert report.faults == []
    assert report.kills == kills
    assert report.finished >= 1
    assert max(report.resumed_with) <= epochs


def test_a_training_that_is_killed_ends_bit_for_bit(tmp_path: Path) -> None:
    check(kill_often("train", make_scene(tmp_path), tmp_path, kills=3), 3, EPOCHS)


@pytest.mark.slow  # a training for every second kill or so
def test_a_training_that_is_killed_often_ends_bit_for_bit(tmp_path: Path) -> None:
    report = kill_often("train", make_scene(tmp_path), tmp_path, kills=KILLS, seed=1)
    check(report, KILLS, EPOCHS)


@pytest.mark.slow  # three trainings for every second kill or so
def test_a_cross_validation_that_is_killed_often_ends_bit_for_bit(tmp_path: Path) -> None:
    report = kill_often("crossval", make_scene(tmp_path), tmp_path, kills=KILLS, seed=2)
    check(report, KILLS, EPOCHS * FOLDS)


@pytest.mark.slow  # thirteen trials for every second kill or so
def test_a_search_that_is_killed_often_proposes_and_finds_the_same(tmp_path: Path) -> None:
    report = kill_often("tune", make_scene(tmp_path), tmp_path, kills=KILLS, seed=3)
    check(report, KILLS, TRIALS)
