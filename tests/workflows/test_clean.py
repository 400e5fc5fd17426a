"""``clean`` on a run and on a cross-validation with labels that are wrong on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.data.builders import Listener
from tests.pages.contents import read_text
from tests.tiny_run import CommandLine, TinyRun
from tfclassify.data.corrections import Correction, read_corrections, write_corrections
from tfclassify.errors import RequestError, TargetError
from tfclassify.workflows.clean import CleanRequest, clean_target
from tfclassify.workflows.crossval import CrossvalRequest, crossval_recipe
from tfclassify.workflows.train import TrainRequest, train_recipe

FAST = ("phases[1].epochs=1", "tta=null")


@pytest.fixture(scope="module")
def folds(tiny_run: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clean") / "cv"
    overrides = (*FAST, f"data.source={tiny_run.photos}", "phases[1].epochs=4")
    crossval_recipe(CrossvalRequest(tiny_run.recipe, 3, overrides=overrides, out=out))
    return out


def test_every_image_of_a_cross_validation_is_looked_at(
    folds: Path, tfclassify: CommandLine
) -> None:
    result = clean_target(CleanRequest(folds))
    assert result.report.images == 36  # 45 less a fifth that the recipe sets apart for testing
    assert result.report.remarks == ()
    assert "3 models" in result.report.judged
    # Every fifth label is wrong; the model sees the colour that the photo has.
    labels = [each for each in result.suspects if each.kind == "label"]
    assert labels
    queue = pd.read_csv(result.queue, keep_default_na=False)
    assert queue.columns.tolist()[:4] == ["file", "label", "action", "reason"]
    assert queue["file"].tolist() == [each.image for each in result.suspects]
    assert read_corrections(result.queue) == []  # nothing is decided yet
    text = read_text(result.page.read_text("utf-8"))
    assert "Labels and photos to look at" in text
    assert labels[0].reason in text
    assert "corrections:" in text
    answer = tfclassify("clean", folds, "--json", "-q", "--no-features", "--rank", "margin")
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["counts"]["label"] == len(labels)
    assert content["suspects"][0]["issues"][0]["kind"] == "label"
    answer = tfclassify("clean", folds, "-q", "--no-features", "--no-photos")
    assert "The first suspects" not in answer.out  # a caption is for those who cannot see
    assert labels[0].image in answer.out
    assert answer.out.rstrip().endswith("issues.csv")


def test_a_filled_in_queue_corrects_the_data(
    folds: Path, tiny_run: TinyRun, tmp_path: Path
) -> None:
    from tfclassify.data.readers import read_source
    from tfclassify.recipe.loading import load_recipe

    result = clean_target(CleanRequest(folds, has_features=False, has_photos=False))
    queue = pd.read_csv(result.queue, dtype=str, keep_default_na=False)
    first = next(each for each in result.suspects if each.kind == "label")
    queue.loc[queue["file"] == first.image, "action"] = "relabel"
    queue.to_csv(tmp_path / "filled.csv", index=False)
    overrides = [f"data.source={tiny_run.photos}", f"data.corrections={tmp_path / 'filled.csv'}"]
    recipe = load_recipe(tiny_run.recipe, overrides)
    read = read_source(recipe.data)
    assert [found.kind for found in read.findings] == ["relabelled"]
    frame = read.index.frame.set_index("image")
    assert frame.loc[first.image, "label"] == first.suggestion


def test_of_a_run_the_held_out_images_are_looked_at(tiny_run: TinyRun, tmp_path: Path) -> None:
    listener = Listener()
    request = CleanRequest(tiny_run.run, has_photos=False, out=tmp_path)
    result = clean_target(request, listener)
    assert result.report.judged == "The run’s model judged its validation and test images."
    (remark,) = result.report.remarks
    assert "flatters their labels" in remark
    assert "tfclassify crossval" in remark
    assert remark in listener.notes
    assert result.page == tmp_path / "clean.html"
    assert not (tiny_run.run / "clean").exists()


def test_what_somebody_kept_is_not_shown_again(tiny_run: TinyRun, tmp_path: Path) -> None:
    def train(*overrides: str) -> Path:
        changes = (*FAST, f"data.source={tiny_run.photos}", *overrides)
        request = TrainRequest(tiny_run.recipe, changes, reports=tmp_path / "reports")
        return train_recipe(request).run

    run = train()
    request = CleanRequest(run, has_photos=False, has_features=False)
    before = [each.image for each in clean_target(request).suspects]
    path = tmp_path / "corrections.csv"
    write_corrections(path, [Correction(before[0], "keep")])
    recipe = run / "recipe.yaml"
    text = recipe.read_text("utf-8")
    recipe.write_text(text.replace("corrections: null", f"corrections: {path}"), "utf-8")
    result = clean_target(request)
    assert [each.image for each in result.suspects] == before[1:]
    assert result.report.kept == 1


def test_what_cannot_be_cleaned(tiny_run: TinyRun, tmp_path: Path, tfclassify: CommandLine) -> None:
    changes = (*FAST, f"data.source={tiny_run.photos}", "data.validation=0", "data.test=0")
    run = train_recipe(TrainRequest(tiny_run.recipe, changes, reports=tmp_path)).run
    with pytest.raises(RequestError, match=r"held no image out, .* `tfclassify crossval"):
        clean_target(CleanRequest(run))
    with pytest.raises(TargetError):
        clean_target(CleanRequest(tmp_path / "nothing"))
    assert tfclassify("clean", tmp_path / "nothing").code == 2
