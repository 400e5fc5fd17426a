"""Comparisons of runs whose answers are known."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.fake_runs import add_bundle, fill_run, make_index, make_recipe, make_run
from tests.tiny_run import CommandLine
from tfclassify.data.index import Index
from tfclassify.errors import RequestError, RunError, TargetError
from tfclassify.recipe.loading import dump_recipe
from tfclassify.runs.crossval_directory import CrossvalDirectory, FoldPlan
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.compare import CompareRequest, CompareResult, compare_runs

GOOD, BAD = 3.0, 0.2


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return make_index(tmp_path / "photos", images=54)


@pytest.fixture
def runs(tmp_path: Path, index: Index) -> tuple[Path, Path]:
    recipe = make_recipe()
    return (
        make_run(tmp_path / "tiny" / "001", recipe, index, skill=BAD, seed=1),
        make_run(tmp_path / "tiny" / "002", recipe, index, skill=GOOD, seed=2),
    )


def compare(*runs: Path, **named: object) -> CompareResult:
    return compare_runs(CompareRequest(runs, has_cost=False, **named))


def test_numbers_are_those_of_the_tables(runs: tuple[Path, Path]) -> None:
    report = compare(*runs).report
    tables = [pd.read_csv(run / "predictions.csv").query("split == 'test'") for run in runs]
    hits = [(table["true_label"] == table["label"]).to_numpy() for table in tables]
    weak, strong = report.contenders
    assert (weak.name, strong.name) == ("tiny/001", "tiny/002")
    assert weak.metrics["accuracy"].value == pytest.approx(hits[0].mean())
    (pair,) = report.pairs
    assert pair.difference is not None
    assert pair.difference.value == pytest.approx(hits[1].mean() - hits[0].mean())
    assert 0.0 < pair.difference.low < pair.difference.value < pair.difference.high
    assert pair.only_name == (hits[1] & ~hits[0]).sum()
    assert pair.only_reference == (hits[0] & ~hits[1]).sum()
    assert pair.p_value == pair.p_adjusted
    assert pair.images == 18


def test_the_best_can_be_the_reference_and_another_metric_the_score(
    runs: tuple[Path, Path],
) -> None:
    best = compare(*runs, against="best").report
    assert best.reference == "tiny/002"
    assert best.pairs[0].difference.value < 0
    loss = compare(*runs, against="best", metric="loss").report
    assert loss.reference == "tiny/002"
    assert loss.pairs[0].difference.value > 0
    assert not loss.is_higher_better
    assert "top_3" not in loss.shown  # of three classes it is always 1


def test_validation_can_be_asked_for(runs: tuple[Path, Path]) -> None:
    report = compare(*runs, split="validation").report
    assert {row.judged_on for row in report.contenders} == {"validation"}


def test_groups_are_drawn_whole_and_remarked_on(tmp_path: Path) -> None:
    index, recipe = make_index(tmp_path / "photos", images=54, groups=True), make_recipe()
    runs = [
        make_run(tmp_path / name, recipe, index, skill=skill, seed=seed)
        for name, skill, seed in (("a", BAD, 1), ("b", GOOD, 2), ("c", 1.0, 3))
    ]
    report = compare(*runs).report
    assert any("McNemar's test takes every image as independent" in r for r in report.remarks)
    assert report.contenders[0].groups == 6
    raw, adjusted = zip(*((p.p_value, p.p_adjusted) for p in report.pairs), strict=True)
    assert max(adjusted) == pytest.approx(max(raw)) or max(adjusted) == 1.0
    assert min(adjusted) == pytest.approx(min(1.0, 2 * min(raw)))


def test_label_sets_are_compared_too(tmp_path: Path) -> None:
    index = make_index(tmp_path / "photos", images=54, task="multi_label")
    recipe = make_recipe("multi_label")
    runs = [
        make_run(tmp_path / "tiny" / name, recipe, index, skill=skill, seed=seed)
        for name, skill, seed in (("001", BAD, 1), ("002", GOOD, 2))
    ]
    report = compare(*runs).report
    assert report.metric == "iou"
    tables = [pd.read_csv(run / "predictions.csv", keep_default_na=False) for run in runs]
    right = [
        (table["true_labels"] == table["labels"])[table["split"] == "test"] for table in tables
    ]
    assert report.pairs[0].only_name == (right[1] & ~right[0]).sum()
    assert report.pairs[0].difference.low > 0


def test_other_images_are_refused_unless_told(
    tmp_path: Path, index: Index, runs: tuple[Path, Path]
) -> None:
    frame = index.frame.copy()
    held = frame.index[frame["split"] == "test"]
    frame.loc[held[:2], "split"] = "train"
    frame.loc[held[2], "sha256"] = "f" * 64
    other = make_run(tmp_path / "tiny" / "003", make_recipe(), index.with_frame(frame), skill=GOOD)
    message = (
        r"tiny/001 and tiny/003 were judged on different images: 2 images that only "
        r"tiny/001 was judged on, 1 image with another label or other bytes; train both on one"
    )
    with pytest.raises(RequestError, match=message):
        compare(runs[0], other)
    report = compare(runs[0], other, allow_different=True).report
    assert report.pairs[0].images == 15
    assert report.pairs[0].difference is not None
    assert "differences are of the images in common" in report.remarks[0]


def test_models_of_other_classes_are_not_paired(
    tmp_path: Path, index: Index, runs: tuple[Path, Path]
) -> None:
    frame = index.frame[index.frame["label"] != "red"].reset_index(drop=True)
    fewer = Index(frame, ("blue", "green"), "photos")
    other = make_run(tmp_path / "tiny" / "003", make_recipe(), fewer)
    report = compare(runs[0], other, allow_different=True).report
    assert report.pairs[0].reason == "it has other classes"
    assert report.pairs[0].difference is None


def test_models_without_a_common_image_are_not_paired(
    tmp_path: Path, index: Index, runs: tuple[Path, Path]
) -> None:
    renamed = index.with_frame(index.frame.assign(image=["x" + n for n in index.frame["image"]]))
    other = make_run(tmp_path / "tiny" / "003", make_recipe(), renamed)
    report = compare(runs[0], other, allow_different=True).report
    assert report.pairs[0].reason == "it shares no image"


def make_crossval(folder: Path, index: Index, skill: float, repeats: int = 1) -> Path:
    plan = FoldPlan(2, repeats)
    recipe = make_recipe()
    place = CrossvalDirectory.create_at(folder, dump_recipe(recipe), plan)
    judged = []
    for repeat, fold in plan.places():
        halves = np.arange(len(index)) % 2 == fold - 1
        frame = index.frame.assign(split=np.where(halves, "test", "train"))
        above = place.fold(repeat, fold)
        run = RunDirectory.create_at(above.path, dump_recipe(recipe))
        fill_run(run, recipe, index.with_frame(frame), skill=skill, seed=repeat)
        content = json.loads(run.metrics_path.read_text("utf-8"))
        judged.append(content["splits"]["test"]["plain"])
    content = {"out_of_fold": judged[0], "each_fold": [{"training_seconds": 2.0}] * len(judged)}
    place.metrics_path.write_text(json.dumps(content), "utf-8")
    place.predictions_path.touch()
    return place.path


@pytest.mark.parametrize("repeats", [1, 2])
def test_cross_validations_are_compared_out_of_fold(
    tmp_path: Path, index: Index, repeats: int
) -> None:
    one = make_crossval(tmp_path / "tiny" / "cv-001", index, BAD, repeats)
    two = make_crossval(tmp_path / "tiny" / "cv-002", index, GOOD, repeats)
    report = compare(one, two).report
    assert {row.judged_on for row in report.contenders} == {"out-of-fold"}
    assert report.pairs[0].images == len(index) * repeats
    assert report.pairs[0].difference.low > 0
    assert report.contenders[0].training_seconds == 4.0 * repeats


def test_what_cannot_be_compared_is_refused(
    tmp_path: Path, index: Index, runs: tuple[Path, Path]
) -> None:
    with pytest.raises(RequestError, match="compare: needs two runs at least, got 1"):
        compare(runs[0])
    with pytest.raises(RequestError, match="001 is named twice; name each run once"):
        compare(runs[0], runs[0])
    with pytest.raises(RequestError, match=r"has no metric 'acuracy'; did you mean 'accuracy'\?"):
        compare(*runs, metric="acuracy")
    labels = make_index(tmp_path / "labels", task="multi_label")
    sets = make_run(tmp_path / "tiny" / "004", make_recipe("multi_label"), labels)
    with pytest.raises(
        RequestError, match=r"different tasks, .*001 is multi_class and .*multi_lab"
    ):
        compare(runs[0], sets)
    unfinished = RunDirectory.create_at(tmp_path / "tiny" / "005", dump_recipe(make_recipe()))
    with pytest.raises(TargetError, match=r"has no scores yet.*tfclassify train --resume"):
        compare(runs[0], unfinished.path)


def test_splits_must_be_common(tmp_path: Path, index: Index, runs: tuple[Path, Path]) -> None:
    recipe = make_recipe()
    validated = make_run(tmp_path / "tiny" / "006", recipe, index, splits=("validation",))
    tested = make_run(tmp_path / "tiny" / "007", recipe, index, splits=("test",))
    whole = make_run(tmp_path / "tiny" / "008", recipe, index, splits=())
    assert compare(runs[0], validated).report.contenders[0].judged_on == "validation"
    with pytest.raises(RequestError, match=r"judged on different splits: .*006 on validation"):
        compare(validated, tested)
    with pytest.raises(RequestError, match="was not judged on test images of its own, but on val"):
        compare(runs[0], validated, split="test")
    with pytest.raises(RequestError, match="008: was not judged on images of its own; a run needs"):
        compare(runs[0], whole)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", r"metrics\.json: cannot be read: .*; train the run again"),
        ('{"splits": {"test": {"plain": null, "tta": null}}}', r"splits\.test\.plain: .*got None"),
    ],
)
def test_damaged_scores_are_reported(runs: tuple[Path, Path], text: str, message: str) -> None:
    (runs[1] / "metrics.json").write_text(text, "utf-8")
    with pytest.raises(RunError, match=message):
        compare(*runs)


def test_a_damaged_cross_validation_is_reported(tmp_path: Path, index: Index) -> None:
    one = make_crossval(tmp_path / "tiny" / "cv-001", index, BAD)
    two = make_crossval(tmp_path / "tiny" / "cv-002", index, BAD)
    (two / "metrics.json").write_text("{}", "utf-8")
    with pytest.raises(RunError, match=r"cv-002.*out_of_fold: Field.*tfclassify crossval --res"):
        compare(one, two)


def test_a_page_is_written(tmp_path: Path, runs: tuple[Path, Path]) -> None:
    result = compare(*runs, out=tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert result.out == tmp_path / "page.html"
    assert "2 models compared" in page
    assert "<script" not in page
    assert "--out" in page
    with pytest.raises(RequestError, match=r"--out: .* is a folder; name the page to write"):
        compare(*runs, out=tmp_path)


def test_costs_stand_beside_scores(
    tmp_path: Path, runs: tuple[Path, Path], tfclassify: CommandLine
) -> None:
    recipe = make_recipe()
    add_bundle(runs[0], recipe, seed=0)
    shutil.copytree(runs[0] / "bundle", runs[1] / "bundle")
    answer = tfclassify("compare", *runs, "--json", "-q")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)["contenders"]
    # 3x3x3 taps for 8x8x4 values, then 4 x 3 of the dense layer.
    assert [row["macs"] for row in rows] == [27 * 8 * 8 * 4 + 12] * 2
    assert rows[0]["params"] == 27 * 4 + 4 + 4 * 3 + 3
    assert rows[0]["latency_ms"] is None
    # A model that cannot be profiled keeps its row.
    shutil.rmtree(runs[1] / "bundle")
    told = tfclassify("compare", *runs, "--out", tmp_path / "page.html", "--latency", "-q")
    assert told.code == 0, told.err
    assert "note: tiny/002: its cost is not known" in told.out
    assert "ms per view" in told.out
    assert f"page  {tmp_path / 'page.html'}" in told.out
