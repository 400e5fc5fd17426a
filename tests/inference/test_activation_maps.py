"""Maps from inside networks, against hand-made networks, closed forms and differences."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.builders_models import make_classifier
from tests.hub_modules import make_hub_module
from tests.inference.builders import make_colour_finder
from tests.model.classifiers import TINY_LAYERS, make_images, make_recipe, make_tiny
from tfclassify.errors import ModelError
from tfclassify.inference.activation_maps import ActivationMaps
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.model.bundle import build_probability_model
from tfclassify.model.ensemble import build_ensemble
from tfclassify.recipe.schema import HeadRecipe, ModelRecipe

IMAGES = make_images(3)
CLASSES = np.array([0, 2, 1], np.int32)


def weigh(maps: ActivationMaps, method: str, images: np.ndarray = IMAGES) -> list[np.ndarray]:
    return [np.asarray(each) for each in maps.weigh(tf.constant(images), CLASSES, method)]


def logits_of(classifier: Classifier, images: np.ndarray = IMAGES) -> np.ndarray:
    """Return each image's logit for its class, and leave the class's bias out."""
    logits = np.asarray(classifier.network(images, training=False))
    bias = np.asarray(classifier.head.get_layer("logits").bias)
    return (logits - bias)[np.arange(len(images)), CLASSES]


@pytest.mark.parametrize(
    "pool", [keras.layers.GlobalAveragePooling2D, keras.layers.Flatten], ids=["average", "flatten"]
)
def test_the_map_lies_where_the_object_is(pool: type[keras.layers.Layer]) -> None:
    images = np.zeros((3, 16, 24, 3), np.float32)
    images[0, 4:8, 8:12, 0] = 255  # red, in the block of row 1 and column 2
    images[1, 12:16, 0:4, 2] = 255  # blue, at the bottom left
    images[2, 0:4, 20:24, 1] = 255  # green, at the top right
    (evidence,) = weigh(ActivationMaps(make_colour_finder(pool())), "grad-cam", images)
    expected = np.zeros((3, 4, 6))
    expected[0, 1, 2] = expected[1, 3, 0] = expected[2, 0, 5] = 1.0
    np.testing.assert_allclose(evidence, expected, atol=1e-6)


def test_a_map_is_drawn_at_the_size_of_the_images_and_keeps_its_mass() -> None:
    images = np.zeros((1, 16, 24, 3), np.uint8)
    images[0, 4:8, 8:12, 0] = 255
    drawn = ActivationMaps(make_colour_finder(keras.layers.GlobalAveragePooling2D()))(images, [0])
    assert drawn.shape == (1, 16, 24)
    assert drawn.dtype == np.float32
    positive = drawn.clip(min=0)
    assert np.unravel_index(positive.argmax(), drawn.shape)[1:] in [
        (row, column) for row in (5, 6) for column in (9, 10)
    ]
    assert positive[0, 2:10, 6:14].sum() > 0.95 * positive.sum()


def test_the_closed_form_is_grad_cam_and_adds_up_to_the_logit() -> None:
    classifier = make_tiny(dropout=0.2, final_dropout=0.1)
    maps = ActivationMaps(build_probability_model(classifier))
    assert maps.method == "cam"
    (closed,), (gradient,) = weigh(maps, "cam"), weigh(maps, "grad-cam")
    np.testing.assert_allclose(closed, gradient, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(closed.mean(axis=(1, 2)), logits_of(classifier), atol=1e-4)


def test_a_flattened_map_adds_up_to_the_logit() -> None:
    classifier = make_tiny(pool="flatten")
    maps = ActivationMaps(build_probability_model(classifier, "multi_label"))
    assert maps.method == "grad-cam"
    (evidence,) = weigh(maps, "grad-cam")
    np.testing.assert_allclose(evidence.mean(axis=(1, 2)), logits_of(classifier), atol=1e-4)


@pytest.mark.parametrize("pool", ["average", "max"])
def test_a_deeper_head_is_weighed_by_its_gradient(pool: str) -> None:
    classifier = make_tiny(pool=pool, dense=(5,), activation="gelu")
    maps = ActivationMaps(build_probability_model(classifier))
    features = np.asarray(classifier.backbone(IMAGES, training=False), np.float64)
    expected = np.zeros(features.shape[:3])
    step = 1e-2
    for channel in range(features.shape[-1]):
        # Grad-CAM's weight: how much the logit rises when the channel rises everywhere at once.
        sides = []
        for sign in (1, -1):
            moved = features.copy()
            moved[..., channel] += sign * step
            answer = np.asarray(classifier.head(moved.astype(np.float32), training=False))
            sides.append(answer[np.arange(3), CLASSES].astype(np.float64))
        weight = (sides[0] - sides[1]) / (2 * step)
        expected += weight[:, None, None] * features[..., channel]
    (evidence,) = weigh(maps, "grad-cam")
    np.testing.assert_allclose(evidence, expected, atol=2e-3 * np.abs(expected).max())


def test_the_members_of_a_stack_add_up_to_the_logit(tmp_path: Path) -> None:
    for seed, name in enumerate(("one", "two")):
        make_hub_module(tmp_path / name, size=(16, 24), is_map=True, seed=seed)
    stack = [
        {"backbone": f"hub:{tmp_path / name}", "input_range": (0, 1)} for name in ("one", "two")
    ]
    classifier = build_classifier(ModelRecipe(stack=stack), 3, (16, 24), seed=0)
    maps = ActivationMaps(build_probability_model(classifier))
    evidence = weigh(maps, maps.method)
    assert [each.shape for each in evidence] == [(3, 8, 12)] * 2
    total = sum(each.mean(axis=(1, 2)) for each in evidence)
    np.testing.assert_allclose(total, logits_of(classifier), atol=1e-4)


def test_an_ensemble_weighs_its_members() -> None:
    members = [build_probability_model(make_tiny(seed=seed)) for seed in (0, 1)]
    recipe = make_recipe(layers=TINY_LAYERS[:2], head=HeadRecipe(dense=(4,)))
    other = build_classifier(recipe.model, 3, (8, 12), seed=2)
    members.append(build_probability_model(other))
    ensemble = ActivationMaps(build_ensemble(members, [0.5, 0.3, 0.2], (16, 24)))
    assert ensemble.method == "grad-cam"
    small = tf.image.resize(IMAGES, (8, 12), antialias=True).numpy()
    alone = [
        np.asarray(ActivationMaps(member)(images, CLASSES))
        for member, images in zip(members, (IMAGES, IMAGES, small), strict=True)
    ]
    found = weigh(ensemble, "grad-cam")
    (third,) = weigh(ActivationMaps(members[2]), "grad-cam", small)
    (own,) = [each for each in found if each.shape == third.shape]
    np.testing.assert_allclose(own, 0.2 * third, atol=1e-5)
    closed = ActivationMaps(build_ensemble(members[:2], [0.6, 0.4], (16, 24)))
    assert closed.method == "cam"
    expected = 0.6 * alone[0] + 0.4 * alone[1]
    np.testing.assert_allclose(closed(IMAGES, CLASSES), expected, atol=1e-4)


def test_an_image_is_explained_alike_alone_and_in_a_batch() -> None:
    maps = ActivationMaps(build_probability_model(make_tiny(dense=(5,))))
    together = maps(IMAGES, CLASSES)
    alone = [maps(IMAGES[row : row + 1], CLASSES[row : row + 1])[0] for row in range(3)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5)


def test_the_model_answers_and_is_saved_as_before(tmp_path: Path) -> None:
    model = build_probability_model(make_tiny())
    before = np.asarray(model(IMAGES, training=False))
    ActivationMaps(model)
    np.testing.assert_array_equal(np.asarray(model(IMAGES, training=False)), before)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(np.asarray(loaded(IMAGES, training=False)), before, atol=1e-6)


def test_a_network_without_a_map_is_refused(tmp_path: Path) -> None:
    make_hub_module(tmp_path / "module", size=(16, 24))
    recipe = ModelRecipe(backbone=f"hub:{tmp_path / 'module'}", input_range=(0, 1))
    classifier = build_classifier(recipe, 3, (16, 24), seed=0)
    with pytest.raises(ModelError, match="takes the image and gives a vector or tokens"):
        ActivationMaps(build_probability_model(classifier))
    images = keras.Input((16, 24, 3))
    flat = keras.layers.Dense(3)(keras.layers.Flatten()(images))
    with pytest.raises(ModelError, match="no feature map to read; use the method occlusion"):
        ActivationMaps(keras.Model(images, flat))
    patches = keras.layers.Conv2D(4, 4, strides=4)(images)
    tokens = keras.layers.Reshape((24, 4))(patches)
    mean = keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(4)(tokens))
    with pytest.raises(ModelError, match="no feature map to read"):
        ActivationMaps(keras.Model(images, keras.layers.Dense(3)(mean)))
    with pytest.raises(ModelError, match="is no functional Keras model"):
        ActivationMaps(object())


def test_other_ways_to_end_a_network_are_read() -> None:
    maps = ActivationMaps(make_classifier((16, 24)))  # a Softmax layer behind a flattened map
    assert maps.method == "grad-cam"
    inner = keras.Sequential([keras.Input((16, 24, 3)), keras.layers.Conv2D(4, 3)])
    images = keras.Input((16, 24, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inner(images))
    bare = keras.Model(images, keras.layers.Dense(3)(pooled))  # logits for an answer
    assert ActivationMaps(bare).method == "cam"
