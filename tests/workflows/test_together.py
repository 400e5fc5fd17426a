"""One training by two processes on this machine: contract 12, and a process that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.ports import choose_addresses
from tests.tiny_run import TinyRun, make_labelled_photos, write_recipe
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError, RunError
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows.together import confirm, explain_loss
from tfclassify.workflows.train import TrainRequest, train_recipe


class Group:
    """Two processes of one command, in a folder."""

    def __init__(self, home: Path, *command: str, per_worker: Sequence[Sequence[str]] = ((), ())):
        addresses = ",".join(choose_addresses(2))
        self.processes = []
        for own in per_worker:
            line = [sys.executable, "-m", "tfclassify", "train", *command, *own]
            options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
            self.processes.append(
                subprocess.Popen(
                    [*line, "--workers", addresses],
                    cwd=home,
                    env=os.environ | {"PYTHONPATH": str(Path.cwd())},
                    **options,
                )
            )

    def finish(self) -> list[tuple[int, str]]:
        """Wait for both; return exit code and output of each, the first worker's first."""
        told = [process.communicate(timeout=300)[0] for process in self.processes]
        answers = zip((process.returncode for process in self.processes), told, strict=True)
        return sorted(answers, key=lambda answer: "worker 1 of 2" not in answer[1])

    def kill(self, place: int, journal: Path, epochs: int) -> None:
        """Kill one once so many epochs are in the journal."""
        for _ in range(3000):
            if journal.exists() and len(journal.read_text().splitlines()) >= epochs:
                break
            time.sleep(0.05)
        self.processes[place].send_signal(signal.SIGKILL)


def read_losses(run: Path) -> list[float]:
    lines = (run / "journal.jsonl").read_text().splitlines()
    return [json.loads(line)["train"]["loss"] for line in lines]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_labelled_photos(tmp_path / "photos")
    write_recipe(tmp_path)
    return tmp_path


def test_two_processes_train_as_one(tiny_run: TinyRun, home: Path) -> None:
    (first, told), (second, other) = Group(home, "tiny.yaml", "--out", "run").finish()
    assert (first, second) == (0, 0), told + other
    assert "all are there, 2 devices together" in told
    assert "3 epochs done; the first worker judges and writes" in other
    # Features, mixing, class weights, dropout and a BatchNorm that is trained, as the run of one.
    np.testing.assert_allclose(read_losses(home / "run"), read_losses(tiny_run.run), atol=1e-5)
    assert (home / "run" / "report.html").is_file()
    assert not list(home.glob("reports"))


@pytest.mark.slow
def test_workers_with_different_recipes_do_not_begin(home: Path) -> None:
    group = Group(home, "tiny.yaml", "--out", "run", per_worker=((), ("--set", "seed=4")))
    for code, told in group.finish():
        assert code == 2
        assert "differs from" in told
        assert "seed: " in told
        assert "Traceback" not in told
    assert not (home / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_stops_all_and_resuming_ends_as_without_it(home: Path, victim: int) -> None:
    many = ("--set", "phases[1].epochs=30", "--keep-state")
    whole = Group(home, "tiny.yaml", "--out", "whole", *many).finish()
    assert [code for code, _ in whole] == [0, 0], whole
    group = Group(home, "tiny.yaml", "--out", "run", *many)
    group.kill(victim, home / "run" / "journal.jsonl", 4)
    killed = time.monotonic()
    told = group.processes[1 - victim].communicate(timeout=300)[0]
    assert time.monotonic() - killed < 30
    assert group.processes[1 - victim].returncode == 1
    assert "another one stopped or cannot be reached" in told
    assert "--resume --out" in told
    assert "Traceback" not in told
    group.processes[victim].communicate()
    resumed = Group(home, "--resume", "--out", "run", "--keep-state").finish()
    assert [code for code, _ in resumed] == [0, 0], resumed
    assert read_losses(home / "run") == read_losses(home / "whole")
    ends = [np.load(home / name / "state" / "phase-1.npz") for name in ("run", "whole")]
    for name in ends[0].files:
        if name != "facts":
            np.testing.assert_array_equal(ends[0][name], ends[1][name])


def test_a_time_is_of_one_machine(home: Path) -> None:
    given = ",".join(choose_addresses(2))
    request = TrainRequest(home / "tiny.yaml", seconds=60.0, workers=given, out=home / "run")
    with pytest.raises(RequestError, match="--time: fits a training to one machine"):
        train_recipe(request)


@pytest.mark.parametrize("key", ["batch_size", "phases[1].batch_size"])
def test_a_batch_size_is_the_same_for_all(home: Path, key: str) -> None:
    given = ",".join(choose_addresses(2))
    request = TrainRequest(home / "tiny.yaml", (f"{key}=auto",), workers=given, out=home / "run")
    with pytest.raises(RequestError, match="batch_size: auto is found out on one machine"):
        train_recipe(request)
    assert not (home / "run").exists()


def test_only_train_knows_several_processes(tiny_run: TinyRun) -> None:
    from tfclassify.training.devices import open_replicas

    recipe = load_recipe(tiny_run.recipe, overrides=["runtime.strategy=multi_worker"])
    with pytest.raises(RequestError, match="multi_worker is for the command train alone"):
        open_replicas(recipe)


def test_processes_that_begin_with_other_weights_do_not_begin(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfclassify.training.replicas import Replicas
    from tfclassify.training.sources import Material
    from tfclassify.workflows.material import build_network

    index = PreparedData.load(tiny_run.run / "index.csv", tiny_run.run / "integrity.json").index
    classifier = build_network(load_recipe(tiny_run.recipe), index)
    material = Material(None, None, np.zeros(0), None)  # type: ignore[arg-type]
    confirm(Replicas(), classifier, material)
    second = Replicas(None, workers=2, worker=1)
    monkeypatch.setattr(second, "share", lambda digest: digest)
    confirm(second, classifier, material)
    monkeypatch.setattr(second, "share", lambda digest: b"another")
    with pytest.raises(RequestError, match="worker 2 of 2: its network begins with other weights"):
        confirm(second, classifier, material)


def test_a_lost_worker_is_one_line_with_the_way_on() -> None:
    import socket

    import tensorflow as tf

    from tfclassify.training.workers import Workers

    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers(("a:1", "b:2"), 1, listener)
        error = tf.errors.UnavailableError(None, None, "Socket closed")
        expected = r"worker 2 of 2 \(b:2\): another one stopped .*\(a:1; .*; 3 kept\. .*--out run"
        with (
            pytest.raises(RunError, match=expected),
            explain_loss(workers, "run", lambda: "3 kept"),
        ):
            raise error
        with pytest.raises(ValueError, match="mine"), explain_loss(workers, "run", str):
            raise ValueError("mine")
        with pytest.raises(tf.errors.UnavailableError), explain_loss(None, "run", str):
            raise error
