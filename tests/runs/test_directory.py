from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tfclassify.errors import RunError, TargetError
from tfclassify.runs.directory import RunDirectory, is_run
from tfclassify.runs.documents import EnsembleFacts, EnsembleMember

TEXT = "name: plants\n"


def make_runs(root: Path, name: str, count: int, *, finished: int = 0) -> list[RunDirectory]:
    runs = [RunDirectory.create(root, name, TEXT) for _ in range(count)]
    for run in runs[:finished]:
        run.bundle_dir.mkdir()
    return runs


def test_a_run_is_numbered_and_holds_recipe_and_environment(tmp_path: Path) -> None:
    first, second = make_runs(tmp_path / "reports", "plants", 2)
    assert first.path == tmp_path / "reports" / "plants" / "001"
    assert second.path.name == "002"
    assert first.recipe_path.read_text("utf-8") == TEXT
    assert json.loads(first.environment_path.read_text("utf-8"))["packages"]["numpy"]
    assert is_run(first.path)
    assert not is_run(tmp_path)


def test_numbers_go_on_after_the_highest_whatever_lies_between(tmp_path: Path) -> None:
    family = tmp_path / "plants"
    for name in ("001", "7", "0999", "notes", "12x"):
        (family / name).mkdir(parents=True)
    (family / "2000").write_text("a file", "utf-8")
    assert RunDirectory.create(tmp_path, "plants", TEXT).path.name == "1000"


def test_runs_made_at_once_get_different_numbers(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: RunDirectory.create(tmp_path, "x", TEXT), range(24)))
    assert sorted(run.path.name for run in runs) == [f"{number:03}" for number in range(1, 25)]


def test_a_run_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(
        RunError, match="plants: the run's folder cannot be made: Not a directory; name"
    ):
        RunDirectory.create(tmp_path / "file", "plants", TEXT)
    with pytest.raises(RunError, match="the run's folder cannot be made"):
        RunDirectory.create_at(tmp_path / "file" / "run", TEXT)

    def collide(path: Path, *args: object, **kwargs: object) -> None:
        if path.name.isdecimal():
            raise FileExistsError(path)

    monkeypatch.setattr(Path, "mkdir", collide)
    with pytest.raises(RunError, match="no free run number up to 1000; move old runs away"):
        RunDirectory.create(tmp_path, "plants", TEXT)


def test_a_run_in_a_folder_of_ones_own(tmp_path: Path) -> None:
    run = RunDirectory.create_at(tmp_path / "a" / "b", TEXT)
    assert run.path == tmp_path / "a" / "b"
    (tmp_path / "empty").mkdir()
    RunDirectory.create_at(tmp_path / "empty", TEXT)
    with pytest.raises(
        TargetError, match="there is a run already; resume it with `tfclassify train"
    ):
        RunDirectory.create_at(run.path, TEXT)
    with pytest.raises(TargetError, match="the folder is not empty; choose a new one for the run"):
        RunDirectory.create_at(tmp_path / "a", TEXT)
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(TargetError, match="file: is a file; choose a new folder for the run"):
        RunDirectory.create_at(tmp_path / "file", TEXT)


def test_a_run_is_opened_by_its_folder_or_its_name(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, "plants", 11)
    assert RunDirectory.open(runs[3].path) == runs[3]
    assert RunDirectory.open(str(tmp_path / "plants")) == runs[10]
    assert RunDirectory.newest(tmp_path / "plants") == runs[10]


def test_a_folder_that_was_never_started_is_not_the_newest(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, "plants", 2)
    (tmp_path / "plants" / "003").mkdir()
    assert RunDirectory.open(tmp_path / "plants") == runs[1]
    with pytest.raises(
        TargetError, match=r"003: is not a run, it has no recipe.yaml; did you mean"
    ):
        RunDirectory.open(tmp_path / "plants" / "003")


def test_newest_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no run in it; `tfclassify train` makes one"):
        RunDirectory.newest(tmp_path)
    with pytest.raises(TargetError, match="no run in it"):
        RunDirectory.newest(tmp_path / "absent")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("reports/plnts", r"no such run; did you mean '.*reports/plants'\?"),
        ("reports/plants/004", r"no such run; did you mean '.*plants/00[12]'\?"),
        ("reports", r"holds runs of several recipes; name one of .*/clothing or .*/plants"),
        ("reports/plants/001/bundle", r"is a part of a run; name the run itself, .*/plants/001$"),
        (
            "plants.yaml",
            r"is a recipe, a run is a folder .*; train it first: `tfclassify train .*`",
        ),
        ("notes.txt", r"is a file, a run is a folder such as reports/plants/001$"),
        ("empty", r"is not a run, it has no recipe.yaml; `tfclassify train RECIPE` makes one"),
        ("reports/zzz", r"no such run; there are .*clothing and .*plants$"),
    ],
)
def test_what_is_no_run_says_what_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make_runs(tmp_path / "reports", "plants", 2, finished=1)
    make_runs(tmp_path / "reports", "clothing", 1)
    (tmp_path / "plants.yaml").write_text(TEXT, "utf-8")
    (tmp_path / "notes.txt").write_text("", "utf-8")
    monkeypatch.chdir(tmp_path.parent)
    (tmp_path / "empty").mkdir()
    with pytest.raises(TargetError, match=message):
        RunDirectory.open(tmp_path / name)


def test_a_bare_name_is_looked_for_in_the_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_runs(tmp_path / "reports", "plants", 1)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TargetError, match="plants: no such run; did you mean 'reports/plants'"):
        RunDirectory.open("plants")


def test_a_run_without_a_model_names_one_that_has(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, "plants", 3, finished=2)
    assert RunDirectory.open(runs[1].path, needs_bundle=True) == runs[1]
    with pytest.raises(TargetError, match=r"003: the run has no model yet.*, or use .*/002$"):
        RunDirectory.open(tmp_path / "plants", needs_bundle=True)
    (alone,) = make_runs(tmp_path, "alone", 1)
    with pytest.raises(TargetError, match=r"`tfclassify train --resume .*/alone/001`$"):
        RunDirectory.open(alone.path, needs_bundle=True)


HOLD = """
import sys
from pathlib import Path
from tfclassify.runs.directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time_works_in_a_run(tmp_path: Path) -> None:
    (run,) = make_runs(tmp_path, "plants", 1)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        message = f"process {holder.pid} is working in this run; wait until it ends"
        with pytest.raises(RunError, match=message), run.lock():
            pass
        holder.kill()
    # A killed holder leaves no lock behind.
    with run.lock():
        pass
    with run.lock(), pytest.raises(RunError, match="is working in this run"), run.lock():
        pass


def make_victim(folder: Path, *, is_folder: bool) -> Path:
    victim = folder / "victim"
    if is_folder:
        victim.mkdir()
        (victim / "last.npz").write_text("mine", "utf-8")
    else:
        victim.write_text("mine", "utf-8")
    return victim


def read_victim(victim: Path) -> dict[str, str]:
    files = [victim] if victim.is_file() else sorted(victim.rglob("*"))
    return {file.name: file.read_text("utf-8") for file in files}


INSIDE = (".lock", "recipe.yaml", "metrics.json", "journal.jsonl", "environment.json")
INSIDE += ("state", "figures", "tensorboard", "bundle", "state/last.npz", "bundle/bundle.json")


@pytest.mark.parametrize("name", INSIDE)
def test_nothing_of_a_run_is_opened_through_a_link(tmp_path: Path, name: str) -> None:
    run = RunDirectory.create(tmp_path, "plants", TEXT)
    place = run.path / name
    victim = make_victim(tmp_path, is_folder=place.suffix == "" and name != ".lock")
    before = read_victim(victim)
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(victim)
    with pytest.raises(RunError, match=rf"{name}: is a link; a run is made of files and folders"):
        RunDirectory.open(run.path)
    assert read_victim(victim) == before


@pytest.mark.parametrize("name", ["recipe.yaml", "metrics.json", "state/last.npz"])
def test_a_pipe_in_a_run_does_not_hang(tmp_path: Path, name: str) -> None:
    run = RunDirectory.create(tmp_path, "plants", TEXT)
    if name != "recipe.yaml":
        (run.path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(run.path / name)
        with pytest.raises(RunError, match=f"{name}: is a pipe or a device; a run is made of"):
            RunDirectory.open(run.path)
        return
    run.recipe_path.unlink()
    os.mkfifo(run.recipe_path)
    with pytest.raises(TargetError, match="is not a run"):
        RunDirectory.open(run.path)


def test_a_lock_under_a_second_name_is_not_written(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "plants", TEXT)
    victim = make_victim(tmp_path, is_folder=False)
    (run.path / ".lock").hardlink_to(victim)
    with pytest.raises(RunError, match=r"cannot be worked in: \.lock: not a regular file of its"):
        run.lock().__enter__()
    assert victim.read_text("utf-8") == "mine"


def test_a_run_itself_may_be_a_link(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "plants", TEXT)
    (tmp_path / "mine").symlink_to(run.path)
    assert RunDirectory.open(tmp_path / "mine").recipe_path.read_text("utf-8") == TEXT


FACTS = EnsembleFacts(
    weights="2,1",
    members=tuple(
        EnsembleMember(run=name, recipe="a", backbone="resnet18", image_size=(16, 16))
        for name in ("a run", "b")
    ),
)


def test_an_ensemble_that_was_cut_off_is_joined_anew_and_not_trained(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "joined", TEXT, FACTS)
    way = f"join its members anew by `tfclassify ensemble 'a run' b --weights 2,1 --out {run.path}`"
    assert run.describe_way_on() == way
    with pytest.raises(TargetError, match="no model yet, since it was not finished; join"):
        RunDirectory.open(run.path, needs_bundle=True)
    with pytest.raises(TargetError, match="there is a run already; join its members anew"):
        RunDirectory.create_at(run.path, TEXT)
    assert RunDirectory.create_at(run.path, TEXT, FACTS) == run
    run.report_path.touch()
    with pytest.raises(TargetError, match="there is a run already; join its members anew"):
        RunDirectory.create_at(run.path, TEXT, FACTS)


def test_damaged_facts_of_an_ensemble_are_named(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "joined", TEXT, FACTS)
    run.ensemble_path.write_text("{}", "utf-8")
    with pytest.raises(RunError, match=r"ensemble\.json: cannot be read: weights: Field required"):
        run.describe_way_on()


def test_what_an_ensemble_left_before_it_was_a_run_is_no_part_of_a_training(
    tmp_path: Path,
) -> None:
    FACTS.write(tmp_path / "ensemble.json")
    run = RunDirectory.create_at(tmp_path, TEXT)
    assert not run.ensemble_path.exists()


def test_every_name_in_a_run_is_known(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    names = {
        "recipe.yaml": run.recipe_path,
        "environment.json": run.environment_path,
        "index.csv": run.index_path,
        "integrity.json": run.integrity_path,
        "journal.jsonl": run.journal_path,
        "state": run.state_dir,
        "bundle": run.bundle_dir,
        "metrics.json": run.metrics_path,
        "predictions.csv": run.predictions_path,
        "figures": run.figures_dir,
        "report.html": run.report_path,
    }
    assert {name: path.name for name, path in names.items()} == {name: name for name in names}
    run.write_journal([{"epoch": 1}])
    assert run.journal_path.is_file()


def test_a_folder_whose_making_was_cut_off_is_made_into_a_run(tmp_path: Path) -> None:
    for name in ("environment.json", ".0a1b.tmp"):
        (tmp_path / name).write_text("{", "utf-8")
    run = RunDirectory.create_at(tmp_path, "name: tiny\n")
    assert json.loads(run.environment_path.read_text("utf-8"))["packages"]
    (tmp_path / "recipe.yaml").unlink()
    (tmp_path / "notes.txt").write_text("mine", "utf-8")
    with pytest.raises(TargetError, match="not empty"):
        RunDirectory.create_at(tmp_path, "name: tiny\n")


def test_a_journal_comes_back_in_order_one_record_a_line(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    assert (run.read_journal(), run.count_epochs()) == ([], 0)
    records = [{"phase": "größe", "epoch": n, "train": {"loss": 0.1 * n}} for n in (1, 2, 3)]
    run.write_journal(records)
    assert run.read_journal() == records
    assert run.journal_path.read_bytes().count(b"\n") == 3
    assert run.describe_kept() == "3 finished epochs are kept"
    run.write_journal(records[:1])
    assert run.read_journal() == records[:1]
    assert run.describe_kept() == "1 finished epoch is kept"


def test_numbers_that_json_cannot_hold_become_null(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_journal([{"loss": float("nan"), "rate": float("inf"), "path": Path("a")}])
    assert run.read_journal() == [{"loss": None, "rate": None, "path": "a"}]


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b""])
def test_a_damaged_journal_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    run = RunDirectory(tmp_path)
    run.journal_path.write_bytes(b'{"epoch": 1}\n' + line + b"\n")
    with pytest.raises(RunError, match=r"journal\.jsonl, line 2: not a JSON object, got"):
        run.read_journal()


def test_a_journal_that_is_no_file_is_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.journal_path.mkdir()
    with pytest.raises(RunError, match=r"journal\.jsonl: cannot be read"):
        run.read_journal()
    assert run.describe_kept() == "no epoch was finished yet"
