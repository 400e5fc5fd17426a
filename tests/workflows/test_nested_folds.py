"""Nested folds: what judges the search has no part in it, and a kill changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_run import make_labelled_photos, write_recipe
from tfclassify.data.index import load_index
from tfclassify.errors import DataError, InterruptedTraining
from tfclassify.tuning.results import TuneResult
from tfclassify.workflows import nested_folds
from tfclassify.workflows.tune import TuneRequest, resume_tune, tune_recipe

pytest.importorskip("optuna")

WHOLE = "  - {name: whole, train: all, epochs: 2, learning_rate: 1.0e-2, schedule: cosine}\n"
SEARCH = 'search={"phases[0].learning_rate": {log: [1.0e-3, 1.0e-1]}}'


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("nested")
    make_labelled_photos(home / "photos")
    write_recipe(home, (WHOLE, ""))
    return home


def search(home: Path, out: Path, **options: Any) -> TuneResult:
    options = {"trials": 3, "folds": 2, "overrides": (SEARCH,)} | options
    return tune_recipe(TuneRequest(home / "tiny.yaml", out=out, **options))


@pytest.fixture(scope="module")
def broken_off(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was broken off when its second fold's choice was to be trained."""
    out, finish = tmp_path_factory.mktemp("searches") / "s", nested_folds.finish_fold

    def break_off(fold: Any, *rest: Any) -> Any:
        if fold.run.path.parent.name == "fold-2":
            raise KeyboardInterrupt
        return finish(fold, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nested_folds, "finish_fold", break_off)
        with pytest.raises(InterruptedTraining, match="--resume"):
            search(home, out)
    return out


@pytest.fixture(scope="module")
def done(broken_off: Path) -> TuneResult:
    return resume_tune(broken_off)


def test_every_image_is_judged_by_a_search_that_never_saw_it(done: TuneResult) -> None:
    judged: list[str] = []
    for number in (1, 2):
        fold = done.search / f"fold-{number}"
        frame = load_index(fold / "index.csv").frame
        sides = {name: set(part["image"]) for name, part in frame.groupby("split")}
        assert set(sides) == {"train", "validation", "test"}
        judged += sorted(sides["test"])
        # No trial has said anything of the images that judge.
        for trial in fold.glob("trial-*/validation.npy"):
            assert len(np.load(trial)) == len(sides["validation"])
        groups = {name: set(part["group"]) for name, part in frame.groupby("split")}
        assert not groups["test"] & (groups["train"] | groups["validation"])
    whole = load_index(done.search / "index.csv").frame
    apart = set(whole["image"][whole["split"] == "test"])
    assert sorted(judged) == sorted(set(whole["image"]) - apart)


def test_the_score_is_that_of_the_choices_runs(done: TuneResult) -> None:
    assert done.nested is not None
    right = images = 0.0
    for number, best in enumerate(done.nested.best, start=1):
        run = done.search / f"fold-{number}" / f"choice-{best:04d}"
        scores = json.loads((run / "metrics.json").read_text("utf-8"))["splits"]["test"]["plain"]
        images += scores["n"]
        right += scores["n"] * scores["metrics"]["accuracy"]["value"]
    assert done.nested.honest.value == pytest.approx(right / images)
    assert done.nested.honest.n == images
    difference = done.nested.honest.value - (done.nested.start.value or 0.0)
    assert done.nested.gain.value == pytest.approx(difference)
    page = done.report.read_text("utf-8")
    assert "The whole search, by nested folds" in page
    assert f"on {images:.0f} images, each judged by one of 2 searches that never saw it" in page


def test_what_is_done_is_not_done_again(done: TuneResult, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("tfclassify.workflows.trial._train_trial", fail)
    monkeypatch.setattr("tfclassify.workflows.crossval.train_prepared", fail)
    assert resume_tune(done.search).nested == done.nested


def test_too_many_folds_are_told_before_anything_is_trained(home: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folds need as many images that can be apart"):
        search(home, tmp_path / "s", folds=60)
    assert not list(tmp_path.glob("s/trial-*"))


def test_the_time_is_shared_by_all_searches(home: Path, tmp_path: Path) -> None:
    from tfclassify.tuning.folder import SearchFacts

    facts = SearchFacts(trials=9, seconds=1200.0, folds=3)
    assert facts.seconds_each == 300.0
    assert SearchFacts(trials=9, seconds=1200.0).seconds_each == 1200.0
    assert SearchFacts(trials=9, folds=3).seconds_each is None
