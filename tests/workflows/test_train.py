"""A training from the recipe to the report, on generated photos."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

from tests.tiny_run import TinyRun, make_labelled_photos, write_recipe
from tfclassify.errors import (
    DataError,
    RecipeError,
    SourceError,
    TargetError,
    TfclassifyError,
)
from tfclassify.events import Observer
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.train import TrainRequest, train_recipe

FILES = (
    "recipe.yaml",
    "environment.json",
    "index.csv",
    "integrity.json",
    "journal.jsonl",
    "state/began.json",
    "bundle/bundle.json",
    "bundle/model.keras",
    "metrics.json",
    "predictions.csv",
    "predictions.npz",
    "thumbnails.npz",
    "figures/learning_curves.svg",
    "report.html",
)


class Notes(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize("name", FILES)
def test_a_run_holds_all_that_the_design_names(tiny_run: TinyRun, name: str) -> None:
    assert (tiny_run.run / name).stat().st_size > 0


def test_a_training_of_growing_images(tmp_path: Path) -> None:
    make_labelled_photos(tmp_path / "photos")
    changes = ("phases[0].image_size=12", "phases[1].image_size=24", "phases[1].batch_size=16")
    request = TrainRequest(write_recipe(tmp_path), changes, out=tmp_path / "run")
    result = train_recipe(request)
    run = RunDirectory.open(result.run)
    facts = json.loads((run.bundle_dir / "bundle.json").read_text("utf-8"))
    assert facts["image_size"] == [16, 16]  # what the run is judged at
    journal = [json.loads(line) for line in run.journal_path.read_text("utf-8").splitlines()]
    assert [record["phase"] for record in journal] == ["head", "whole", "whole"]
    page = run.report_path.read_text("utf-8")
    assert "head 12x12" in page
    assert "whole 24x24 (kept)" in page
    assert "images of 24x24, batches of 16 images" in page


def test_nothing_half_written_is_left(tiny_run: TinyRun) -> None:
    names = {path.name for path in tiny_run.run.iterdir()}
    expected = {name.partition("/")[0] for name in FILES} | {".lock", "index.json"}
    assert names == expected


def test_groups_stay_on_one_side(tiny_run: TinyRun) -> None:
    index = pd.read_csv(tiny_run.run / "index.csv")
    assert (index.groupby("group")["split"].nunique() == 1).all()
    assert set(index["split"]) == {"train", "validation", "test"}


def test_metrics_agree_with_scikit_learn_on_the_predictions(tiny_run: TinyRun) -> None:
    table = pd.read_csv(tiny_run.run / "predictions.csv")
    splits = json.loads((tiny_run.run / "metrics.json").read_text("utf-8"))["splits"]
    assert set(table["split"]) == set(splits) == {"validation", "test"}
    for split, scores in splits.items():
        rows = table[table["split"] == split]
        columns = sorted(name for name in rows if name.startswith("probability:"))
        classes = [name.removeprefix("probability:") for name in columns]
        measured = {name: item["value"] for name, item in scores["tta"]["metrics"].items()}
        truth, answer = rows["true_label"], rows["label"]
        probabilities = rows[columns].to_numpy()
        probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
        expected = {
            "accuracy": sklearn_metrics.accuracy_score(truth, answer),
            "f1_macro": sklearn_metrics.f1_score(truth, answer, average="macro"),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(truth, answer),
            "loss": sklearn_metrics.log_loss(truth, probabilities, labels=classes),
            "roc_auc": sklearn_metrics.roc_auc_score(
                truth, probabilities, multi_class="ovr", labels=classes
            ),
        }
        for name, value in expected.items():
            assert measured[name] == pytest.approx(value, abs=1e-5), (split, name)
        confusion = np.zeros((len(classes), len(classes)), dtype=int)
        for true, predicted, images in scores["tta"]["confusion"]:
            confusion[true, predicted] = images
        counted = sklearn_metrics.confusion_matrix(truth, answer, labels=classes)
        assert np.array_equal(confusion, counted)
        assert scores["tta"]["n"] == len(rows)


def test_the_headline_is_the_last_split_with_views(tiny_run: TinyRun) -> None:
    content = json.loads((tiny_run.run / "metrics.json").read_text("utf-8"))
    headline = content["headline"]
    interval = content["splits"]["test"]["tta"]["metrics"]["accuracy"]
    assert headline["split"] == "test"
    assert headline["views"] == 2
    assert headline["value"] == interval["value"]
    assert headline["low"] <= headline["value"] <= headline["high"]
    assert content["epochs"] == 3


def test_the_journal_has_a_line_an_epoch(tiny_run: TinyRun) -> None:
    records = RunDirectory.open(tiny_run.run).read_journal()
    assert [(record["phase"], record["epoch"]) for record in records] == [
        ("head", 1),
        ("whole", 1),
        ("whole", 2),
    ]


def test_the_report_is_one_page_that_loads_nothing(tiny_run: TinyRun) -> None:
    page = (tiny_run.run / "report.html").read_text("utf-8")
    assert len(page) < 1_500_000
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "Training images as augmented" in page
    assert "confident mistakes" in page.lower()


def test_a_recipe_that_augments_nothing_has_no_sheet(in_tmp: Path) -> None:
    recipe = write_recipe(
        make_labelled_photos(in_tmp / "photos").parent,
        ("augment: {flip: [horizontal], rotate: 0.05, mix: {mixup: 0.3}}\n", ""),
        ("  - {name: whole, train: all, epochs: 2, learning_rate: 1.0e-2, schedule: cosine}\n", ""),
        ("  validation: 0.3\n  test: 0.2\n", "  validation: 0\n"),
        ("tta: {flips: [horizontal]}", "runtime: {tensorboard: true}"),
    )
    notes = Notes()
    result = train_recipe(TrainRequest(recipe), notes)
    assert notes.notes[0] == "run reports/tiny/001"
    assert result.run == Path("reports/tiny/001")
    # Whole-dataset mode as well: nothing is held out, so there is no verdict.
    assert result.verdicts == ()
    page = result.report.read_text("utf-8")
    assert "What the model saw" not in page
    assert "No score" in page
    content = json.loads((result.run / "metrics.json").read_text("utf-8"))
    assert content["headline"] is None
    assert content["splits"] == {}
    # The logs for TensorBoard: no validation images, so one folder.
    assert [path.name for path in (result.run / "tensorboard").iterdir()] == ["train"]


def test_a_data_source_beside_the_recipe_is_found_from_anywhere(
    tiny_run: TinyRun, in_tmp: Path
) -> None:
    index = pd.read_csv(tiny_run.run / "index.csv")
    assert all(Path(path).is_absolute() for path in index["path"])
    saved = (tiny_run.run / "recipe.yaml").read_text("utf-8")
    assert str(tiny_run.photos) in saved


def test_a_wrong_recipe_makes_nothing(in_tmp: Path) -> None:
    recipe = write_recipe(in_tmp, ("batch_size", "batchsize"))
    with pytest.raises(RecipeError, match="batch_size"):
        train_recipe(TrainRequest(recipe))
    assert [path.name for path in in_tmp.iterdir()] == ["tiny.yaml"]


def test_data_that_cannot_be_read_leaves_no_run(in_tmp: Path) -> None:
    recipe = write_recipe(in_tmp)
    with pytest.raises(SourceError, match="photos: there is no such file or folder"):
        train_recipe(TrainRequest(recipe, out=Path("run")))
    assert not Path("run").exists()


def test_a_table_without_its_images_leaves_nothing(in_tmp: Path) -> None:
    rows = [f"absent-{number}.jpg,{'ab'[number % 2]}" for number in range(30)]
    (in_tmp / "noimg.csv").write_text("\n".join(["file,label", *rows]), "utf-8")
    columns = {"file": "file", "label": "label"}
    with pytest.raises(TfclassifyError, match="no column names the 0 images"):
        train_recipe(TrainRequest("noimg.csv", columns=columns))
    recipe = write_recipe(in_tmp, ("table: labels.csv", "table: noimg.csv"), ("colour", "label"),
                          (", group: painter", ""), ("source: photos", "source: ."))  # fmt: skip
    with pytest.raises(SourceError, match="none of the 30 images in the column 'file'"):
        train_recipe(TrainRequest(recipe))
    with pytest.raises(SourceError, match="none of the 30 images in the column 'file'"):
        train_recipe(TrainRequest(recipe, out=Path("a/new/run")))
    assert sorted(path.name for path in in_tmp.iterdir()) == ["noimg.csv", "tiny.yaml"]
    Path("reports/tiny/001").mkdir(parents=True)
    with pytest.raises(SourceError, match="none of the 30"):
        train_recipe(TrainRequest(recipe))
    assert [path.as_posix() for path in Path("reports").rglob("*")] == [
        "reports/tiny",
        "reports/tiny/001",
    ]


def test_images_of_one_class_leave_no_run(in_tmp: Path) -> None:
    make_labelled_photos(in_tmp / "photos")
    recipe = write_recipe(in_tmp)
    with pytest.raises(DataError, match="at least 2 classes"):
        train_recipe(TrainRequest(recipe, ("data.drop_labels=[red, green]",), out=Path("run")))
    assert not Path("run").exists()


def test_an_existing_run_is_not_trained_over(tiny_run: TinyRun) -> None:
    before = (tiny_run.run / "metrics.json").read_bytes()
    with pytest.raises(TargetError, match=r"there is a run already; .*train --resume"):
        train_recipe(TrainRequest(tiny_run.recipe, out=tiny_run.run))
    assert (tiny_run.run / "metrics.json").read_bytes() == before
