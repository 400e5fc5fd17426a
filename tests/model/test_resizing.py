"""A network for another size is another network on the same numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.model.classifiers import make_images, make_recipe, make_tiny, take_steps
from tfclassify.backbones import catalog
from tfclassify.backbones.catalog import register_backbone
from tfclassify.errors import ModelError
from tfclassify.model.assembly import Classifier, build_classifier, resize_classifier
from tfclassify.recipe import names
from tfclassify.recipe.schema import HeadRecipe, ModelRecipe

WHERE = "phases[0].image_size"


@pytest.fixture
def own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test registers."""
    monkeypatch.setattr(catalog, "BACKBONES", dict(catalog.BACKBONES))
    monkeypatch.setattr(names, "OWN_BACKBONES", [])
    monkeypatch.setattr(catalog, "OWN_BACKBONES", names.OWN_BACKBONES)


def build(model: ModelRecipe, size: int, seed: int = 0) -> Classifier:
    return build_classifier(model, 3, (size, size), seed=seed)


def test_it_is_what_would_be_built_for_that_size() -> None:
    # Its paddings differ between even and odd sizes, so that other layers do other work.
    model = ModelRecipe(backbone="mobilenet_v2", weights="none")
    first, images = build(model, 64), make_images(2, (49, 49))
    other = resize_classifier(first, model, (49, 49), WHERE)
    fresh = build(model, 49, seed=5)
    fresh.network.set_weights(first.network.get_weights())
    assert np.array_equal(other.network(images), fresh.network(images))


def test_what_one_learns_the_other_knows() -> None:
    first, model = make_tiny(dropout=0.5), make_recipe(head=HeadRecipe(dropout=0.5)).model
    other = resize_classifier(first, model, (20, 20), WHERE)
    before = [np.array(value) for value in first.network.get_weights()]
    take_steps(other, size=(20, 20))
    pairs = list(zip(before, first.network.get_weights(), strict=True))
    assert not any(np.array_equal(old, new) for old, new in pairs if old.ndim > 1)
    for given, own in zip(first.network.variables, other.network.variables, strict=True):
        assert given.value is own.value  # seeds of dropout among them
    assert resize_classifier(first, model, (16, 24), WHERE) is first


def build_normalised(size: tuple[int, int], has_weights: bool) -> keras.Model:
    images = keras.Input((*size, 3))
    return keras.Model(images, keras.layers.Normalization()(images))


def build_positioned(size: tuple[int, int], has_weights: bool) -> keras.Model:
    images = keras.Input((*size, 3))
    places = keras.layers.Reshape((size[0] * size[1], 3))(images)
    moved = keras.layers.EinsumDense("abc,bd->adc", (size[0] * size[1], 3))(places)
    return keras.Model(images, keras.layers.Reshape((*size, 3))(moved))


def test_constants_follow_the_numbers(own_names: None) -> None:
    register_backbone("tiny_net", build_normalised, min_size=8)
    model = ModelRecipe(backbone="tiny_net", weights="none")
    first = build(model, 32)
    layer = first.extractor.layers[-1]
    layer.adapt_mean.assign([3.0, 4.0, 5.0])
    other = resize_classifier(first, model, (16, 16), WHERE)
    images = np.zeros((1, 16, 16, 3), np.float32)
    np.testing.assert_allclose(other.backbone(images)[0, 0, 0], [-3, -4, -5], rtol=1e-6)


def test_a_size_that_is_part_of_the_weights_is_refused(own_names: None) -> None:
    register_backbone("tiny_net", build_positioned, min_size=8)
    model = ModelRecipe(backbone="tiny_net", weights="none")
    told = r"phases\[0\].image_size: the size of the images is part of this network's weights, such"
    with pytest.raises(ModelError, match=told):
        resize_classifier(build(model, 16), model, (8, 8), WHERE)


def test_a_size_that_is_too_small_is_refused() -> None:
    model = ModelRecipe(backbone="mobilenet_v2", weights="none")
    told = r"phases\[0\].image_size: there is no such network for images of 8x8: .*at least 32"
    with pytest.raises(ModelError, match=told):
        resize_classifier(build(model, 32), model, (8, 8), WHERE)
