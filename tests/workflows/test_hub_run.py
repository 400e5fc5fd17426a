"""A run on a hub module is a run like any other, and stands alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.hostile.saved_model_attacks import copy_while_restoring, read_as_saving
from tests.hub_modules import make_hub_module
from tests.model.tampering import seal
from tests.tiny_run import CommandLine, make_labelled_photos, write_recipe
from tfclassify.errors import RequestError
from tfclassify.workflows.backbones import BackboneExportRequest, export_backbone
from tfclassify.workflows.profile import ProfileRequest, profile_targets
from tfclassify.workflows.submit import SubmitRequest, submit_run
from tfclassify.workflows.train import TrainRequest, train_recipe

CUSTOM = """\
  backbone: custom_cnn
  weights: none
  layers:
    - {conv: 8, stride: 2, batch_norm: true}
"""
HUB = """\
  backbone: hub:module
  input_range: [0, 1]
  batch_norm: trained
"""
STACK = """\
  stack:
    - {backbone: hub:module, input_range: [0, 1]}
    - {backbone: hub:other, input_range: [-1, 1]}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and a module."""
    home = tmp_path_factory.mktemp("hub")
    make_labelled_photos(home / "photos")
    make_hub_module(home / "module")
    make_hub_module(home / "other", seed=1, has_training=False, is_map=True)
    return home


@pytest.fixture(scope="module")
def run(home: Path) -> Path:
    """A training on a module: cached features, then everything; the module is then gone."""
    make_hub_module(home / "lent")
    changes = (CUSTOM, HUB.replace("hub:module", "hub:lent"))
    run = train_recipe(TrainRequest(write_recipe(home, changes), reports=home / "r")).run
    (home / "lent").rename(home / "gone")
    return run


@pytest.mark.slow  # two trainings' worth of tracing
def test_a_stack_trains_on_cached_features_and_whole(home: Path) -> None:
    recipe = write_recipe(home, (CUSTOM, STACK))
    result = train_recipe(TrainRequest(recipe, reports=home / "s"))
    assert result.epochs == 3
    page = (result.run / "report.html").read_text("utf-8")
    assert "Backbone 2" in page
    (found,) = profile_targets(ProfileRequest((str(result.run),), has_latency=False))
    assert [layer.kind for layer in found.profile.layers].count("HubFeatures") == 2
    assert found.profile.macs == 2 * 8 * 8 * 4 * 27 + 8 * 3


def test_the_profile_counts_the_module(run: Path) -> None:
    (found,) = profile_targets(ProfileRequest((str(run),), has_latency=True))
    # 8x8 positions of 4 filters of 3x3x3, and 4 features to 3 classes.
    assert found.profile.macs == 8 * 8 * 4 * 27 + 4 * 3
    assert found.profile.params == 4 * 27 + 4 + 4 + 4 * 3 + 3
    assert not found.profile.cost.uncounted
    assert found.profile.latency is not None


def test_the_recipe_is_profiled_beside_its_module(home: Path) -> None:
    recipe = write_recipe(home, (CUSTOM, HUB))
    (found,) = profile_targets(ProfileRequest((str(recipe),), has_latency=False))
    assert found.profile.macs == 8 * 8 * 4 * 27 + 4 * 3


@pytest.mark.parametrize("attack", ["copy", "read"])
@pytest.mark.parametrize("verb", ["profile", "check", "train", "predict", "evaluate"])
def test_no_verb_lets_a_foreign_saved_model_touch_a_file(
    attack: str, verb: str, run: Path, home: Path, tmp_path: Path, tfclassify: CommandLine
) -> None:
    """Each copied the file to a place of the module's choice, or had it in the features."""
    secret, target = tmp_path / "secret", tmp_path / "ran"
    secret.write_text("top secret")
    module = home / f"{attack}-{verb}"
    if attack == "copy":
        copy_while_restoring(module, secret, target)
    else:
        read_as_saving(module, secret)
    words: list[str | Path] = ["profile", f"hub:{module}", "--no-latency"]
    if verb in {"check", "train"}:
        recipe = write_recipe(home, (CUSTOM, HUB.replace("hub:module", f"hub:{module.name}")))
        words = [verb, recipe]
    elif verb in {"predict", "evaluate"}:
        foreign = tmp_path / "foreign"
        shutil.copytree(run, foreign)
        (inner,) = (foreign / "bundle" / "modules").iterdir()
        shutil.copyfile(module / "saved_model.pb", inner / "saved_model.pb")
        seal(foreign / "bundle")
        words = [verb, foreign, *([home / "photos/red"] if verb == "predict" else [])]
    answer = tfclassify(*words)
    assert answer.code == 1
    assert "TensorFlow 1's format, whose loader runs whatever it names" in " ".join(
        answer.err.split()
    )
    assert not target.exists()


@pytest.mark.slow  # the fresh process starts a TensorFlow of its own
def test_a_csv_is_proved_by_a_fresh_process(run: Path, home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    submit_run(SubmitRequest(run, "csv", images=home / "photos/red", out=out))
    assert len(pd.read_csv(out)) == 15


@pytest.mark.slow  # the fresh process that checks the zip starts a TensorFlow of its own
def test_a_codalab_zip_is_written_and_checked(run: Path, tmp_path: Path) -> None:
    result = submit_run(SubmitRequest(run, "codalab", out=tmp_path / "s.zip"))
    assert result.checked_images > 0


def test_an_exported_backbone_is_a_module(tmp_path: Path, tfclassify: CommandLine) -> None:
    folder = tmp_path / "mobile"
    answer = tfclassify(
        *("backbones", "mobilenet_025", "--export", folder, "--image-size", "32"),
        *("--weights", "none"),
    )
    assert answer.code == 0, answer.err
    assert "256 features of an image of 32x32" in answer.out
    assert f"backbone: hub:{folder}, input_range: [0, 1]" in answer.out
    (found,) = profile_targets(ProfileRequest((f"hub:{folder}",), has_latency=False))
    assert found.profile.params == 218_544


def test_only_a_saved_model_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RequestError, match="holds something else than a SavedModel"):
        export_backbone(BackboneExportRequest("efficientnet_lite0", tmp_path))
    with pytest.raises(RequestError, match="custom_cnn: its layers are spelt out by a recipe"):
        export_backbone(BackboneExportRequest("custom_cnn", tmp_path / "x"))


@pytest.mark.parametrize("words", [("vgg16",), ("--export", "x")])
def test_name_and_folder_go_together(words: tuple[str, ...], tfclassify: CommandLine) -> None:
    answer = tfclassify("backbones", *words)
    assert answer.code == 2
    assert "NAME and --export FOLDER go together" in answer.err
