from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.augmentations.catalogue import AUGMENTATIONS
from tfclassify.errors import RequestError
from tfclassify.pipeline.augmentation import BatchAugmentation, build_augmentation, find_chosen
from tfclassify.pipeline.layer_engines import list_layers
from tfclassify.recipe.schema import AugmentRecipe

SIZE = (32, 40)
ENGINES = ("keras", "keras_cv")
EVERYTHING = {
    "flip": ["vertical", "horizontal"],
    "rotate": 0.1,
    "zoom": 0.2,
    "shift": 0.1,
    "shear": 0.1,
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
#: What only one of the libraries has a layer for.
OWN = {"keras": {"invert": 0.2, "noise": 0.05}, "keras_cv": {"crop": [0.5, 1.0]}}


def build(engine: str, recipe: dict, **options: bool) -> BatchAugmentation:
    keras.utils.set_random_seed(5)  # what the layers draw is theirs
    augment = AugmentRecipe.model_validate({"engine": engine} | recipe)
    return build_augmentation(augment, SIZE, seed=3, **options)


def run(engine: str, recipe: dict, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    augmentation = build(engine, recipe)
    count = len(images)
    floats, _ = augmentation.change(images, np.eye(count, dtype=np.float32), np.arange(count), 0)
    mixed, targets = augmentation.layers(tf.constant(floats), tf.eye(count))
    return mixed.numpy(), targets.numpy()


def list_for(engine: str, recipe: dict, layers: object = None) -> list:
    augment = AugmentRecipe.model_validate({"engine": engine} | recipe)
    return list_layers(layers, augment, find_chosen(augment), SIZE, 0)


@pytest.mark.parametrize(
    ("engine", "recipe", "message"),
    [
        ("keras_cv", {"noise": 0.1}, r"augment\.noise: keras_cv has no layer for it, got 0\.1"),
        ("keras_cv", {"invert": 0.5}, r"augment\.invert: keras_cv has no layer for it"),
        ("keras", {"crop": [0.5, 1.0]}, r"augment\.crop: keras has no layer for it"),
        ("keras", {"hue": [0.0, 0.2]}, r"augment\.hue: .* got \[0\.0, 0\.2\]; give 0\.2"),
        ("keras_cv", {"shear": [-0.3, 0.1]}, r"augment\.shear: .*; give 0\.3"),
    ],
)
def test_what_a_library_cannot_do_is_an_error(engine: str, recipe: dict, message: str):
    with pytest.raises(RequestError, match=message):
        list_for(engine, recipe)


def test_a_range_that_a_layer_refuses_is_an_error():
    class Layers:
        def __getattr__(self, name: str):
            def refuse(*args: object, **options: object) -> None:
                raise ValueError("must be within [-1, 1]")

            return refuse

    with pytest.raises(RequestError, match=r"augment\.shift: keras refuses .*within"):
        list_for("keras", {"shift": [-1.0, 1.0]}, Layers())


def test_a_cutmix_parameter_that_keras_refuses_is_an_error():
    with pytest.raises(RequestError, match=r"augment\.mix\.cutmix_alpha: keras refuses 2\.0"):
        build("keras", {"mix": {"cutmix": 0.5, "cutmix_alpha": 2.0}})


def test_every_built_in_is_run_by_some_test_here():
    tested = set(EVERYTHING) | set(OWN["keras"]) | set(OWN["keras_cv"])
    assert {name for name, entry in AUGMENTATIONS.items() if entry.layers} <= tested
    for engine in ENGINES:
        has_layer = {name for name, entry in AUGMENTATIONS.items() if engine in entry.layers}
        assert has_layer == (set(EVERYTHING) | set(OWN[engine])) - {"mix"}


@pytest.mark.parametrize("engine", ENGINES)
def test_everything_runs_inside_a_dataset(engine: str):
    augmentation = build(engine, EVERYTHING | OWN[engine])
    images = np.random.default_rng(0).integers(0, 256, (8, *SIZE, 3)).astype(np.float32)
    dataset = tf.data.Dataset.from_tensors((images, np.eye(8, dtype=np.float32)))
    make = tf.autograph.experimental.do_not_convert(augmentation.layers)
    for changed, targets in dataset.map(make):
        assert changed.shape == (8, *SIZE, 3)
        assert changed.dtype == tf.float32
        assert float(tf.reduce_min(changed)) >= 0.0
        assert float(tf.reduce_max(changed)) <= 255.0
        assert float(tf.reduce_mean(tf.abs(changed - images))) > 5.0
        np.testing.assert_allclose(targets.numpy().sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_cutmix_labels_are_the_pixels_counted(engine: str):
    colours = np.arange(64, dtype=np.uint8)
    images = np.broadcast_to(colours[:, None, None, None], (64, *SIZE, 3)).copy()
    mixed, targets = run(engine, {"mix": {"cutmix": 1.0}}, images)
    counted = (mixed[:, None, :, :, 0] == colours[None, :, None, None]).mean(axis=(2, 3))
    np.testing.assert_allclose(targets, counted, atol=1e-5)
    # Boxes were pasted, and some reach beyond the border or end within a pixel.
    assert ((counted > 0.02) & (counted < 0.98)).any(axis=1).mean() > 0.5


@pytest.mark.parametrize("engine", ENGINES)
def test_mixup_labels_are_the_mix_of_the_colours(engine: str):
    colours = np.arange(0, 240, 4, dtype=np.uint8)
    images = np.broadcast_to(colours[:, None, None, None], (60, *SIZE, 3)).copy()
    mixed, targets = run(engine, {"mix": {"mixup": 1.0, "mixup_alpha": 1.0}}, images)
    np.testing.assert_allclose(targets @ colours.astype(float), mixed[:, 0, 0, 0], atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_chance_is_drawn_for_each_image(engine: str):
    images = np.full((200, *SIZE, 3), (200, 40, 90), np.uint8)
    changed, _ = run(engine, {"greyscale": 0.3}, images)
    is_grey = np.ptp(changed, axis=3).max(axis=(1, 2)) < 1.0
    assert is_grey.mean() == pytest.approx(0.3, abs=0.12)
    assert np.array_equal(changed[~is_grey], images[~is_grey].astype(np.float32))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["rotate", "zoom", "brightness", "contrast"])
def test_a_value_means_what_it_means_in_the_native_engine(engine: str, name: str):
    # Neither the same draws nor the same filters, but images that differ by as much.
    image = np.full((*SIZE, 3), (60, 90, 120), np.uint8)
    image[8:24, 10:30] = (150, 110, 80)
    images = np.stack([image] * 200)
    theirs, _ = run(engine, {name: 0.2}, images)
    native = build("native", {name: 0.2})
    ours, _ = native.change(images, np.eye(200, dtype=np.float32), np.arange(200), 0)
    far, near = (np.abs(changed - image).mean() for changed in (theirs, ours))
    assert near == pytest.approx(far, rel=0.2)


@pytest.mark.parametrize("engine", ENGINES)
def test_switched_off_needs_no_layers(engine: str):
    assert build(engine, EVERYTHING, augmented=False, mixed=False).layers is None
