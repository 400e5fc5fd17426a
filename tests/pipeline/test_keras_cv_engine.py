from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tfclassify.errors import RequestError
from tfclassify.pipeline.keras_cv_engine import build_keras_cv_augmentation, list_layers
from tfclassify.recipe.schema import AugmentRecipe

SIZE = (32, 40)
needs_keras_cv = pytest.mark.skipif(
    importlib.util.find_spec("keras_cv") is None, reason="keras-cv is an optional dependency"
)
EVERYTHING = {
    "engine": "keras_cv",
    "flip": ["vertical", "horizontal"],
    "rotate": 0.1,
    "zoom": 0.2,
    "shift": 0.1,
    "shear": 0.1,
    "crop": [0.5, 1.0],
    "brightness": 0.2,
    "contrast": [-0.2, 0.3],
    "saturation": 0.3,
    "hue": 0.1,
    "greyscale": 0.2,
    "equalise": 0.3,
    "blur": 0.4,
    "erasing": {},
    "mix": {"cutmix": 0.5, "mixup": 0.5},
}


def make_batch(count: int = 32) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    images = np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)
    return tf.constant(images), tf.eye(count), tf.range(count, dtype=tf.int64)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"noise": 0.1}, r"augment\.noise: keras-cv has no layer for it, got 0\.1"),
        ({"invert": 0.5}, r"augment\.invert: keras-cv has no layer for it"),
        ({"hue": [0.0, 0.2]}, r"augment\.hue: .* got \[0\.0, 0\.2\]; .* hue: 0\.2"),
        ({"shear": [-0.3, 0.1]}, r"augment\.shear: .* shear: 0\.3"),
    ],
)
def test_what_keras_cv_cannot_do_is_an_error(recipe: dict, message: str):
    with pytest.raises(RequestError, match=message):
        list_layers(None, AugmentRecipe.model_validate(recipe), SIZE, 0)


def test_a_range_that_a_layer_refuses_is_an_error():
    class Layers:
        def __getattr__(self, name: str):
            def refuse(*args: object, **options: object) -> None:
                raise ValueError("must be within [-1, 1]")

            return refuse

    with pytest.raises(RequestError, match=r"keras-cv refuses a range .*within"):
        list_layers(Layers(), AugmentRecipe(shift=(-1.0, 1.0)), SIZE, 0)


@needs_keras_cv
def test_everything_runs_inside_a_dataset():
    augment = build_keras_cv_augmentation(AugmentRecipe.model_validate(EVERYTHING), SIZE, seed=3)
    dataset = tf.data.Dataset.from_tensors(make_batch()).map(lambda *batch: augment(*batch, 0))
    for images, targets in dataset:
        assert images.shape == (32, *SIZE, 3)
        assert images.dtype == tf.float32
        assert float(tf.reduce_min(images)) >= 0.0
        assert float(tf.reduce_max(images)) <= 255.0
        np.testing.assert_allclose(targets.numpy().sum(axis=1), 1.0, atol=1e-5)


@needs_keras_cv
def test_the_label_fault_is_still_there():
    # When this fails, keras-cv was mended and the warning can go.
    augment = build_keras_cv_augmentation(
        AugmentRecipe.model_validate({"engine": "keras_cv", "mix": {"cutmix": 1.0}}), SIZE, seed=3
    )
    colours = np.arange(128, dtype=np.uint8)
    images = np.broadcast_to(colours[:, None, None, None], (128, *SIZE, 3))
    mixed, targets = augment(images, tf.eye(128), colours, 0)
    counted = (mixed.numpy()[..., 0] == colours[:, None, None]).mean(axis=(1, 2))
    labelled = np.diag(targets.numpy())
    assert (counted - labelled).max() > 0.3
    assert (counted - labelled).min() > -0.01


@needs_keras_cv
def test_switched_off_is_the_image_itself():
    augment = build_keras_cv_augmentation(
        AugmentRecipe.model_validate(EVERYTHING), SIZE, seed=3, augmented=False, mixed=False
    )
    images, targets, keys = make_batch()
    changed, labels = augment(images, targets, keys, 0)
    assert np.array_equal(changed, images.numpy().astype(np.float32))
    assert np.array_equal(labels, targets)
