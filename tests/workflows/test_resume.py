"""A training that was stopped goes on to the same end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.reliability.scene import make_scene
from tests.tiny_run import CommandLine, TinyRun
from tests.workflows.builders import StopsAfter, assert_same_weights
from tfclassify.errors import InterruptedTraining, RequestError, RunError, TargetError
from tfclassify.events import Observer
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe


@pytest.fixture(scope="module")
def stopped(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny training, stopped after its second epoch, the first of phase two."""
    run = tmp_path_factory.mktemp("stopped") / "a run"
    with pytest.raises(InterruptedTraining, match=r"Resume with: tfclassify train --resume '.*n'"):
        train_recipe(TrainRequest(tiny_run.recipe, out=run), StopsAfter(2))
    return run


def test_a_stopped_training_is_a_valid_run(stopped: Path) -> None:
    run = RunDirectory.open(stopped)
    assert len(run.read_journal()) == 2
    with pytest.raises(TargetError, match="the run has no model yet"):
        RunDirectory.open(stopped, needs_bundle=True)


@pytest.mark.parametrize("words", [["--resume"], ["--resume", "--out"]])
def test_a_resumed_training_ends_where_an_unbroken_one_does(
    tiny_run: TinyRun, stopped: Path, tmp_path: Path, tfclassify: CommandLine, words: list[str]
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(stopped, run)
    answer = tfclassify("train", *words, run)
    assert answer.code == 0, answer.err
    assert "phase whole" in answer.err
    assert "phase head" not in answer.err
    assert str(run / "report.html") in answer.out
    assert_same_weights(tiny_run.run, run)
    for name in ("predictions.csv", "index.csv"):
        assert (run / name).read_bytes() == (tiny_run.run / name).read_bytes()


def test_a_training_stopped_while_it_reads_goes_on(
    tiny_run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tfclassify.workflows.train.prepare_data", stop)
    with pytest.raises(InterruptedTraining, match="stopped"):
        train_recipe(TrainRequest(tiny_run.recipe, out=tmp_path / "run"))
    assert RunDirectory.open(tmp_path / "run").recipe_path.exists()


def test_a_finished_run_resumes_to_itself(
    tiny_run: TinyRun, tmp_path: Path, tfclassify: CommandLine
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run.run, run)
    answer = tfclassify("train", "--resume", run)
    assert answer.code == 0
    assert "trained already; judging it again" in answer.err
    assert_same_weights(tiny_run.run, run)


def test_resuming_names_what_it_lacks(tiny_run: TinyRun) -> None:
    with pytest.raises(RequestError, match="train --resume: name the run to resume"):
        resume_training(None, None, ())
    with pytest.raises(RequestError, match="--set cannot be given"):
        resume_training(tiny_run.run, None, ("seed=1",))


def test_a_run_is_worked_in_by_one_process(tiny_run: TinyRun) -> None:
    with (
        RunDirectory.open(tiny_run.run).lock(),
        pytest.raises(RunError, match=r"process \d+ is working in this run"),
    ):
        resume_training(tiny_run.run, None, ())


def test_a_finished_run_drops_its_state_and_is_only_judged_again(tmp_path: Path) -> None:
    recipe, run = make_scene(tmp_path), RunDirectory(tmp_path / "run")
    whole = train_recipe(TrainRequest(recipe, out=run.path))
    assert [path.name for path in run.state_dir.iterdir()] == ["began.json"]
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    heard: list[str] = []

    class Ear(Observer):
        def on_note(self, message: str) -> None:
            heard.append(message)

    again = resume_training(run.path, None, (), Ear())
    assert f"{run.path}: trained already; judging it again" in heard
    assert (again.epochs, again.kept_phase) == (whole.epochs, whole.kept_phase)
    assert [one.headline.to_dict() for one in again.verdicts] == [
        one.headline.to_dict() for one in whole.verdicts
    ]
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert {p: v for p, v in after.items() if p.name != ".lock"} == {
        p: v for p, v in before.items() if p.name != ".lock"
    }


def test_a_state_that_is_kept_is_reported_again_with_the_time_of_the_training(
    tmp_path: Path,
) -> None:
    recipe, run = make_scene(tmp_path), RunDirectory(tmp_path / "run")
    train_recipe(TrainRequest(recipe, out=run.path, keep_state=True))
    assert (run.state_dir / "last.npz").exists()
    seconds = json.loads(run.metrics_path.read_text("utf-8"))["seconds"]
    run.metrics_path.write_text(
        run.metrics_path.read_text("utf-8").replace(f'"seconds": {seconds},', '"seconds": 7777.0,'),
        "utf-8",
    )
    resume_training(run.path, None, ())
    assert json.loads(run.metrics_path.read_text("utf-8"))["seconds"] == 7777.0
    assert (run.state_dir / "last.npz").exists()
