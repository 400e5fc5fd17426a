"""Runs that nobody trained: listed, sorted, shown, cleared up."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.fake_runs import make_index, make_recipe, make_run
from tests.tiny_run import CommandLine
from tfclassify.errors import RunError, TargetError
from tfclassify.runs.crossval_directory import CrossvalDirectory, FoldPlan
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.runs import RunsRequest, list_runs

STATE = 5_000


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Two finished runs, one that is unfinished, one that is damaged, a cross-validation."""
    root, recipe, index = tmp_path / "reports", make_recipe(), make_index(tmp_path / "photos")
    for number, (name, skill) in enumerate((("a/001", 0.1), ("a/002", 9.0))):
        run = RunDirectory(make_run(root / name, recipe, index, skill=skill))
        run.bundle_dir.mkdir()
        run.write_journal([{"epoch": 1}, {"epoch": 2}])
        add_state(run)
        os.utime(run.recipe_path, (1_700_000_000 + number, 1_700_000_000 + number))
    add_state(RunDirectory.create_at(root / "a" / "003", "name: a\n"))
    damaged = RunDirectory(make_run(root / "b" / "001", recipe, index))
    damaged.metrics_path.write_text("{}", "utf-8")
    CrossvalDirectory.create_at(root / "a" / "cv-001", "name: a\n", FoldPlan(2, 1))
    make_run(root / "a" / "cv-001" / "fold-1", recipe, index)
    return root


def add_state(run: RunDirectory) -> None:
    run.state_dir.mkdir()
    (run.state_dir / "last.npz").write_bytes(b"0" * STATE)
    (run.state_dir / "began.json").write_text("{}", "utf-8")


def names(root: Path, **wanted: object) -> list[str]:
    rows = list_runs(RunsRequest(root, **wanted)).rows
    return [row.path.relative_to(root).as_posix() for row in rows]


def test_every_run_has_its_row_and_folds_have_none(reports: Path) -> None:
    rows = {row.path.name: row for row in list_runs(RunsRequest(reports / "a")).rows}
    assert sorted(rows) == ["001", "002", "003", "cv-001"]
    assert {name: row.status for name, row in rows.items()} == {
        "001": "finished", "002": "finished", "003": "unfinished", "cv-001": "unfinished",
    }  # fmt: skip
    metrics = json.loads((reports / "a" / "002" / "metrics.json").read_text("utf-8"))
    row = rows["002"]
    assert row.score is not None
    assert row.score.value == metrics["headline"]["value"]
    assert (row.score.n, row.score.split) == (metrics["headline"]["n"], "test")
    assert (row.epochs, row.training_seconds, row.state_bytes) == (2, 2.0, STATE)
    files = [path for path in row.path.rglob("*") if path.is_file()]
    assert row.size_bytes == sum(path.stat().st_size for path in files)
    assert rows["cv-001"].kind == "crossval"


def test_rows_are_sorted_as_asked(reports: Path) -> None:
    assert names(reports / "a", sort="name") == ["001", "002", "003", "cv-001"]
    assert names(reports / "a", sort="score")[:2] == ["002", "001"]
    assert [name for name in names(reports / "a", sort="date") if name in ("001", "002")] == [
        "002",
        "001",
    ]
    sizes = [row.size_bytes for row in list_runs(RunsRequest(reports, sort="size")).rows]
    assert sizes == sorted(sizes, reverse=True)


def test_a_damaged_run_is_named_and_hides_no_other(reports: Path) -> None:
    rows = list_runs(RunsRequest(reports)).rows
    assert len(rows) == 5
    (damaged,) = [row for row in rows if row.status.startswith("damaged")]
    assert damaged.path == reports / "b" / "001"
    assert "metrics.json: cannot be read: splits: Field required" in damaged.status


def test_only_finished_runs_are_cleared_up(reports: Path) -> None:
    tried = list_runs(RunsRequest(reports, clean=True, dry_run=True))
    assert tried.freed_bytes == 2 * STATE
    assert len(list(reports.rglob("last.npz"))) == 3
    assert list_runs(RunsRequest(reports, clean=True)).freed_bytes == 2 * STATE
    assert [path.parts[-3] for path in reports.rglob("last.npz")] == ["003"]
    assert len(list(reports.rglob("began.json"))) == 3
    assert list_runs(RunsRequest(reports, clean=True)).freed_bytes == 0


def test_a_run_that_is_worked_in_is_not_cleared_up(reports: Path) -> None:
    with (
        RunDirectory(reports / "a" / "001").lock(),
        pytest.raises(RunError, match="is working in this run"),
    ):
        list_runs(RunsRequest(reports, clean=True))


def test_the_command_line_lists_shows_and_counts(reports: Path, tfclassify: CommandLine) -> None:
    listed = tfclassify("runs", reports / "a", "--sort", "name")
    assert listed.code == 0, listed.err
    lines = listed.out.splitlines()
    assert [word in lines[0] for word in ("run", "score", "training", "size")] == [True] * 4
    assert lines[-1].endswith("cv-001: unfinished")
    shown = tfclassify("runs", reports / "a" / "002")
    assert "validation: " in shown.out
    assert re.search(r"validation: Accuracy \d+\.\d % \(\d+\.\d–\d+\.\d %\)", shown.out)
    facts = json.loads(tfclassify("runs", reports, "--json").out)
    assert len(facts["runs"]) == 5
    cleaned = tfclassify("runs", reports, "--clean", "--dry-run")
    assert "would be freed" in cleaned.out.splitlines()[-1]


def test_a_recipe_in_the_working_folder_makes_it_no_run(reports: Path) -> None:
    (reports / "recipe.yaml").write_text("name: a\n", "utf-8")
    assert "a/001" in names(reports)


def test_where_there_is_nothing(tmp_path: Path, tfclassify: CommandLine) -> None:
    assert tfclassify("runs", tmp_path).out.endswith("no runs yet; `tfclassify train` makes one\n")
    with pytest.raises(TargetError, match="no such folder; `tfclassify train` makes runs"):
        list_runs(RunsRequest(tmp_path / "none"))
