"""Each command, called as a user does, on one tiny run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builders import make_photo_folder
from tests.tiny_run import CommandLine, TinyRun


def test_train_prints_scores_and_paths(
    tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    answer = tfclassify(
        "train", tiny_run.recipe, "--set", "phases[1].epochs=1", "--set", "tta=null", "--json"
    )
    assert answer.code == 0, answer.err
    content = json.loads(answer.out)
    assert content["run"] == "reports/tiny/001"
    assert content["epochs"] == 2
    assert [score["split"] for score in content["scores"]] == ["validation", "test"]
    assert Path(content["report"]).exists()
    assert "phase whole: 1 epoch at most" in answer.err
    # The newest run of a name is meant where no number is given.
    told = tfclassify("evaluate", "reports/tiny", "-q")
    assert told.code == 0
    assert told.err == ""
    refused = tfclassify("evaluate", "reports/tiny", "--tta")
    assert refused.code == 2
    assert refused.err.startswith("error: --tta: the recipe 'tiny' has no views")
    again = tfclassify("train", tiny_run.recipe, "--out", "reports/tiny/001")
    assert again.code == 2
    assert "there is a run already" in again.err


def test_train_needs_a_recipe(tfclassify: CommandLine) -> None:
    answer = tfclassify("train")
    assert answer.code == 2
    assert "give a recipe, such as recipes/quickstart.yaml" in answer.err
    assert answer.out == ""


def test_resume_goes_with_no_override(tiny_run: TinyRun, tfclassify: CommandLine) -> None:
    answer = tfclassify("train", "--resume", tiny_run.run, "--set", "seed=1")
    assert answer.code == 2
    assert "--set cannot be given" in answer.err
    assert tfclassify("train", "--resume").code == 2
    recipe = tfclassify("train", "--resume", tiny_run.recipe)
    assert recipe.code == 2
    assert "is a recipe" in recipe.err


def test_evaluate_prints_tables_or_json(tiny_run: TinyRun, tfclassify: CommandLine) -> None:
    answer = tfclassify("evaluate", tiny_run.run, "--tta")
    assert answer.code == 0, answer.err
    assert "validation: Accuracy" in answer.out
    assert "with 2 views" in answer.out
    for word in ("red", "green", "blue", "Balanced accuracy"):
        assert word in answer.out
    content = json.loads(tfclassify("evaluate", tiny_run.run, "--no-tta", "--json", "-q").out)
    assert content["quarantined"] == 0
    assert [score["tta"] for score in content["scores"]] == [None, None]


def test_evaluate_tells_of_bad_images_and_its_page(
    tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    photos = make_photo_folder(in_tmp / "others", images_per_class=2)
    (photos / "red" / "zero.png").write_bytes(b"")
    answer = tfclassify("evaluate", tiny_run.run, "--data", "others", "--out", "judged")
    assert answer.code == 0, answer.err
    assert "1 bad image left out of the scores" in answer.out
    assert "report  judged/report.html" in answer.out
    assert "warning: others: " in answer.err


def test_predict_prints_a_table_a_file_or_json(
    tiny_run: TinyRun, in_tmp: Path, tfclassify: CommandLine
) -> None:
    (in_tmp / "zero.png").write_bytes(b"")
    good = tiny_run.photos / "red" / "03.png"
    words = ("predict", tiny_run.run, good, "zero.png")
    table = tfclassify(*words)
    assert table.code == 0, table.err
    assert "2 files, 1 without an answer" in table.out
    assert "then" in table.out.splitlines()[0]
    row = next(line for line in table.out.splitlines() if "03.png" in line)
    assert all(name in row for name in ("red", "green", "blue"))  # --top is 3
    assert "then" not in tfclassify(*words, "--top", "1").out
    assert tfclassify(*words, "--html", "pictures.html", "-q").code == 0
    page = Path("pictures.html").read_text("utf-8")
    assert page.count("<img ") == 1
    assert "2 images, 1 without an answer." in page
    assert "no answer" in page
    assert "<script" not in page
    nothing = tfclassify("predict", tiny_run.run, "zero.png")
    assert nothing.code == 1
    assert "zero.png" in nothing.out
    assert nothing.err.endswith("error: predict: none of 1 file could be used\n")
    assert "warning: 1 of 2 files could not be used" in table.err
    content = json.loads(tfclassify(*words, "--json", "--calibrated", "-q").out)
    first, second = content["predictions"]
    assert first["file"] == str(good)
    assert 0 < first["probability"] <= 1
    assert second["probability"] is None
    assert "zero.png" in second["error"]
    written = tfclassify(*words, "--out", "p.csv", "--top", "1")
    assert "written to p.csv" in written.out
    header = Path("p.csv").read_text("utf-8").splitlines()[0]
    assert header.startswith("file,label,probability,error,known,probability:")


def test_a_wrong_submission_is_refused(tiny_run: TinyRun, tfclassify: CommandLine) -> None:
    answer = tfclassify("submit", tiny_run.run, "--format", "csv")
    assert answer.code == 2
    assert answer.err == "error: submit --format csv: name the folder of images with --images\n"
    unknown = tfclassify("submit", tiny_run.run, "--format", "xml")
    assert unknown.code == 2
    assert "codalab" in unknown.err


def test_submit_says_what_was_checked(
    tiny_run: TinyRun, monkeypatch: pytest.MonkeyPatch, tfclassify: CommandLine
) -> None:
    from tfclassify.workflows import submit

    result = submit.SubmitResult(Path("s.zip"), "codalab", 2_500_000, 32, ("identity", "flip"))
    monkeypatch.setattr(submit, "submit_run", lambda request, observer: result)
    assert tfclassify("submit", tiny_run.run, "--format", "codalab").out == (
        "s.zip  2.5 MB, 2 views\na fresh process gave the same answers on 32 images\n"
    )
    content = json.loads(tfclassify("submit", tiny_run.run, "--format", "codalab", "--json").out)
    assert content == {
        "path": "s.zip",
        "format": "codalab",
        "size_bytes": 2_500_000,
        "checked_images": 32,
        "views": ["identity", "flip"],
    }


def test_inspect_prints_a_source(in_tmp: Path, tfclassify: CommandLine) -> None:
    photos = make_photo_folder(in_tmp / "photos", images_per_class=6)
    (photos / "red" / "zero.png").write_bytes(b"")
    answer = tfclassify("inspect", "photos", "--html", "photos.html")
    assert answer.code == 0, answer.err
    assert "width   32 to 32 pixels, median 32" in answer.out
    assert "page  photos.html" in answer.out
    assert Path("photos.html").exists()
    content = json.loads(tfclassify("inspect", "photos", "--json").out)
    assert content["classes"] == ["blue", "green", "red"]
    assert content["counts"] == {"all": [6, 6, 6]}
    assert content["quarantined"] == 1
    assert [row["image"] for row in content["findings"]] == ["red/zero.png"]


def test_check_prints_a_plan(tiny_run: TinyRun, tfclassify: CommandLine) -> None:
    answer = tfclassify("check", tiny_run.recipe)
    assert answer.code == 0, answer.err
    assert "custom_cnn: 283 parameters" in answer.out
    assert "at most on this machine" in answer.out
    content = json.loads(tfclassify("check", tiny_run.recipe, "--json").out)
    assert content["parameters"] == 283
    assert [phase["name"] for phase in content["phases"]] == ["head", "whole"]


def test_new_writes_a_recipe_that_checks(in_tmp: Path, tfclassify: CommandLine) -> None:
    make_photo_folder(in_tmp / "photos", images_per_class=8)
    answer = tfclassify("new", "colours", "--data", "photos")
    assert answer.code == 0, answer.err
    assert answer.out == (
        "24 images in 3 classes of 8 images, typically 24 pixels high and 32 wide.\n"
        "   one folder a class, 3 classes\n"
        "colours.yaml\nnext: tfclassify check colours.yaml && tfclassify train colours.yaml\n"
    )
    # A small network keeps the test quick; the recipe's own is checked by its loading.
    small = ["model.backbone=custom_cnn", "model.weights=none", "model.layers=[{conv: 4}]"]
    words = [word for text in [*small, "data.image_size=16"] for word in ("--set", text)]
    checked = tfclassify("check", "colours.yaml", *words)
    assert checked.code == 0, checked.err
    again = tfclassify("new", "colours", "--data", "photos")
    assert again.code == 2
    assert "is not overwritten" in again.err


def test_preview_names_its_picture(
    in_tmp: Path, monkeypatch: pytest.MonkeyPatch, tfclassify: CommandLine
) -> None:
    from tfclassify.workflows import preview

    seen = []
    monkeypatch.setattr(
        preview, "preview_recipe", lambda request, observer: seen.append(request) or request.out
    )
    answer = tfclassify("preview", "a.yaml", "--out", "seen.png", "--images", "3", "--set", "a=1")
    assert answer.out == "seen.png\n"
    assert seen == [preview.PreviewRequest("a.yaml", ("a=1",), Path("seen.png"), 3, 6)]


def test_schema_is_json(tfclassify: CommandLine) -> None:
    content = json.loads(tfclassify("schema").out)
    assert {"name", "data", "model", "phases"} <= set(content["properties"])


def test_backbones_are_listed(tfclassify: CommandLine) -> None:
    table = tfclassify("backbones").out
    assert "efficientnet_lite0" in table
    rows = json.loads(tfclassify("backbones", "--json").out)
    assert {"name", "parameters", "image_size", "source", "has_weights_here"} == set(rows[0])
