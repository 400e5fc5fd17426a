"""A run on images that may have several labels, through every verb that reads one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

from tests.tiny_run import CommandLine, TinyRun
from tests.tiny_sets import TAGS
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import RequestError
from tfclassify.judging.answers import make_answers
from tfclassify.judging.verdicts import Calibrated, calibrate
from tfclassify.recipe.loading import load_recipe
from tfclassify.runs.directory import RunDirectory
from tfclassify.scoring.judgement import Judgement, LabelJudgement
from tfclassify.scoring.thresholds import search_thresholds
from tfclassify.workflows.evaluate import EvaluateRequest, evaluate_run
from tfclassify.workflows.predict import PredictRequest, predict_paths_of_run
from tfclassify.workflows.submit import SubmitRequest, submit_run

CLASSES = sorted(TAGS)


def read_table(run: TinyRun, split: str) -> pd.DataFrame:
    table = pd.read_csv(run.run / "predictions.csv", keep_default_na=False)
    return table[table["split"] == split]


def read_marks(column: pd.Series) -> np.ndarray:
    return np.array([[name in text.split("|") for name in CLASSES] for text in column])


def read_bundle(run: TinyRun) -> dict:
    return json.loads((run.run / "bundle" / "bundle.json").read_text("utf-8"))


def read_splits(run: TinyRun) -> dict:
    return json.loads((run.run / "metrics.json").read_text("utf-8"))["splits"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_metrics_agree_with_scikit_learn_on_the_predictions(tiny_sets: TinyRun, split: str) -> None:
    table = read_table(tiny_sets, split)
    true, given = read_marks(table["true_labels"]), read_marks(table["labels"])
    probabilities = table[[f"probability:{name}" for name in CLASSES]].to_numpy()
    scores = Judgement.from_dict(read_splits(tiny_sets)[split]["tta"])
    expected = {
        "map": oracle.average_precision_score(true, probabilities),
        "iou": oracle.jaccard_score(true, given, average="samples", zero_division=1),
        "f1_samples": oracle.f1_score(true, given, average="samples", zero_division=1),
        "exact_match": oracle.accuracy_score(true, given),
    }
    for name, value in expected.items():
        assert scores.metrics[name].value == pytest.approx(value, abs=1e-6)
    assert scores.metrics["map"].value > 0.8  # painted corners are easy


def test_test_images_are_labelled_by_the_stored_thresholds(tiny_sets: TinyRun) -> None:
    stored = read_bundle(tiny_sets)["thresholds"]
    assert sorted(stored) == CLASSES
    table = read_table(tiny_sets, "test")
    probabilities = table[[f"probability:{name}" for name in CLASSES]].to_numpy(np.float32)
    limits = np.array([stored[name] for name in CLASSES], np.float32)
    assert np.array_equal(read_marks(table["labels"]), probabilities >= limits)
    origins = {name: row["tta"]["threshold_origin"] for name, row in read_splits(tiny_sets).items()}
    assert origins == {"validation": "cross_fitted", "test": "stored"}


def test_the_thresholds_are_those_of_the_validation_images(tiny_sets: TinyRun) -> None:
    run = RunDirectory.open(tiny_sets.run)
    index = PreparedData.load(run.index_path, run.integrity_path).index.in_split("validation")
    result = evaluate_run(EvaluateRequest(tiny_sets.run, use_tta=False))
    expected = search_thresholds(index.targets(), result.verdicts[0].answers.plain, "per_class")
    stored = read_bundle(tiny_sets)["thresholds"]
    assert [stored[name] for name in CLASSES] == pytest.approx(expected, abs=1e-5)


def test_what_the_recipe_asks_for_is_stored(tiny_sets: TinyRun) -> None:
    run = RunDirectory.open(tiny_sets.run)
    validation = PreparedData.load(run.index_path, run.integrity_path).index.in_split("validation")
    recipe = load_recipe(run.recipe_path)
    answers = make_answers(validation, np.full((len(validation), 3), 0.5))
    fixed = recipe.model_copy(update={"thresholds": 0.3})
    classes = validation.classes
    assert calibrate(None, fixed, classes).thresholds == dict.fromkeys(classes, 0.3)
    assert calibrate(None, recipe, classes) == Calibrated()
    found = calibrate(answers, recipe, classes)
    assert found.thresholds is not None
    assert found.temperature is found.views_temperature is None


def test_evaluating_again_gives_the_scores_of_training(tiny_sets: TinyRun, tmp_path: Path) -> None:
    result = evaluate_run(EvaluateRequest(tiny_sets.run, out=tmp_path / "out"))
    stored = read_splits(tiny_sets)
    for verdict in result.verdicts:
        assert isinstance(verdict.headline, LabelJudgement)
        again = json.loads(json.dumps(verdict.headline.to_dict()))
        assert again == stored[verdict.split]["tta"]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "Labels given though absent" in page or "one too many" in page


def test_other_images_are_judged_by_the_stored_thresholds(tiny_sets: TinyRun) -> None:
    result = evaluate_run(
        EvaluateRequest(tiny_sets.run, data=str(tiny_sets.photos), include_trained=True)
    )
    (verdict,) = result.verdicts
    assert verdict.headline.threshold_origin == "stored"
    assert verdict.headline.n == 80


def test_the_report_speaks_of_label_sets(tiny_sets: TinyRun) -> None:
    page = (tiny_sets.run / "report.html").read_text("utf-8")
    for text in ("Mean average precision", "Average precision", "Labels of an image", "one for"):
        assert text in page
    assert "onfusion" not in page
    assert "alibration" not in page
    drawn = {path.stem for path in (tiny_sets.run / "figures").iterdir()}
    assert {"class_ap", "label_counts", "learning_curves", "class_histogram"} <= drawn
    curves = (tiny_sets.run / "figures" / "learning_curves.svg").read_text("utf-8")
    for title in ("Binary cross-entropy", "Mean average precision", "IoU", "F1, samples"):
        assert title in curves


def test_files_are_labelled_as_the_run_recorded(tiny_sets: TinyRun, tmp_path: Path) -> None:
    table = read_table(tiny_sets, "test")
    paths = tuple(tiny_sets.photos / name for name in table["file"])
    out = tmp_path / "p.csv"
    predict_paths_of_run(PredictRequest(tiny_sets.run, paths, out=out))
    written = pd.read_csv(out, keep_default_na=False)
    assert written["labels"].tolist() == table["labels"].tolist()
    predict_paths_of_run(PredictRequest(tiny_sets.run, paths, out=out, is_simple=True))
    simple = pd.read_csv(out, keep_default_na=False)
    assert simple.columns.tolist() == ["filename", "label"]
    assert simple["label"].tolist() == table["labels"].tolist()


def test_there_is_no_temperature_to_apply(tiny_sets: TinyRun) -> None:
    assert read_bundle(tiny_sets)["temperature"] is None
    with pytest.raises(RequestError, match="has no temperature, since it labels by thresholds"):
        predict_paths_of_run(PredictRequest(tiny_sets.run, (tiny_sets.photos,), is_calibrated=True))


def test_the_simple_form_needs_a_file(tiny_sets: TinyRun) -> None:
    with pytest.raises(RequestError, match="--format simple: name the CSV to write with --out"):
        predict_paths_of_run(PredictRequest(tiny_sets.run, (tiny_sets.photos,), is_simple=True))


def test_the_command_line_prints_label_sets(
    tiny_sets: TinyRun, tfclassify: CommandLine, tmp_path: Path
) -> None:
    answer = tfclassify("evaluate", tiny_sets.run)
    assert answer.code == 0
    assert "Mean average precision" in answer.out
    assert "A label is given where its probability reaches a threshold." in answer.out
    photo = tiny_sets.photos / "01.png"
    assert "most probable" in tfclassify("predict", tiny_sets.run, photo).out
    out = tmp_path / "p.csv"
    answer = tfclassify("predict", tiny_sets.run, photo, "--out", out, "--format", "simple")
    assert answer.code == 0
    assert out.read_text("utf-8").startswith("filename,label\n01.png,")


@pytest.mark.slow  # a fresh process starts a TensorFlow of its own
def test_submissions_are_written_and_checked(tiny_sets: TinyRun, tmp_path: Path) -> None:
    zipped = submit_run(SubmitRequest(tiny_sets.run, "codalab", out=tmp_path / "s.zip"))
    assert zipped.checked_images > 0
    template = tmp_path / "sample.csv"
    names = sorted(path.stem for path in tiny_sets.photos.glob("*.png"))
    template.write_text("id,sky,sun,grass\n" + "".join(f"{name},0,0,0\n" for name in names))
    request = SubmitRequest(
        tiny_sets.run, "csv", images=tiny_sets.photos, template=template, out=tmp_path / "s.csv"
    )
    assert submit_run(request).checked_images == 32
    table = pd.read_csv(tmp_path / "s.csv")
    assert set(table[["sky", "sun", "grass"]].to_numpy().ravel()) == {0, 1}
