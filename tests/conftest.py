"""Settings and fixtures that every test shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from tests.tiny_run import CommandLine, TinyRun, make_labelled_photos, write_recipe

# The default run draws the same examples every time; `make explore` draws new ones.
settings.register_profile("same", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("TFCLASSIFY_HYPOTHESIS", "same"))


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test prints does not depend on how wide the terminal of its reader is."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A run that was trained once for all tests that only look at it."""
    from tfclassify.workflows.train import TrainRequest, train_recipe

    home = tmp_path_factory.mktemp("tiny")
    photos = make_labelled_photos(home / "photos")
    recipe = write_recipe(home)
    result = train_recipe(TrainRequest(recipe, reports=home / "reports"))
    return TinyRun(home, recipe, photos, result.run)


@pytest.fixture(scope="session")
def tiny_sets(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A run on images that may have several labels, trained once for all tests."""
    from tests.tiny_sets import make_tagged_photos, write_recipe
    from tfclassify.workflows.train import TrainRequest, train_recipe

    home = tmp_path_factory.mktemp("sets")
    photos = make_tagged_photos(home / "photos")
    recipe = write_recipe(home)
    result = train_recipe(TrainRequest(recipe, reports=home / "reports"))
    return TinyRun(home, recipe, photos, result.run)


@pytest.fixture
def tfclassify(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> CommandLine:
    """The command line, called in this process."""
    return CommandLine(monkeypatch, capfd)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working folder and holds the cache."""
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work
