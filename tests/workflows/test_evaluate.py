from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import CommandLine, TinyRun
from tfclassify.data.index import load_index
from tfclassify.errors import DataError, RequestError, SourceError, TargetError
from tfclassify.events import Observer
from tfclassify.recipe.loading import load_recipe
from tfclassify.workflows.evaluate import EvaluateRequest, choose_views, evaluate_run


def plain_json(values: object) -> object:
    return json.loads(json.dumps(values))


def test_held_out_images_give_the_scores_of_training(tiny_run: TinyRun) -> None:
    stored = json.loads((tiny_run.run / "metrics.json").read_text("utf-8"))["splits"]
    result = evaluate_run(EvaluateRequest(tiny_run.run))
    assert [verdict.split for verdict in result.verdicts] == ["validation", "test"]
    for verdict in result.verdicts:
        assert plain_json(verdict.plain.to_dict()) == stored[verdict.split]["plain"]
        assert plain_json(verdict.headline.to_dict()) == stored[verdict.split]["tta"]
    assert result.quarantined == 0
    assert result.report is None


def test_without_views_the_plain_image_is_judged_alone(tiny_run: TinyRun) -> None:
    result = evaluate_run(EvaluateRequest(tiny_run.run, use_tta=False))
    assert [verdict.tta for verdict in result.verdicts] == [None, None]
    assert result.verdicts[0].views == ("identity",)


def test_other_images_are_judged_and_reported(tiny_run: TinyRun, tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "others", images_per_class=3, seed=77)
    (photos / "red" / "broken.png").write_bytes(b"")
    out = tmp_path / "judged"
    result = evaluate_run(EvaluateRequest(tiny_run.run, str(photos), out=out))
    (verdict,) = result.verdicts
    assert verdict.split == str(photos)
    assert verdict.plain.n == 9
    assert result.quarantined == 1
    content = json.loads((out / "metrics.json").read_text("utf-8"))
    assert content["headline"]["n"] == 9
    assert content["run"] == str(tiny_run.run)
    page = (out / "report.html").read_text("utf-8")
    assert f"--data {photos}" in page
    assert "broken.png" in page


class Warnings(Observer):
    """Keeps what it is warned of, and when the first image was predicted."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_warning(self, message: str) -> None:
        self.events.append(message)

    def on_task_start(self, task: str, total: int) -> None:
        self.events.append(task)


def test_images_that_the_run_knows_are_told_first_and_left_out(
    tiny_run: TinyRun, tfclassify: CommandLine
) -> None:
    index = load_index(tiny_run.run / "index.csv")
    splits = index.usable().frame["split"].value_counts()
    seen = Warnings()
    result = evaluate_run(EvaluateRequest(tiny_run.run, str(tiny_run.photos)), seen)
    assert (result.seen.trained, result.seen.chosen) == (splits["train"], splits["validation"])
    assert result.seen.has_near  # the run keeps what near-duplicates are found by
    (verdict,) = result.verdicts
    assert set(verdict.answers.images) == set(index.in_split("test").frame["image"])
    told = next(text for text in seen.events if "known to the run" in text)
    known = splits["train"] + splits["validation"]
    assert f"{known} of 45 images are known to the run: {splits['train']} trained on" in told
    assert seen.events.index(told) < seen.events.index("predict")
    out = tfclassify("evaluate", tiny_run.run, "--data", tiny_run.photos, "-q").out
    assert out.startswith(f"{known} of 45 images are known to the run")
    # The scores on what is left are those that the run reported of its test images.
    again = evaluate_run(EvaluateRequest(tiny_run.run)).verdicts[1]
    assert verdict.headline.metrics["accuracy"] == again.headline.metrics["accuracy"]


def test_whoever_insists_has_known_images_judged_with_a_caution(tiny_run: TinyRun) -> None:
    request = EvaluateRequest(tiny_run.run, str(tiny_run.photos), include_trained=True)
    (verdict,) = evaluate_run(request).verdicts
    assert verdict.headline.n == 45
    assert "known to the run" in verdict.caution
    assert "says little of new ones" in verdict.caution


def test_a_model_out_of_its_run_says_that_it_may_know_the_images(
    tiny_run: TinyRun, tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(tiny_run.run / "bundle", alone)
    shutil.copy(tiny_run.recipe, tmp_path / "recipe.yaml")  # a recipe alone makes no run
    told = Warnings()
    evaluate_run(EvaluateRequest(alone, str(tiny_run.photos)), told)
    assert any("cannot be told which of the images it was trained on" in text
               for text in told.events)  # fmt: skip


def test_images_that_are_all_known_are_refused(tiny_run: TinyRun, tmp_path: Path) -> None:
    index = load_index(tiny_run.run / "index.csv").in_split("train").frame
    copies = tmp_path / "copies"
    copies.mkdir()
    for number, path in enumerate(index["path"]):
        shutil.copy(path, copies / f"renamed-{number:02}.png")
    names = [f"renamed-{number:02}.png" for number in range(len(index))]
    table = pd.DataFrame({"file": names, "colour": index["label"], "painter": ""})
    table.to_csv(copies / "labels.csv", index=False)
    with pytest.raises(RequestError, match="None is left to judge by; name images that the run"):
        evaluate_run(EvaluateRequest(tiny_run.run, str(copies)))


def test_labels_that_are_not_classes_are_named(tiny_run: TinyRun, tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "others", images_per_class=2)
    (photos / "red").rename(photos / "rad")
    with pytest.raises(SourceError, match=r"(?s)'rad'.*'red'"):
        evaluate_run(EvaluateRequest(tiny_run.run, str(photos)))


def test_images_without_labels_cannot_be_judged(tiny_run: TinyRun, tmp_path: Path) -> None:
    photos = make_photo_folder(tmp_path / "others", images_per_class=2) / "red"
    with pytest.raises(DataError, match="no labels to judge by"):
        evaluate_run(EvaluateRequest(tiny_run.run, str(photos)))


def test_a_run_that_held_nothing_out_says_what_to_do(tiny_run: TinyRun, tmp_path: Path) -> None:
    run = tmp_path / "whole"
    shutil.copytree(tiny_run.run, run)
    index = pd.read_csv(run / "index.csv", keep_default_na=False)
    index.assign(split="train").to_csv(run / "index.csv", index=False)
    with pytest.raises(RequestError, match="held none out; name labelled images with --data"):
        evaluate_run(EvaluateRequest(run))


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="no such run"):
        evaluate_run(EvaluateRequest(tmp_path / "missing"))


def test_views_follow_the_recipe_unless_switched(tiny_run: TinyRun) -> None:
    with_views = load_recipe(tiny_run.recipe)
    without = with_views.model_copy(update={"tta": None})
    assert choose_views(with_views, None) == with_views.tta
    assert choose_views(with_views, True) == with_views.tta
    assert choose_views(with_views, False) is None
    assert choose_views(without, None) is None
    with pytest.raises(RequestError, match=r"--tta: the recipe 'tiny' has no views; add tta:"):
        choose_views(without, True)
