"""A bundle carries its hub modules, stands alone, and runs no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.hub_modules import apply_module, make_hub_module
from tests.model.classifiers import make_images, make_recipe
from tests.model.tampering import rewrite, seal
from tfclassify.backbones.hub_layer import name_module
from tfclassify.errors import BundleError, ModelError
from tfclassify.files import hash_file
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.model.bundle import (
    build_probability_model,
    list_hub_layers,
    load_bundle,
    save_bundle,
)
from tfclassify.model.freezing import apply_freezing
from tfclassify.recipe.schema import Recipe

CLASSES = ("ash", "beech", "cedar")


def make_hub_recipe(folder: Path, **model: Any) -> Recipe:
    return make_recipe(
        backbone=f"hub:{folder}", weights="imagenet", layers=(), input_range=(-1, 1), **model
    )


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """Build a classifier on a module in ``tmp_path/m``."""
    make_hub_module(tmp_path / "m", size=(16, 24))
    return build_classifier(make_hub_recipe(tmp_path / "m").model, 3, (16, 24), seed=0)


@pytest.fixture
def folder(classifier: Classifier, tmp_path: Path) -> Path:
    """Save its bundle."""
    recipe = make_hub_recipe(tmp_path / "m")
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=recipe)
    return tmp_path / "bundle"


def test_the_declared_range_is_what_the_module_gets(tmp_path: Path) -> None:
    values = make_hub_module(tmp_path / "m", size=(16, 24))
    classifier = build_classifier(make_hub_recipe(tmp_path / "m").model, 3, (16, 24), seed=0)
    images = make_images(2)
    got = np.asarray(classifier.backbone(images))[:, 0, 0]
    np.testing.assert_allclose(got, apply_module(values, images / 127.5 - 1), rtol=1e-4, atol=1e-5)
    assert classifier.members[0].is_pretrained


def fine_tune(classifier: Classifier, steps: int = 2) -> None:
    """Take some steps of gradient descent, statistics included."""
    images = make_images(4)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(classifier.network(images, training=True) ** 2)
            loss += tf.add_n(classifier.network.losses)
        variables = classifier.network.trainable_variables
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(0.01 * gradient)


def test_a_fine_tuned_bundle_stands_alone(classifier: Classifier, tmp_path: Path) -> None:
    images = make_images(3)
    untouched = np.asarray(build_probability_model(classifier)(images))
    apply_freezing(classifier, "all", "trained")
    fine_tune(classifier)
    expected = np.asarray(build_probability_model(classifier)(images))
    assert not np.allclose(expected, untouched)
    recipe = make_hub_recipe(tmp_path / "m")
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=recipe)
    (tmp_path / "m").rename(tmp_path / "gone")
    (tmp_path / "bundle").rename(tmp_path / "elsewhere")
    loaded = load_bundle(tmp_path / "elsewhere")
    assert np.array_equal(loaded.model(images), expected)
    (layer,) = list_hub_layers(loaded.model)
    assert layer.folder.is_relative_to(tmp_path / "elsewhere" / "modules")


def test_a_bundle_can_be_saved_from_a_loaded_module(folder: Path, tmp_path: Path) -> None:
    copy = next((folder / "modules").iterdir())
    assert copy.name == name_module(copy) == name_module(tmp_path / "m")
    facts = json.loads((folder / "bundle.json").read_text())
    parts = {
        f"modules/{copy.name}/saved_model.pb",
        f"modules/{copy.name}/variables/variables.index",
    }
    assert parts < set(facts["sha256"])


def test_what_freezing_does_to_a_module(classifier: Classifier) -> None:
    (layer,) = list_hub_layers(classifier.network)
    head = apply_freezing(classifier, "head", "auto")
    assert not layer.trainable
    assert head == 4 * 3 + 3
    everything = apply_freezing(classifier, "all", "auto")
    assert everything == head + 3 * 3 * 3 * 4 + 4
    assert layer.keeps_statistics
    assert len(classifier.backbone.losses) == 1
    apply_freezing(classifier, "all", "trained")
    assert not layer.keeps_statistics
    apply_freezing(classifier, "head", "trained")
    assert classifier.backbone.losses == []
    for part in ({"last_blocks": 1}, {"freeze_layers": 1}):
        message = r"phases\[\]\.train: 'hub:.*' is one piece without blocks or layers, got {'"
        with pytest.raises(ModelError, match=message):
            apply_freezing(classifier, make_part(**part), "auto")


def make_part(**options: Any) -> Any:
    from tfclassify.recipe.schema import TrainPartRecipe

    return TrainPartRecipe(**options)


def test_a_changed_module_is_refused(folder: Path) -> None:
    (index,) = folder.rglob("variables.index")
    index.write_bytes(index.read_bytes() + b"x")
    with pytest.raises(BundleError, match=r"variables\.index: was changed after it was written"):
        load_bundle(folder)


def test_a_missing_module_is_refused(folder: Path) -> None:
    next(folder.rglob("saved_model.pb")).unlink()
    with pytest.raises(BundleError, match=r"saved_model\.pb: the part is missing"):
        load_bundle(folder)


def test_a_planted_file_is_refused(folder: Path) -> None:
    planted = next((folder / "modules").iterdir()) / "assets" / "more"
    planted.parent.mkdir()
    planted.write_text("x")
    with pytest.raises(
        BundleError, match=r"holds files that bundle\.json does not name.*assets/mo"
    ):
        load_bundle(folder)


def test_a_module_that_runs_code_is_refused_even_with_fitting_checksums(folder: Path) -> None:
    place = next((folder / "modules").iterdir())
    module = tf.Module()
    module.__call__ = tf.function(
        lambda x: tf.reduce_mean(x, [1, 2]) + tf.cast(tf.size(tf.io.read_file("x")), tf.float32),
        input_signature=[tf.TensorSpec((None, 16, 24, 3), tf.float32)],
    )
    tf.saved_model.save(module, str(folder.parent / "evil"))
    (place / "saved_model.pb").write_bytes((folder.parent / "evil/saved_model.pb").read_bytes())
    seal(folder)
    with pytest.raises(ModelError, match=r"was not loaded: ReadFile \(1x\)"):
        load_bundle(folder)


@pytest.mark.parametrize("module", ["../m", "/etc", "hub_000000000000", None, 3])
def test_a_layer_that_names_another_module_is_refused(module: Any, folder: Path) -> None:
    def plant(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == "HubFeatures":
                return {**value, "config": {**value["config"], "module": module}}
            return {key: plant(part) for key, part in value.items()}
        return [plant(part) for part in value] if isinstance(value, list) else value

    rewrite(folder / "model.keras", plant)
    seal(folder)
    with pytest.raises(ModelError, match=r"runs the hub module .*, which is not in its bundle"):
        load_bundle(folder)


@pytest.mark.parametrize(
    "part", ["modules/../x", "modules/hub_0/x", "modules/hub_000000000000", "other", "../x"]
)
def test_a_part_by_another_name_is_refused(part: str, folder: Path) -> None:
    from tfclassify.model import bundle

    facts = json.loads((folder / "bundle.json").read_text())
    facts["sha256"][part] = hash_file(folder / "recipe.json")
    facts["checksum"] = bundle._Facts.model_validate(facts).compute_checksum()
    (folder / "bundle.json").write_text(json.dumps(facts))
    with pytest.raises(BundleError, match="damaged or changed"):
        load_bundle(folder)
