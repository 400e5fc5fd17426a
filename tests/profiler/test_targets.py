from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tfclassify.errors import TargetError
from tfclassify.profiler.targets import find_newest_run, find_target


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    Path("r.yaml").write_text("name: r")
    zipfile.ZipFile("m.keras", "w").close()
    Path("saved").mkdir()
    Path("saved/saved_model.pb").touch()
    Path("bundle").mkdir()
    Path("bundle/bundle.json").touch()
    kinds = {
        "resnet50": "backbone",
        "r.yaml": "recipe",
        "m.keras": "keras",
        "saved": "saved_model",
        "saved/saved_model.pb": "saved_model",
        "bundle": "bundle",
        "https://tfhub.dev/google/a/1": "hub",
    }
    assert {text: find_target(text).kind for text in kinds} == kinds


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(TargetError, match="resnet5: there is no such model; did you mean 'resn"):
        find_target("resnet5")
    with pytest.raises(TargetError, match="no such model; name a backbone such as"):
        find_target("qqqqqqqqqqqq")


def test_files_that_are_no_models() -> None:
    Path("m.h5").touch()
    Path("m.txt").touch()
    Path("empty").mkdir()
    with pytest.raises(TargetError, match=r"\.h5 models are not loaded"):
        find_target("m.h5")
    with pytest.raises(TargetError, match=r"is no model, its ending is '\.txt'"):
        find_target("m.txt")
    with pytest.raises(TargetError, match="the folder holds no model"):
        find_target("empty")


def make_run(name: str, is_finished: bool) -> Path:
    folder = Path("reports") / name / "001"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text("name: x")
    (folder / "environment.json").touch()
    if is_finished:
        (folder / "bundle").mkdir()
        (folder / "bundle" / "bundle.json").touch()
    return folder


def test_the_newest_finished_run_is_the_default() -> None:
    import os

    old, new = make_run("old", True), make_run("new", True)
    make_run("unfinished", False)
    os.utime(old / "recipe.yaml", (1, 1))
    assert find_newest_run().path == new
    assert find_target(str(old)).kind == "run"
    assert find_target("reports/old").path == old


def test_no_run_and_an_unfinished_one() -> None:
    with pytest.raises(TargetError, match="there is no finished run to profile yet; name a back"):
        find_newest_run()
    folder = make_run("plants", False)
    with pytest.raises(TargetError, match="the run has no model yet"):
        find_target(str(folder))
