"""A bundle gives back the very model, or says which part of it is not what was saved."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from scipy.special import expit, softmax

from tests.model.classifiers import TINY_LAYERS, make_images, make_recipe, make_tiny, take_steps
from tests.model.tampering import rewrite, seal
from tfclassify.errors import BundleError, ModelError
from tfclassify.model.assembly import build_classifier
from tfclassify.model.bundle import build_probability_model, load_bundle, save_bundle
from tfclassify.model.freezing import apply_freezing
from tfclassify.recipe.schema import HeadRecipe, ModelRecipe, Recipe

CLASSES = ("ash", "beech", "cedar")
RECIPE = make_recipe()
MULTI_LABEL = Recipe.from_dict(
    RECIPE.model_dump(exclude_unset=True)
    | {
        "task": "multi_label",
        "data": {"source": "a.csv", "image_size": [16, 24], "label_separator": "|"},
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Save a small bundle."""
    save_bundle(tmp_path / "bundle", make_tiny(), classes=CLASSES, recipe=RECIPE, temperature=1.5)
    return tmp_path / "bundle"


def change_facts(folder: Path, **values: Any) -> None:
    path = folder / "bundle.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, **values}))


def test_probabilities_are_the_softmax_of_the_logits() -> None:
    classifier, images = make_tiny(), make_images(3)
    model = build_probability_model(classifier)
    logits = np.asarray(classifier.network(images), np.float64)
    np.testing.assert_allclose(model(images), softmax(logits, axis=1), atol=1e-6)
    assert model.layers[-1].name == "probabilities"


def test_a_reloaded_model_agrees_exactly(tmp_path: Path) -> None:
    classifier, images = make_tiny(dropout=0.2, dense=(5,), batch_norm=True, l2=0.1), make_images(5)
    apply_freezing(classifier, "all", "auto")
    take_steps(classifier, 3)
    before = np.asarray(build_probability_model(classifier)(images))
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=RECIPE)
    after = load_bundle(tmp_path / "bundle").model
    assert np.array_equal(after(images), before)
    assert np.array_equal(after.predict(images, batch_size=2, verbose=0), before)


@pytest.mark.parametrize(
    "backbone",
    [
        "efficientnet_lite0",
        "mobilenet_v3_small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50_v2", "convnext_tiny")),
    ],
)
def test_every_kind_of_backbone_reloads_exactly(backbone: str, tmp_path: Path) -> None:
    weights = "imagenet" if backbone == "efficientnet_lite0" else "none"
    recipe = make_recipe(backbone=backbone, weights=weights, layers=())
    recipe = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"image_size": (32, 48)})}
    )
    classifier = build_classifier(recipe.model, 3, (32, 48), seed=0)
    apply_freezing(classifier, "head", "auto")
    images = make_images(2, (32, 48))
    before = np.asarray(build_probability_model(classifier)(images))
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=recipe)
    assert np.array_equal(load_bundle(tmp_path / "bundle").model(images), before)


@pytest.mark.slow
def test_bgr_preprocessing_reloads_in_a_fresh_process(tmp_path: Path) -> None:
    recipe = make_recipe(backbone="vgg16", layers=())
    recipe = recipe.model_copy(
        update={"data": recipe.data.model_copy(update={"image_size": (32, 32)})}
    )
    classifier = build_classifier(recipe.model, 3, (32, 32), seed=0)
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=recipe)
    images = make_images(2, (32, 32))
    np.save(tmp_path / "images.npy", images)
    program = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from tfclassify.model.bundle import load_bundle\n"
        "folder = Path(sys.argv[1])\n"
        "model = load_bundle(folder / 'bundle').model\n"
        "np.save(folder / 'got.npy', model(np.load(folder / 'images.npy')))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=300)
    expected = np.asarray(build_probability_model(classifier)(images))
    assert np.array_equal(np.load(tmp_path / "got.npy"), expected)


def test_mixed_precision_reloads_exactly_and_ends_in_float32(tmp_path: Path) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        classifier = make_tiny()
        expected = np.asarray(build_probability_model(classifier)(make_images(2)))
        save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=RECIPE)
    finally:
        keras.config.set_dtype_policy(before)
    got = np.asarray(load_bundle(tmp_path / "bundle").model(make_images(2)))
    assert got.dtype == np.float32
    assert np.array_equal(got, expected)


def test_the_facts_come_back(tmp_path: Path) -> None:
    save_bundle(
        tmp_path / "bundle",
        make_tiny(),
        classes=CLASSES,
        recipe=RECIPE,
        temperature=1.25,
        thresholds=dict.fromkeys(CLASSES, 0.5),
    )
    bundle = load_bundle(tmp_path / "bundle")
    assert bundle.classes == CLASSES
    assert (bundle.image_size, bundle.resize, bundle.max_pixels) == ((16, 24), "crop", 10**6)
    assert (bundle.temperature, bundle.thresholds) == (1.25, dict.fromkeys(CLASSES, 0.5))
    assert bundle.recipe == RECIPE
    assert bundle.recipe.model.layers == TINY_LAYERS
    assert bundle.folder == tmp_path / "bundle"


def test_a_bundle_takes_the_place_of_an_older_one(folder: Path) -> None:
    (folder / "stray").touch()
    save_bundle(folder, make_tiny(), classes=("x", "y", "z"), recipe=RECIPE)
    assert load_bundle(folder).classes == ("x", "y", "z")
    assert sorted(path.name for path in folder.iterdir()) == [
        "bundle.json",
        "model.keras",
        "recipe.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_failing_save_leaves_the_older_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("tfclassify.model.bundle.hash_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(folder, make_tiny(), classes=("x", "y", "z"), recipe=RECIPE)
    monkeypatch.undo()
    assert load_bundle(folder).classes == CLASSES
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b", "b"), ("a", "b", "c", "d")])
def test_classes_that_do_not_fit_are_refused(classes: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=rf"has 3 outputs, got {len(classes)} classes"):
        save_bundle(tmp_path / "bundle", make_tiny(), classes=classes, recipe=RECIPE)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_temperature_is_refused(temperature: float, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="temperature must be positive and finite"):
        save_bundle(
            tmp_path / "b", make_tiny(), classes=CLASSES, recipe=RECIPE, temperature=temperature
        )


def test_a_threshold_of_no_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"thresholds name \['oak'\]"):
        save_bundle(
            tmp_path / "b", make_tiny(), classes=CLASSES, recipe=RECIPE, thresholds={"oak": 0.5}
        )


@pytest.mark.parametrize("value", [1.5, float("nan"), None])
def test_a_threshold_is_a_probability(tmp_path: Path, value: float | None) -> None:
    thresholds = {"ash": 0.5, "beech": value, "cedar": 0.2}
    with pytest.raises(BundleError, match=r"threshold of class 'beech' must be from 0 to 1, got"):
        save_bundle(
            tmp_path / "b", make_tiny(), classes=CLASSES, recipe=RECIPE, thresholds=thresholds
        )


def test_label_sets_come_from_the_sigmoid(tmp_path: Path) -> None:
    classifier, images = make_tiny(), make_images(3)
    recipe = MULTI_LABEL
    thresholds = {"cedar": 0.2, "ash": 0.4, "beech": 0.3}
    save_bundle(tmp_path / "b", classifier, classes=CLASSES, recipe=recipe, thresholds=thresholds)
    bundle = load_bundle(tmp_path / "b")
    logits = np.asarray(classifier.network(images), np.float64)
    np.testing.assert_allclose(bundle.model(images), expit(logits), atol=1e-6)
    assert bundle.task.is_multi_label
    assert bundle.label_thresholds.tolist() == [0.4, 0.3, 0.2]


def test_without_thresholds_the_line_is_a_half(folder: Path, tmp_path: Path) -> None:
    assert load_bundle(folder).label_thresholds is None  # multi_class has no such line
    recipe = MULTI_LABEL
    save_bundle(tmp_path / "b", make_tiny(), classes=CLASSES, recipe=recipe)
    assert load_bundle(tmp_path / "b").label_thresholds.tolist() == [0.5] * 3


@pytest.mark.parametrize("part", ["bundle.json", "model.keras", "recipe.json"])
def test_a_part_is_not_read_through_a_link(folder: Path, tmp_path: Path, part: str) -> None:
    (folder / part).rename(tmp_path / "elsewhere")
    (folder / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=rf"{part}: is a link; a bundle is made of files"):
        load_bundle(folder)


@pytest.mark.parametrize("part", ["bundle.json", "model.keras", "recipe.json"])
def test_a_missing_part_is_named(folder: Path, part: str) -> None:
    (folder / part).unlink()
    with pytest.raises(BundleError, match=rf"{part}: the part is missing"):
        load_bundle(folder)


@pytest.mark.parametrize("part", ["model.keras", "recipe.json"])
def test_one_changed_byte_is_named(folder: Path, part: str) -> None:
    content = bytearray((folder / part).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / part).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{part}: was changed after it was written: sha256"):
        load_bundle(folder)


def test_a_changed_class_name_is_noticed(folder: Path) -> None:
    change_facts(folder, classes=["beech", "ash", "cedar"])
    with pytest.raises(BundleError, match=r"bundle\.json: damaged or changed: its checksum"):
        load_bundle(folder)


def test_a_part_of_another_name_is_not_read(folder: Path) -> None:
    (folder / "model.keras").rename(folder / "model.h5")
    change_facts(folder, sha256={"model.h5": "0" * 64, "recipe.json": "0" * 64})
    with pytest.raises(BundleError, match=r"its parts \['model\.h5', 'recipe\.json'\], expected"):
        load_bundle(folder)


@pytest.mark.parametrize("number", [0, 2, None, "1"])
def test_another_format_is_refused(folder: Path, number: Any) -> None:
    change_facts(folder, format=number)
    with pytest.raises(BundleError, match=rf"format {number!r}, this version reads 1"):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', "[" * 100_000])
def test_facts_that_are_none_are_refused(folder: Path, text: str) -> None:
    (folder / "bundle.json").write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: (damaged or changed|format None)"):
        load_bundle(folder)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"a bundle is a folder with .*, there is none"):
        load_bundle(tmp_path / "nowhere")


def test_a_single_model_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.h5"
    path.touch()
    with pytest.raises(BundleError, match=r"got a file; single model files such as \.h5 are not"):
        load_bundle(path)


def test_a_lambda_is_refused_though_the_checksums_fit(folder: Path) -> None:
    images = keras.Input((16, 24, 3))
    flat = keras.layers.Flatten()(images)
    outputs = keras.layers.Lambda(lambda x: x[:, :3], output_shape=(3,))(flat)
    keras.Model(images, outputs).save(folder / "model.keras")
    seal(folder)
    with pytest.raises(ModelError, match=r"holds 'Lambda' of 'keras\.layers'"):
        load_bundle(folder)


def test_an_unknown_object_is_refused_though_the_checksums_fit(folder: Path) -> None:
    @keras.saving.register_keras_serializable(package="stranger")
    class Odd(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs

    images = keras.Input((16, 24, 3))
    keras.Model(images, Odd()(images)).save(folder / "model.keras")
    seal(folder)
    with pytest.raises(ModelError, match=r"holds 'Odd' of .*, which is no layer"):
        load_bundle(folder)


def test_a_model_of_another_bundle_is_refused(folder: Path) -> None:
    build_probability_model(make_tiny(classes=4)).save(folder / "model.keras")
    seal(folder)
    with pytest.raises(
        BundleError, match=r"gives \(None, 4\), but bundle\.json says .*\(None, 3\)"
    ):
        load_bundle(folder)


def test_what_keras_cannot_load_is_told(folder: Path) -> None:
    def misshape(config: Any) -> Any:
        config["config"]["layers"][1]["config"] = {}
        return config

    rewrite(folder / "model.keras", misshape)
    seal(folder)
    with pytest.raises(ModelError, match=r"model\.keras: Keras cannot load it: \w+: "):
        load_bundle(folder)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    """They said the first class of every image, with a probability of nan."""
    classifier = make_tiny()
    kernel = classifier.network.layers[-1].weights[0]
    kernel.assign(np.full(kernel.shape, value))
    save_bundle(tmp_path / "bundle", classifier, classes=CLASSES, recipe=RECIPE)
    with pytest.raises(BundleError, match=r"its weights '.*kernel' are not all finite"):
        load_bundle(tmp_path / "bundle")


def test_weights_that_are_none_are_told(folder: Path) -> None:
    path = folder / "model.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model.weights.h5"] = b"nothing"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    seal(folder)
    with pytest.raises(ModelError, match=r"its weights cannot be read"):
        load_bundle(folder)


def test_a_recipe_of_another_version_is_refused(folder: Path) -> None:
    path = folder / "recipe.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "new_key": 1}))
    seal(folder)
    with pytest.raises(BundleError, match=r"recipe\.json: not a recipe of this version: .*new_key"):
        load_bundle(folder)


def test_heads_of_every_pool_reload(tmp_path: Path) -> None:
    for pool in ("average", "max", "flatten"):
        recipe = make_recipe(head=HeadRecipe(pool=pool))
        classifier = build_classifier(recipe.model, 3, (16, 24), seed=0)
        save_bundle(tmp_path / pool, classifier, classes=CLASSES, recipe=recipe)
        assert isinstance(load_bundle(tmp_path / pool).recipe.model, ModelRecipe)
