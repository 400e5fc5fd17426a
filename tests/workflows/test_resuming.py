"""A training is gone on with as it began, or not at all unless that is forced."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.fake_runs import add_bundle, make_index, make_recipe
from tests.reliability.outcome import find_differing, read_outcome
from tests.reliability.scene import cross_on, make_scene
from tests.tiny_run import CommandLine
from tests.workflows.builders import StopsAfter
from tfclassify.errors import DataError, ImageError, InterruptedTraining, RunError, TrainingError
from tfclassify.events import Observer
from tfclassify.recipe.schema import DistilRecipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows import resuming
from tfclassify.workflows.crossval import CrossvalRequest, crossval_recipe, resume_crossval
from tfclassify.workflows.resuming import (
    explain_interruption,
    find_changes,
    name_changes,
    note_beginning,
    read_environment,
)
from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe

SHORT = ("epochs: 2, learning_rate: 1.0e-2, features", "epochs: 1, learning_rate: 1.0e-2, features")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos, the recipe and a run that was stopped in its second phase."""
    home = tmp_path_factory.mktemp("checks")
    with pytest.raises(InterruptedTraining):
        train_recipe(TrainRequest(make_scene(home, SHORT), out=home / "run"), StopsAfter(2))
    return home


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    """A copy of the stopped run, whose photos are a copy too."""
    shutil.copytree(stopped / "photos", tmp_path / "photos")
    shutil.copytree(stopped / "run", tmp_path / "run")
    table = tmp_path / "run" / "index.csv"
    table.write_text(table.read_text("utf-8").replace(str(stopped), str(tmp_path)), "utf-8")
    return tmp_path / "run"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def refuse(run: Path, line: str) -> str:
    with pytest.raises(RunError, match="not what the training began with") as raised:
        resume_training(run, None, ())
    lines = str(raised.value).splitlines()
    assert f"  {line}" in lines
    assert lines[-1].endswith(f"resume all the same with: tfclassify train --resume {run} --force")
    return str(raised.value)


def test_a_changed_recipe_is_refused(run: Path) -> None:
    edit(run / "recipe.yaml", "seed: 3", "seed: 4")
    refuse(run, "recipe: seed: 3 -> 4")


def test_a_description_may_change(run: Path) -> None:
    edit(run / "recipe.yaml", "\ndescription: ", "\ndescription: better words #")
    assert find_changes_of(run) == []


def test_removed_and_changed_images_are_refused(run: Path) -> None:
    photos = run.parent / "photos"
    (photos / "red" / "000.png").unlink()
    shutil.copy(photos / "red" / "002.png", photos / "red" / "001.png")
    told = refuse(run, f"image red/000.png: removed, it was {photos / 'red' / '000.png'}")
    assert "  image red/001.png: its bytes have changed" in told


def test_many_changes_are_cut_short(run: Path) -> None:
    shutil.rmtree(run.parent / "photos")
    refuse(run, "and 8 more")  # of 18 photos


def test_a_changed_table_is_refused(run: Path) -> None:
    edit(run / "index.csv", ",train,", ",test,")
    refuse(run, f"{run / 'index.csv'}: lists other images, labels or splits")


@pytest.mark.parametrize("name", ["tensorflow", "keras", "numpy", "tfclassify"])
def test_other_versions_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    versions = resuming.list_packages()
    monkeypatch.setattr(resuming, "list_packages", lambda: versions | {name: "0.0.1"})
    refuse(run, f"{name}: {versions[name]} -> 0.0.1")


def test_a_package_that_decides_nothing_may_change(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = resuming.list_packages()
    monkeypatch.setattr(resuming, "list_packages", lambda: versions | {"matplotlib": "0"})
    assert find_changes_of(run) == []


def find_changes_of(run: Path) -> list[str]:
    from tfclassify.data.index import load_index
    from tfclassify.recipe.loading import load_recipe
    from tfclassify.runs.directory import RunDirectory

    recipe, index = load_recipe(run / "recipe.yaml"), load_index(run / "index.csv")
    return resuming.find_changes(RunDirectory(run), recipe, index)


def test_a_forced_training_goes_on_and_says_so(run: Path, tfclassify: CommandLine) -> None:
    edit(run / "recipe.yaml", "seed: 3", "seed: 4")
    refused = tfclassify("train", "--resume", run)
    assert refused.code == 1
    assert "  recipe: seed: 3 -> 4" in refused.err.splitlines()
    answer = tfclassify("train", "--resume", run, "--force")
    assert answer.code == 0, answer.err
    facts = json.loads((run / "environment.json").read_text("utf-8"))
    assert facts["resumed_despite"] == ["recipe: seed: 3 -> 4"]
    assert find_changes_of(run) == []
    assert "recipe: seed: 3 -&gt; 4" in (run / "report.html").read_text("utf-8")


def test_a_recipe_that_is_given_must_be_the_runs_own(run: Path) -> None:
    recipe = make_scene(run.parent / "other", SHORT, ("seed: 3", "seed: 5"))
    with pytest.raises(RunError, match=r"recipe: seed: 3 -> 5"):
        resume_training(recipe, run, ())


def test_another_machine_is_warned_of(run: Path) -> None:
    class Ear(Observer):
        heard: str = ""

        def on_warning(self, message: str) -> None:
            self.heard = message

    facts = json.loads((run / "environment.json").read_text("utf-8"))
    facts["processor"] = "Z80"
    (run / "environment.json").write_text(json.dumps(facts), "utf-8")
    ear = Ear()
    resuming.warn_of_other_machine(RunDirectory(run), ear)
    assert "began on 'Z80', this is" in ear.heard
    (run / "environment.json").write_text("damaged", "utf-8")
    with pytest.raises(RunError, match=r"environment\.json: cannot be read: .*; remove it, and"):
        resuming.warn_of_other_machine(RunDirectory(run), ear)
    (run / "environment.json").unlink()
    resuming.warn_of_other_machine(RunDirectory(run), ear)
    assert read_environment(RunDirectory(run)).packages["numpy"]


@pytest.mark.slow  # a cross-validation
def test_a_cross_validation_is_refused_and_forced(tmp_path: Path) -> None:
    recipe, place = make_scene(tmp_path, SHORT), tmp_path / "cv"
    with pytest.raises(InterruptedTraining):
        crossval_recipe(CrossvalRequest(recipe, folds=3, out=place), StopsAfter(4))
    photo = tmp_path / "photos" / "red" / "000.png"
    kept = photo.read_bytes()
    shutil.copy(photo.with_name("001.png"), photo)
    with pytest.raises(RunError, match=r"image red/000\.png: its bytes have changed"):
        resume_crossval(place, None, ())
    photo.write_bytes(kept)
    edit(place / "crossval.yaml", "batch_size: 8", "batch_size: 4")
    with pytest.raises(RunError, match=r"  recipe: batch_size: 8 -> 4\n"):
        resume_crossval(place, None, ())
    resume_crossval(place, None, (), force=True)
    whole = tmp_path / "whole"
    cross_on(recipe, whole)
    differing = find_differing(read_outcome(whole), read_outcome(place))
    assert not any(name.startswith("fold-1") for name in differing)
    assert "fold-3/weights" in differing


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1.5}}, {"a": {"b": "x"}}, ['a.b: 1.5 -> "x"']),
        ({"a": [1, 2]}, {"a": [1]}, ["a[1]: 2 -> absent"]),
        ({"a": None}, {"a": {"b": 1}}, ["a: null -> absent", "a.b: absent -> 1"]),
        ({}, {"a": []}, ["a: absent -> []"]),
    ],
)
def test_changes_are_named_by_their_path(before: dict, now: dict, changes: list[str]) -> None:
    assert name_changes(before, now) == changes


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"recipe": 1, "packages": {}}', '{"recipe": {}, "packages": {"a": 1}}'],
)
def test_a_damaged_beginning_is_named(tmp_path: Path, text: str) -> None:
    run = RunDirectory.create_at(tmp_path / "run", "name: tiny\n")
    run.state_dir.mkdir()
    run.beginning_path.write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"began\.json: cannot be read: .*; train anew, or remove"):
        find_changes(run, make_recipe(), make_index(tmp_path / "photos", images=3))


def test_a_damaged_environment_is_named(tmp_path: Path) -> None:
    run = RunDirectory.create_at(tmp_path / "run", "name: tiny\n")
    run.environment_path.write_text('{"cores": -1}', "utf-8")
    with pytest.raises(RunError, match=r"environment\.json: cannot be read: python: Field"):
        read_environment(run)


def test_another_teacher_is_refused(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos", images=3)
    folder = tmp_path / "teacher"
    folder.mkdir()
    add_bundle(folder, make_recipe(), seed=1)
    teacher = folder / "bundle"
    recipe = make_recipe(distil=DistilRecipe(teacher=str(teacher)))
    run = RunDirectory.create_at(tmp_path / "run", "name: tiny\n")
    note_beginning(run, recipe, index)
    assert find_changes(run, recipe, index) == []
    shutil.move(teacher, tmp_path / "elsewhere")
    moved = make_recipe(distil=DistilRecipe(teacher=str(tmp_path / "elsewhere")))
    assert [line.split(":")[0] for line in find_changes(run, moved, index)] == ["recipe"]
    add_bundle(folder, make_recipe(), seed=2)
    (told,) = find_changes(run, recipe, index)
    assert told.startswith(f"distil.teacher: {teacher} holds another model, ")


def stop_by(place: Path, error: BaseException) -> None:
    with explain_interruption(place, lambda: "2 epochs are kept", "tfclassify train --resume x"):
        raise error


def make_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "state/last.npz")


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "Make room, then"),
        (errno.EROFS, "Make it writable, then"),
        (errno.EACCES, "Make it readable and writable, or choose another place, then"),
        (errno.ENOENT, "Put it back, or name what is there, then"),
        (errno.EIO, "Mend that, then"),
    ],
)
def test_the_systems_errors_say_how_to_go_on(tmp_path: Path, number: int, advice: str) -> None:
    with pytest.raises(RunError) as raised:
        stop_by(tmp_path, make_error(number))
    assert raised.value.exit_code == 1
    assert str(raised.value) == (
        f"{tmp_path}: stopped: state/last.npz: {os.strerror(number)}; 2 epochs are kept. "
        f"{advice} resume with: tfclassify train --resume x"
    )


def test_an_error_without_a_number_is_told_by_its_text(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="stopped: cannot write data; 2 epochs are kept"):
        stop_by(tmp_path, OSError("cannot write data"))
    with pytest.raises(RunError, match="stopped: OSError; 2 epochs"):
        stop_by(tmp_path, OSError())


def test_an_interruption_has_its_own_exit_code(tmp_path: Path) -> None:
    with pytest.raises(InterruptedTraining, match=r"stopped; 2 epochs are kept\. Resume") as e:
        stop_by(tmp_path, KeyboardInterrupt())
    assert e.value.exit_code == 130


def test_a_lost_image_says_how_to_go_on_if_anything_is_left(tmp_path: Path) -> None:
    lost = ImageError("a.png: no such file", "missing")
    with pytest.raises(DataError, match=r"a\.png: no such file; 2 epochs are kept\. Then"):
        stop_by(tmp_path, lost)
    with pytest.raises(ImageError, match=r"^a\.png: no such file$"):
        stop_by(tmp_path / "gone", lost)


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"^loss$"):
        stop_by(tmp_path, TrainingError("loss"))


def test_what_became_of_a_signal_in_native_code_is_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tfclassify.workflows.resuming.stop_signals", [15])
    with (
        pytest.raises(InterruptedTraining, match=r"2 epochs are kept\. Resume with: again"),
        explain_interruption(tmp_path, lambda: "2 epochs are kept", "again"),
    ):
        raise SystemError("returned a result with an exception set")
    monkeypatch.setattr("tfclassify.workflows.resuming.stop_signals", [])
    with (
        pytest.raises(SystemError),
        explain_interruption(tmp_path, lambda: "2 epochs are kept", "again"),
    ):
        raise SystemError("returned a result with an exception set")
