"""Members averaged within one model, against their own answers."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from tests.builders_models import make_classifier
from tests.model.classifiers import make_images, make_recipe, make_tiny
from tfclassify.errors import ModelError
from tfclassify.model.assembly import build_classifier
from tfclassify.model.bundle import build_probability_model, load_bundle, save_model
from tfclassify.model.ensemble import build_ensemble, lay_side_by_side

CLASSES = ("ash", "birch", "cedar")


def answer(model: keras.Model, images: np.ndarray) -> np.ndarray:
    return np.asarray(model(images))


def test_probabilities_are_the_weighted_mean() -> None:
    members = [make_classifier(seed=seed) for seed in (0, 1, 2)]
    images = make_images(4, (16, 16))
    ensemble = build_ensemble(members, [0.5, 0.3, 0.2], (16, 16))
    one, two, three = (answer(member, images) for member in members)
    expected = 0.5 * one + 0.3 * two + 0.2 * three
    assert answer(ensemble, images) == pytest.approx(expected, abs=1e-6)
    assert ensemble.output_shape == (None, 3)


def test_members_keep_their_own_answers_side_by_side() -> None:
    members = [make_classifier(seed=seed) for seed in (0, 1)]
    images = make_images(2, (16, 16))
    joined = answer(lay_side_by_side(members, (16, 16)), images)
    expected = np.concatenate([answer(member, images) for member in members], axis=1)
    assert joined == pytest.approx(expected, abs=1e-6)
    alone = answer(lay_side_by_side(members[:1], (16, 16)), images)
    assert alone == pytest.approx(expected[:, :3], abs=1e-6)


def test_a_smaller_member_sees_what_pillow_would_show_it() -> None:
    # Pillow's bilinear filter widens when it shrinks, as antialiasing here must.
    small = make_classifier((8, 8), seed=3)
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
    shrunk = Image.fromarray(pixels).resize((8, 8), Image.Resampling.BILINEAR)
    expected = answer(small, np.asarray(shrunk, np.float32)[None])
    ensemble = build_ensemble([small], [1.0], (24, 16))
    # Pillow rounds to whole numbers, the model does not.
    assert answer(ensemble, pixels[None].astype(np.float32)) == pytest.approx(expected, abs=0.01)


def test_an_ensemble_is_a_bundle_like_any_other(tmp_path: Path) -> None:
    recipe = make_recipe()
    members = [build_probability_model(make_tiny(seed=seed)) for seed in (0, 1)]
    smaller = build_classifier(recipe.model, 3, (8, 12), seed=2)
    members.append(build_probability_model(smaller))
    ensemble = build_ensemble(members, [0.6, 0.3, 0.1], (16, 24))
    images = make_images(3)
    expected = answer(ensemble, images)
    save_model(tmp_path / "bundle", ensemble, classes=CLASSES, recipe=recipe)
    bundle = load_bundle(tmp_path / "bundle")
    np.testing.assert_array_equal(answer(bundle.model, images), expected)
    # And an ensemble can be a member again.
    again = build_ensemble([bundle.model, members[0]], [0.5, 0.5], (16, 24))
    mean = (expected + answer(members[0], images)) / 2
    assert answer(again, images) == pytest.approx(mean, abs=1e-6)


@pytest.mark.parametrize("weights", [[0.5, 0.4], [1.0, 0.0], [1.5, -0.5], [1.0], []])
def test_weights_must_share_one_out(weights: list[float]) -> None:
    members = [make_classifier(seed=seed) for seed in (0, 1)]
    with pytest.raises(ModelError, match="needs one positive weight a member, summing to 1"):
        build_ensemble(members, weights, (16, 16))


def test_members_must_have_the_same_classes() -> None:
    members = [make_classifier(classes=classes) for classes in (2, 3)]
    with pytest.raises(ModelError, match=r"must have the same classes, got \[2, 3\]"):
        build_ensemble(members, [0.5, 0.5], (16, 16))
