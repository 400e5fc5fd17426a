from __future__ import annotations

from pathlib import Path

import keras
import pytest

from tests.profiler.networks import L, build_objects50
from tfclassify.errors import ModelError, RequestError
from tfclassify.model.assembly import build_classifier
from tfclassify.model.bundle import save_bundle
from tfclassify.profiler.subjects import fix_shapes, input_shapes, load_subject
from tfclassify.profiler.targets import find_target
from tfclassify.recipe.loading import load_recipe

RECIPE = """
name: tiny
data: {source: missing, image_size: 32}
model:
  backbone: custom_cnn
  weights: none
  layers: [{conv: 4, pool: 2}, {conv: 8, pool: 2}]
phases: [{name: whole, epochs: 1}]
"""


def load(text: str, size=None):
    return load_subject(find_target(text), size)


def test_a_backbone_comes_with_its_published_classifier() -> None:
    subject = load("efficientnet_lite0", (64, 64))
    assert subject.model.count_params() == 3_413_024 + 1281 * 1000
    assert subject.shapes == ((64, 64, 3),)


def test_sizes_and_names_that_no_backbone_has() -> None:
    with pytest.raises(RequestError, match="resnet50 needs at least 32 pixels a side, got 16x16"):
        load("resnet50", (16, 16))
    with pytest.raises(RequestError, match="custom_cnn: its layers are spelt out by a recipe"):
        load("custom_cnn")


def test_a_recipe_without_its_data_says_so(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    subject = load(str(path))
    assert subject.shapes == ((32, 32, 3),)
    assert subject.model.output_shape == (None, 10)
    assert "the class layer was given 10 classes" in subject.remarks[0]
    path.write_text(RECIPE.replace("source: missing", "source: missing, classes: [a, b, c]"))
    assert load(str(path), (16, 24)).model.output_shape == (None, 3)
    assert load(str(path), (16, 24)).remarks == ()


def test_a_recipe_of_a_url_is_not_downloaded(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    url = f"source: 'https://example.com/a.zip', sha256: {'a' * 64}"
    path.write_text(RECIPE.replace("source: missing", url))
    assert "it would have to be downloaded" in load(str(path)).remarks[0]


def test_a_recipe_that_cannot_be_built(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE.replace("{conv: 8, pool: 2}", "{pool: 40, padding: valid}"))
    with pytest.raises(ModelError, match=r"tiny\.yaml: model\.layers"):
        load(str(path))


def test_a_bundle_and_a_keras_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    recipe = load_recipe(path)
    classifier = build_classifier(recipe.model, 2, (32, 32), seed=0)
    save_bundle(tmp_path / "bundle", classifier, classes=("a", "b"), recipe=recipe)
    subject = load(str(tmp_path / "bundle"))
    assert subject.shapes == ((32, 32, 3),)
    with pytest.raises(RequestError, match="its input is fixed at 32x32 pixels"):
        load(str(tmp_path / "bundle"), (64, 64))
    build_objects50().save(tmp_path / "objects.keras")
    assert load(str(tmp_path / "objects.keras")).shapes == ((64, 64, 3),)


def test_shapes_are_fixed_or_refused() -> None:
    assert fix_shapes("m", [(None, None, 3)], (8, 9)) == ((8, 9, 3),)
    assert fix_shapes("m", [(5,), (8, 8, 3)], (8, 8)) == ((5,), (8, 8, 3))
    with pytest.raises(RequestError, match=r"has no fixed size; give one with --image-size"):
        fix_shapes("m", [(None, None, 3)], None)
    with pytest.raises(RequestError, match="has no fixed size; fix it in the model"):
        fix_shapes("m", [(None, 4)], None)


def test_a_model_that_does_not_say_what_it_takes() -> None:
    with pytest.raises(RequestError, match="free: the model does not say what it takes"):
        input_shapes(keras.Sequential([L.Dense(2)], name="free"))
