"""A training is broken off at operations of its disk, and ends as if nothing had happened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reliability.fault_trial import (
    Unbroken,
    list_ends,
    train_unbroken,
    try_error,
    try_power_cut,
)
from tests.reliability.faults import make_full_disk_error
from tests.reliability.scene import EPOCHS, make_scene


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    home = tmp_path_factory.mktemp("faults")
    return train_unbroken(make_scene(home), home)


def test_every_kind_of_file_is_reached(work: Unbroken) -> None:
    replaced = {operation.what for operation in work.operations if operation.kind == "replace"}
    assert {
        "environment.json", "recipe.yaml", "integrity.json", "index.json", "index.csv",
        "began.json", "best.npz", "last.npz", "journal.jsonl", "phase-0.npz", "phase-1.npz",
        "mining.csv", "bundle", "metrics.json", "predictions.csv", "report.html",
    } <= replaced  # fmt: skip
    assert work.finished[-1] == EPOCHS


def test_whatever_a_power_cut_leaves_can_be_opened(work: Unbroken) -> None:
    """Every operation of the training; each copy is what ``kill -9`` leaves there."""
    trials = [
        try_power_cut(work, operation.number, is_resumed=False) for operation in work.operations
    ]
    assert [trial for trial in trials if trial.faults] == []
    assert max(trial.epochs for trial in trials) == EPOCHS


#: Files before which the quick test cuts the power, and goes on.
QUICK = ("journal.jsonl", "bundle")


@pytest.mark.parametrize("what", QUICK)
def test_a_training_goes_on_after_a_power_cut(work: Unbroken, what: str) -> None:
    number = next(item.number for item in work.operations if item.what == what)
    trial = try_power_cut(work, number, is_resumed=True)
    assert trial.faults == ()


@pytest.mark.parametrize("what", ["index.csv", "last.npz"])
def test_a_training_goes_on_after_the_disk_was_full(
    work: Unbroken, tmp_path: Path, what: str
) -> None:
    number = [item.number for item in work.operations if item.what == what][-1]
    trial = try_error(work, number - 2, tmp_path / "run", make_full_disk_error)
    assert trial.operation.kind == "write"
    assert trial.faults == ()


@pytest.mark.slow  # a training for each file
def test_a_training_goes_on_after_a_power_cut_anywhere(work: Unbroken) -> None:
    trials = [try_power_cut(work, end, is_resumed=True) for end in list_ends(work.operations)]
    assert [trial for trial in trials if trial.faults] == []


@pytest.mark.slow  # one or two trainings for each operation
def test_a_training_goes_on_after_any_error(work: Unbroken, tmp_path: Path) -> None:
    step = int(os.environ.get("TFCLASSIFY_FAULT_STEP", "1"))
    ends = {*list_ends(work.operations)}
    trials = [
        try_error(work, number, tmp_path / "run", make_full_disk_error, is_resumed=number in ends)
        for number in range(1, len(work.operations) + 1, step)
    ]
    assert [trial for trial in trials if trial.faults] == []
