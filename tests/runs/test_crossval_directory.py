from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import RunError, TargetError
from tfclassify.runs.crossval_directory import CrossvalDirectory, FoldPlan, find_crossval
from tfclassify.runs.directory import RunDirectory

PLAN = FoldPlan(folds=3, repeats=1)


def test_numbers_count_up_beside_runs(tmp_path: Path) -> None:
    RunDirectory.create(tmp_path, "plants", "name: plants\n")
    first = CrossvalDirectory.create(tmp_path, "plants", "name: plants\n", PLAN)
    second = CrossvalDirectory.create(tmp_path, "plants", "name: plants\n", PLAN)
    assert (first.path.name, second.path.name) == ("cv-001", "cv-002")
    # The next plain run is not disturbed, nor is "the newest run".
    assert RunDirectory.create(tmp_path, "plants", "name: plants\n").path.name == "002"
    assert RunDirectory.open(tmp_path / "plants").path.name == "002"


def test_what_is_made_can_be_opened(tmp_path: Path) -> None:
    plan = FoldPlan(folds=4, repeats=2)
    made = CrossvalDirectory.create_at(tmp_path / "cv", "name: plants\n", plan)
    assert CrossvalDirectory.open(tmp_path / "cv") == made
    assert made.recipe_path.read_text("utf-8") == "name: plants\n"
    assert made.command == f"tfclassify crossval {made.recipe_path} --folds 4 --repeat 2"


def test_places_and_folders_of_the_folds(tmp_path: Path) -> None:
    once = CrossvalDirectory(tmp_path, FoldPlan(2, 1))
    assert list(once.plan.places()) == [(1, 1), (1, 2)]
    assert once.fold(1, 2).path == tmp_path / "fold-2"
    twice = CrossvalDirectory(tmp_path, FoldPlan(2, 2))
    assert list(twice.plan.places()) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert twice.fold(2, 1).path == tmp_path / "repeat-2" / "fold-1"


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_fold_finds_its_cross_validation(tmp_path: Path, repeats: int) -> None:
    made = CrossvalDirectory.create_at(tmp_path / "cv", "", FoldPlan(3, repeats))
    assert find_crossval(made.fold(1, 3).path) == made
    assert find_crossval(tmp_path / "reports" / "001") is None


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    CrossvalDirectory.create_at(tmp_path / "cv", "", PLAN)
    with pytest.raises(TargetError, match=r"already; resume it with `tfclassify crossval --res"):
        CrossvalDirectory.create_at(tmp_path / "cv", "", PLAN)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(TargetError, match="the folder is not empty"):
        CrossvalDirectory.create_at(tmp_path / "full", "", PLAN)
    with pytest.raises(TargetError, match="is a file; choose a new folder"):
        CrossvalDirectory.create_at(tmp_path / "full" / "notes.txt", "", PLAN)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="the cross-validation's folder cannot be made: Not a dir"):
        CrossvalDirectory.create_at(tmp_path / "file" / "cv", "", PLAN)
    with pytest.raises(RunError, match="the cross-validation's folder cannot be made"):
        CrossvalDirectory.create(tmp_path / "file", "plants", "", PLAN)


def test_numbers_run_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfclassify.runs.directory.ATTEMPTS", 1)
    real = Path.mkdir

    def race(path: Path, *given: object, **named: object) -> None:
        real(path, *given, **named)  # type: ignore[arg-type]
        if path.name == "cv-001":
            raise FileExistsError

    monkeypatch.setattr(Path, "mkdir", race)
    with pytest.raises(RunError, match="no free run number up to cv-1"):
        CrossvalDirectory.create(tmp_path, "plants", "", PLAN)


def test_other_folders_are_told_apart(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path, "plants", "name: plants\n")
    made = CrossvalDirectory.create(tmp_path, "plants", "", PLAN)
    with pytest.raises(TargetError, match=r"001: is a run, not a cross-validation"):
        CrossvalDirectory.open(run.path)
    with pytest.raises(TargetError, match=r"is not a cross-validation; there are .*cv-001"):
        CrossvalDirectory.open(tmp_path / "plants")
    with pytest.raises(TargetError, match=r"is not a cross-validation; `tfclassify crossval` mak"):
        CrossvalDirectory.open(tmp_path / "nothing")
    with pytest.raises(TargetError, match=r"is a cross-validation, whose folds are runs; .*fold-1"):
        RunDirectory.open(made.path)


DAMAGED = [
    "{",
    "[]",
    '{"folds": 3}',
    '{"folds": 3, "repeats": 1e308}',
    '{"folds": 1, "repeats": 1}',
]
DAMAGED += ['{"folds": 3, "repeats": 1000000000}', '{"folds": true, "repeats": 1}']


@pytest.mark.parametrize("text", DAMAGED)
def test_damaged_facts_are_reported(tmp_path: Path, text: str) -> None:
    made = CrossvalDirectory.create_at(tmp_path / "cv", "", PLAN)
    (made.path / "crossval.json").write_text(text, "utf-8")
    with pytest.raises(RunError, match=r"crossval\.json: cannot be read"):
        CrossvalDirectory.open(made.path)


def test_a_folder_whose_making_was_cut_off_is_made_into_a_cross_validation(tmp_path: Path) -> None:
    for name in ("crossval.yaml", ".0a1b.tmp"):
        (tmp_path / name).write_text("", "utf-8")
    place = CrossvalDirectory.create_at(tmp_path, "name: tiny\n", FoldPlan(3, 1))
    assert place.recipe_path.read_text("utf-8") == "name: tiny\n"
