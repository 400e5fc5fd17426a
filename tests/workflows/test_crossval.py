"""Cross-validation: what the folds are, what is gathered, what an interruption leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from tests.fake_runs import add_bundle, fill_run
from tests.tiny_run import CommandLine, make_labelled_photos, write_recipe
from tests.workflows.builders import StopsAfter, assert_same_weights
from tfclassify.data.index import load_index
from tfclassify.data.integrity import IntegrityReport
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import (
    DataError,
    InterruptedTraining,
    JobError,
    RequestError,
    RunError,
    TargetError,
    TrainingError,
)
from tfclassify.events import Observer
from tfclassify.executors.catalogue import EXECUTORS, ExecutorOptions
from tfclassify.executors.jobs import Here
from tfclassify.judging.seen import find_seen, load_thumbnails
from tfclassify.recipe.schema import Recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.crossval import (
    CrossvalRequest,
    CrossvalResult,
    crossval_recipe,
    resume_crossval,
)

SHORT = (
    "  - {name: whole, train: all, epochs: 2, learning_rate: 1.0e-2, schedule: cosine}\n",
    "",
)


class FakeTrainer:
    """Stands in for a training: writes answers of a skill, and counts its calls."""

    def __init__(
        self, stop_at: int | None = None, error: type[BaseException] | None = None
    ) -> None:
        self.runs: list[str] = []
        self.recipes: list[Recipe] = []
        self._stop_at, self._error = stop_at, error

    def __call__(
        self,
        run: RunDirectory,
        recipe: Recipe,
        data: PreparedData,
        observer: Observer,
        *,
        resume: bool,
    ) -> None:
        self.runs.append(f"{run.path.name}{' again' if resume else ''}")
        self.recipes.append(recipe)
        if len(self.runs) == self._stop_at and self._error is not None:
            run.write_journal([{"epoch": 1}])
            raise self._error("stop")
        fill_run(run, recipe, data.index, seed=recipe.seed, splits=("test",))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTrainer]:
    trainer = FakeTrainer()
    monkeypatch.setattr("tfclassify.workflows.crossval.train_prepared", trainer)
    monkeypatch.setattr("tfclassify.workflows.crossval._forget_network", lambda: None)
    return trainer


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    make_labelled_photos(tmp_path / "photos")
    return write_recipe(tmp_path, SHORT)


def cross(recipe: Path, **named: object) -> CrossvalResult:
    return crossval_recipe(CrossvalRequest(recipe, reports=recipe.parent / "reports", **named))


def test_every_image_is_judged_once_by_another_fold(recipe: Path, fake: FakeTrainer) -> None:
    result = cross(recipe, folds=3)
    assert fake.runs == ["fold-1", "fold-2", "fold-3"]
    indexes = [load_index(result.path / f"fold-{n}" / "index.csv") for n in (1, 2, 3)]
    held = pd.concat([index.in_split("test").frame for index in indexes])
    whole = load_index(result.path / "index.csv").frame
    judged = whole[whole["split"] != "test"]
    assert sorted(held["image"]) == sorted(judged["image"])
    # Groups stay together, and test images of the recipe have no part in any fold.
    assert (held.assign(fold=np.repeat([1, 2, 3], [len(i.in_split("test")) for i in indexes]))
            .groupby("group")["fold"].nunique() == 1).all()  # fmt: skip
    tests = set(whole[whole["split"] == "test"]["image"])
    assert tests
    assert not any(tests & set(index.frame["image"]) for index in indexes)
    # What chooses within a fold is some of its training images, whole painters of them.
    for index in indexes:
        watching, learnt = index.in_split("validation").frame, index.in_split("train").frame
        assert 0.1 < len(watching) / (len(watching) + len(learnt)) < 0.4
        assert not set(watching["group"]) & set(learnt["group"])


def test_a_fold_keeps_what_near_duplicates_are_found_by(recipe: Path, fake: FakeTrainer) -> None:
    result = cross(recipe, folds=3)
    whole, place = load_index(result.path / "index.csv"), CrossvalDirectory.open(result.path)
    every = load_thumbnails(place, whole)
    small = dict(zip(whole.frame["image"], every, strict=True))
    (result.path / "fold-2" / "report.html").unlink()
    (result.path / "fold-2" / "thumbnails.npz").unlink()
    resume_crossval(result.path, None, ())
    for number in (1, 2, 3):
        run = place.fold(1, number)
        index = load_index(run.index_path)
        kept = load_thumbnails(run, index)
        assert len(index) < len(whole)  # test images have no part in a fold
        expected = np.stack([small[image] for image in index.frame["image"]])
        np.testing.assert_array_equal(kept, expected)
    # A training image of the fold that was saved anew, a little brighter, is known by its looks.
    index = load_index(place.fold(1, 1).index_path)
    other = index.with_frame(index.in_split("train").frame.iloc[:1].assign(sha256="f" * 64))
    looks = small[other.frame["image"][0]][None]
    seen = find_seen(place.fold(1, 1), index, other, np.clip(looks.astype(int) + 2, 0, 255))
    assert (seen.near, seen.has_near) == (1, True)


def test_groups_shared_with_its_own_test_split_are_reported(
    tmp_path: Path, fake: FakeTrainer
) -> None:
    photos = make_labelled_photos(tmp_path / "photos")
    table = pd.read_csv(photos / "labels.csv")
    # One painter's photos stand on both sides of the split that the table itself makes.
    table["part"] = ["test" if number % 15 == 4 else "train" for number in range(len(table))]
    shared = sorted(table["painter"][table["part"] == "test"].unique())
    table.to_csv(photos / "labels.csv", index=False)
    recipe = write_recipe(tmp_path, SHORT, ("group: painter", "group: painter, split: part"))
    told: list[str] = []

    class Told(Observer):
        def on_warning(self, message: str) -> None:
            told.append(message)

    request = CrossvalRequest(recipe, folds=3, reports=tmp_path / "reports")
    result = crossval_recipe(request, Told())
    report = IntegrityReport.read(result.path / "integrity.json")
    assert report.counts["shared_group"] == len(shared) == 3
    found = " ".join(row.detail for row in report.of_kind("shared_group"))
    assert all(name in found for name in shared)
    assert any("group" in text for text in told)
    assert "group" in result.report.read_text("utf-8")


def test_scores_agree_with_scikit_learn_on_the_table(recipe: Path, fake: FakeTrainer) -> None:
    result = cross(recipe, folds=3)
    table = pd.read_csv(result.path / "predictions.csv")
    content = json.loads((result.path / "metrics.json").read_text("utf-8"))
    assert set(table["split"]) == {"out-of-fold"}
    assert sorted(table["fold"].unique()) == [1, 2, 3]
    measured = {name: each.value for name, each in result.judgement.metrics.items()}
    truth, answer = table["true_label"], table["label"]
    assert measured["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(truth, answer))
    expected = sklearn_metrics.f1_score(truth, answer, average="macro")
    assert measured["f1_macro"] == pytest.approx(expected)
    assert content["headline"]["value"] == measured["accuracy"]
    # The intervals resample painters, of whom each painted three.
    assert result.judgement.groups == len(table) / 3
    folds = table.assign(hit=truth == answer).groupby("fold")["hit"].mean()
    spread = content["over_folds"]["accuracy"]
    assert spread["values"] == pytest.approx(folds.tolist())
    assert spread["mean"] == pytest.approx(np.mean(folds))
    assert spread["deviation"] == pytest.approx(np.std(folds, ddof=1))


def test_repeats_deal_anew_and_draw_an_images_judgements_together(
    recipe: Path, fake: FakeTrainer
) -> None:
    result = cross(recipe, folds=2, repeats=2)
    assert [each.seed for each in fake.recipes] == [3, 3, 4, 4]
    assert (result.path / "repeat-2" / "fold-1" / "index.csv").exists()
    table = pd.read_csv(result.path / "predictions.csv")
    assert (table.groupby("file").size() == 2).all()
    assert result.images == table["file"].nunique()
    assert result.judgement.n == 2 * result.images
    assert result.judgement.groups == result.images / 3
    first = table[table["repeat"] == 1].set_index("file")["fold"]
    second = table[table["repeat"] == 2].set_index("file")["fold"]
    assert (first != second.loc[first.index]).any()
    assert len(result.spreads["accuracy"].values) == 4


def test_label_sets_are_judged_by_what_was_given(tmp_path: Path, fake: FakeTrainer) -> None:
    photos = make_labelled_photos(tmp_path / "photos")
    table = pd.read_csv(photos / "labels.csv")
    also = np.where(np.arange(len(table)) % 4 == 0, "|dark", "")
    table.assign(colour=table["colour"] + also).to_csv(photos / "labels.csv", index=False)
    recipe = write_recipe(
        tmp_path,
        SHORT,
        ("seed: 3\n", "seed: 3\ntask: multi_label\nmetric: iou\nthresholds: 0.5\n"),
        ("  image_size: 16\n", '  image_size: 16\n  label_separator: "|"\n'),
        ("class_weights: balanced\n", ""),
    )
    result = cross(recipe, folds=2)
    rows = pd.read_csv(result.path / "predictions.csv", keep_default_na=False)
    truth = rows["true_labels"].str.get_dummies("|")
    given = rows["labels"].str.get_dummies("|").reindex(columns=truth.columns, fill_value=0)
    exact = (truth == given).all(axis=1).mean()
    assert result.judgement.metrics["exact_match"].value == pytest.approx(exact)
    assert result.judgement.metrics["hamming"].value == pytest.approx(
        sklearn_metrics.hamming_loss(truth, given)
    )
    assert "cross-validation in 2 folds" in result.report.read_text("utf-8")


def test_the_page_links_to_the_folds_and_loads_nothing(recipe: Path, fake: FakeTrainer) -> None:
    result = cross(recipe, folds=2)
    page = result.report.read_text("utf-8")
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    links = [each for each in addresses if not each.startswith(("data:", "#"))]
    assert links == ["fold-1/report.html", "fold-2/report.html"]
    assert all((result.path / link).exists() for link in links)
    assert f"tfclassify crossval {result.path / 'crossval.yaml'} --folds 2" in page
    assert (result.path / "figures" / "folds.svg").stat().st_size > 0


def test_mistakes_have_their_maps_by_their_folds_models(
    recipe: Path, fake: FakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(
        run: RunDirectory, recipe: Recipe, data: PreparedData, observer: Observer, *, resume: bool
    ) -> None:
        fill_run(run, recipe, data.index, skill=-1.0, splits=("test",))
        if run.path.name == "fold-2":
            add_bundle(run.path, recipe, seed=1)

    monkeypatch.setattr("tfclassify.workflows.crossval.train_prepared", train)
    result = cross(recipe, folds=2)
    page = result.report.read_text("utf-8")
    named = set(re.findall(r'alt="evidence for \w+ in ([^"]+)"', page))
    held = {
        number: set(load_index(result.path / f"fold-{number}" / "index.csv")
        .in_split("test").frame["image"])
        for number in (1, 2)
    }  # fmt: skip
    assert named  # fold 1 has no model, so its mistakes have pictures alone
    assert named <= held[2]
    assert not named & held[1]


def test_a_stopped_one_goes_on_with_the_fold_that_it_was_in(
    recipe: Path, fake: FakeTrainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = cross(recipe, folds=3, out=tmp_path / "whole")
    fake._stop_at, fake._error = 5, KeyboardInterrupt
    place = tmp_path / "a cv"
    with pytest.raises(InterruptedTraining, match=r"tfclassify crossval --resume '.*a cv'"):
        cross(recipe, folds=3, out=place)
    fake.runs.clear()
    fake._stop_at = None
    shutil.rmtree(tmp_path / "photos")  # what was prepared once is not read again
    with pytest.raises(RunError, match=r"image blue/00\.png: removed"):
        resume_crossval(place, None, ())
    result = resume_crossval(place, None, (), force=True)
    assert fake.runs == ["fold-2 again", "fold-3"]
    for name in ("predictions.csv", "index.csv"):
        assert (place / name).read_bytes() == (whole.path / name).read_bytes()
    assert result.judgement.to_dict() == whole.judgement.to_dict()
    assert resume_crossval(None, place, (), force=True).images == whole.images
    assert len(fake.runs) == 2


def test_a_fold_whose_folder_was_half_made_is_started_anew(
    recipe: Path, fake: FakeTrainer, tmp_path: Path
) -> None:
    fake._stop_at, fake._error = 2, KeyboardInterrupt
    with pytest.raises(InterruptedTraining):
        cross(recipe, folds=2, out=tmp_path / "cv")
    (tmp_path / "cv" / "fold-2" / "recipe.yaml").unlink()
    fake.runs.clear()
    resume_crossval(tmp_path / "cv", None, ())
    assert fake.runs == ["fold-2"]


def test_a_training_that_fails_leaves_what_can_be_resumed(
    recipe: Path, fake: FakeTrainer, tmp_path: Path
) -> None:
    fake._stop_at, fake._error = 2, TrainingError
    with pytest.raises(TrainingError, match="stop"):
        cross(recipe, folds=2, out=tmp_path / "cv")
    assert (tmp_path / "cv" / "fold-1" / "metrics.json").exists()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> ExecutorOptions:
    """Stands for an executor that takes jobs by their names alone."""
    monkeypatch.setitem(EXECUTORS, "elsewhere", lambda options, observer: Here(observer))
    return ExecutorOptions("elsewhere")


def test_an_executor_trains_every_fold_from_what_lies_in_the_folder(
    recipe: Path, fake: FakeTrainer, elsewhere: ExecutorOptions, tmp_path: Path
) -> None:
    one = cross(recipe, folds=2, repeats=2, out=tmp_path / "one")
    other = cross(recipe, folds=2, repeats=2, out=tmp_path / "other", executor=elsewhere)
    assert fake.recipes[:4] == [
        each.model_copy(update={"description": each.description.replace("other", "one")})
        for each in fake.recipes[4:]
    ]
    assert one.judgement.metrics == other.judgement.metrics
    fold = "repeat-2/fold-1"
    for name in ("predictions.csv", f"{fold}/index.csv", f"{fold}/thumbnails.npz"):
        assert (one.path / name).read_bytes() == (other.path / name).read_bytes()


def test_a_fold_that_fails_elsewhere_stops_no_other_and_is_named(
    recipe: Path, fake: FakeTrainer, elsewhere: ExecutorOptions, tmp_path: Path
) -> None:
    fake._stop_at, fake._error = 2, TrainingError
    way_on = re.escape(
        f"What is done is kept. Resume with: tfclassify crossval --resume {tmp_path / 'cv'}"
    )
    with pytest.raises(JobError, match=rf"1 of 3 jobs failed, 2 .*\n  fold 2 of 3: stop\n{way_on}"):
        cross(recipe, folds=3, out=tmp_path / "cv", executor=elsewhere)
    assert fake.runs == ["fold-1", "fold-2", "fold-3"]
    fake.runs.clear()
    assert resume_crossval(tmp_path / "cv", None, (), executor=elsewhere).images == 36
    assert fake.runs == ["fold-2 again"]


def test_an_unknown_executor_leaves_nothing(
    recipe: Path, fake: FakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(RequestError, match="--executor: must be one of here, processes, ray"):
        cross(recipe, folds=2, out=tmp_path / "cv", executor=ExecutorOptions("cloud"))
    assert not (tmp_path / "cv").exists()


def test_data_that_cannot_be_dealt_leaves_nothing(
    recipe: Path, fake: FakeTrainer, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="13 folds"):
        cross(recipe, folds=13, out=tmp_path / "cv")
    assert not (tmp_path / "cv").exists()
    assert fake.runs == []


def test_a_fold_without_scores_is_named(recipe: Path, fake: FakeTrainer, tmp_path: Path) -> None:
    cross(recipe, folds=2, out=tmp_path / "cv")
    (tmp_path / "cv" / "fold-2" / "metrics.json").write_text("{}", "utf-8")
    with pytest.raises(RunError, match=r"fold-2/metrics\.json: cannot be read: splits: .*; remove"):
        resume_crossval(tmp_path / "cv", None, ())


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"folds": 1}, "--folds: must be from 2 to 100, got 1"),
        ({"folds": 101}, "--folds: must be from 2 to 100, got 101"),
        ({"repeats": 0}, "--repeat: must be from 1 to 1,000, got 0"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    recipe: Path, named: dict[str, int], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        cross(recipe, **named)


def test_resuming_names_what_it_lacks(tmp_path: Path) -> None:
    run = RunDirectory.create_at(tmp_path / "run", "name: tiny\n").path
    with pytest.raises(RequestError, match="crossval --resume: name what to resume"):
        resume_crossval(None, None, ())
    with pytest.raises(RequestError, match="--set cannot be given"):
        resume_crossval(run, None, ("seed=1",))
    with pytest.raises(TargetError, match="is a run, not a cross-validation"):
        resume_crossval(run, None, ())


def test_the_command_prints_the_folds_or_json(
    recipe: Path, fake: FakeTrainer, in_tmp: Path, tfclassify: CommandLine
) -> None:
    answer = tfclassify("crossval", recipe, "--folds", 2, "--set", "seed=5")
    assert answer.code == 0, answer.err
    assert "out of fold: Accuracy" in answer.out
    assert "(mean ± standard deviation)" in answer.out
    assert "folder  reports/tiny/cv-001" in answer.out
    assert "fold 2 of 2" in answer.err
    again = tfclassify("crossval", "reports/tiny/cv-001", "--resume", "--json", "-q")
    content = json.loads(again.out)
    assert content["crossval"] == "reports/tiny/cv-001"
    assert [fold["path"] for fold in content["folds"]] == ["fold-1", "fold-2"]
    assert tfclassify("crossval").code == 2
    refused = tfclassify("evaluate", "reports/tiny/cv-001")
    assert "is a cross-validation, whose folds are runs; name one of them" in refused.err


@pytest.mark.slow  # four trainings of tiny networks
def test_a_resumed_cross_validation_ends_where_an_unbroken_one_does(
    recipe: Path, tmp_path: Path
) -> None:
    request = CrossvalRequest(recipe, folds=2, out=tmp_path / "whole")
    whole = crossval_recipe(request)
    broken = CrossvalRequest(recipe, folds=2, out=tmp_path / "broken")
    with pytest.raises(InterruptedTraining):
        crossval_recipe(broken, StopsAfter(2))
    resume_crossval(tmp_path / "broken", None, ())
    assert_same_weights(whole.path / "fold-2", tmp_path / "broken" / "fold-2")
    one, other = (path / "predictions.csv" for path in (whole.path, tmp_path / "broken"))
    assert one.read_bytes() == other.read_bytes()
    page = (whole.path / "fold-1" / "report.html").read_text("utf-8")
    assert "Repeat the cross-validation" in page


def kill_the_first_worker(folder: Path) -> None:
    """Wait until an epoch of a fold is safe, and kill the worker that came first."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    end = time.monotonic() + 300  # where the cross-validation fails, nobody waits for ever
    while not any(folder.rglob("journal.jsonl")) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)


@pytest.mark.slow  # six trainings of tiny networks, four of them in processes of their own
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds workers in /proc")
def test_processes_give_what_one_gives_though_a_worker_is_killed(
    recipe: Path, tmp_path: Path
) -> None:
    one = crossval_recipe(CrossvalRequest(recipe, folds=3, out=tmp_path / "one"))
    killer = threading.Thread(target=kill_the_first_worker, args=(tmp_path / "other",))
    killer.start()
    where = ExecutorOptions("processes", 2)
    other = crossval_recipe(
        CrossvalRequest(recipe, folds=3, out=tmp_path / "other", executor=where)
    )
    killer.join()
    for fold in ("fold-1", "fold-2", "fold-3"):
        assert_same_weights(one.path / fold, other.path / fold)
    assert (one.path / "predictions.csv").read_bytes() == (
        other.path / "predictions.csv"
    ).read_bytes()
    assert one.judgement.metrics == other.judgement.metrics
