"""Lost images, losses that are no number, full disks: what is told, and what is kept."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.reliability.fault_trial import fail_at
from tests.reliability.faults import Disk
from tests.reliability.outcome import count_epochs
from tests.reliability.scene import make_scene, train_on
from tests.tiny_run import CommandLine, write_recipe
from tfclassify.errors import DataError, RunError, TrainingError
from tfclassify.events import Observer
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe

#: Decoded again in every epoch, so that a file can be missed between two.
UNCACHED = ("min_images: 1}", "min_images: 1, cache: none}")
#: A rate at which a penalty grows without bound: it is no number after an epoch or more.
TAME = "epochs: 2, learning_rate: 1.0e-2, keep_best: loss"
WILD = (TAME, "epochs: 50, learning_rate: 99, optimizer: sgd, keep_best: loss")
PENALISED = ("head: {dropout: 0.2}", "head: {dropout: 0.2, dense: [8], l2: 10}")


class Remover(Observer):
    """Removes a file when so many epochs are done."""

    def __init__(self, path: Path, epochs: int) -> None:
        self._path, self._left = path, epochs

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        self._left -= 1
        if self._left == 0:
            self._path.rename(self._path.with_suffix(".away"))


def test_an_image_that_is_lost_while_training(tmp_path: Path) -> None:
    recipe, run = make_scene(tmp_path, UNCACHED), tmp_path / "run"
    photo = tmp_path / "photos" / "red" / "001.png"
    with pytest.raises(DataError) as raised:
        train_recipe(TrainRequest(recipe, out=run), Remover(photo, 2))
    told = str(raised.value)
    assert str(photo) in told
    assert told.endswith(f"are kept. Then resume with: tfclassify train --resume {run}")
    assert count_epochs(run) >= 2
    with pytest.raises(RunError, match=r"image red/001\.png: removed"):
        train_on(recipe, run)
    photo.with_suffix(".away").rename(photo)
    resume_training(recipe, run, ())  # the recipe that is given is the run's own
    assert count_epochs(run) == 4


def test_a_loss_that_is_no_number_is_the_same_after_resuming(tmp_path: Path) -> None:
    recipe, run = make_scene(tmp_path, WILD, PENALISED), tmp_path / "run"
    with pytest.raises(TrainingError) as first:
        train_on(recipe, run)
    told = str(first.value)
    assert "phase 'whole', epoch " in told
    assert ", step " in told
    assert (
        "the state before this epoch is kept. Going on repeats it; train anew with a lower" in told
    )
    before = count_epochs(run)
    assert before >= 2
    with pytest.raises(TrainingError) as again:
        train_on(recipe, run)
    assert str(again.value) == told
    assert count_epochs(run) == before


def test_a_read_only_or_full_disk_is_told_on_the_command_line(
    tmp_path: Path, tfclassify: CommandLine
) -> None:
    recipe, run = make_scene(tmp_path), tmp_path / "run"

    def make_error() -> OSError:
        return OSError(errno.EROFS, os.strerror(errno.EROFS))

    with Disk(fail_at(40, make_error)).installed():  # in the first epoch's state
        answer = tfclassify("train", recipe, "--out", run)
    assert answer.code == 1
    assert re.fullmatch(
        rf"error: {run}: stopped: {run}/state/\S+: Read-only file system; no epoch was finished "
        rf"yet\. Make it writable, then resume with: tfclassify train --resume {run}",
        answer.err.splitlines()[-1],
    )
    assert is_run(run)


def test_a_folder_that_takes_no_lock_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory.create_at(tmp_path / "run", write_recipe(tmp_path).read_text("utf-8"))

    def refuse(*given: object, **named: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tfclassify.files.open_regular", refuse)
    with pytest.raises(RunError, match=r"worked in: \.lock: Permission denied; make the folder"):
        resume_training(run.path, None, ())
