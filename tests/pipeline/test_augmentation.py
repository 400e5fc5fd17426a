from __future__ import annotations

import numpy as np
import pytest

from tfclassify.errors import MissingExtraError, RequestError
from tfclassify.pipeline.augmentation import build_augmentation, find_chosen, find_warnings
from tfclassify.recipe.schema import AugmentRecipe

SIZE = (24, 32)
EVERYTHING = {
    "flip": ["horizontal", "vertical"],
    "rotate": 0.2,
    "zoom": [-0.2, 0.3],
    "shift": 0.1,
    "shear": 0.1,
    "crop": [0.5, 1.0],
    "brightness": 0.3,
    "contrast": 0.4,
    "saturation": 0.5,
    "hue": 0.2,
    "greyscale": 0.2,
    "invert": 0.2,
    "equalise": 0.3,
    "blur": 0.4,
    "noise": 0.1,
    "erasing": {"chance": 0.5},
    "mix": {"cutmix": 0.4, "mixup": 0.4},
}


@pytest.fixture(scope="module")
def batch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (16, *SIZE, 3), dtype=np.uint8)
    targets = np.eye(4, dtype=np.float32)[np.arange(16) % 4]
    return images, targets, np.arange(16) * 977


def augment(batch: tuple, epoch: int = 0, seed: int = 1, **options: object):
    recipe = AugmentRecipe.model_validate(options.pop("recipe", EVERYTHING))
    augmentation = build_augmentation(recipe, SIZE, seed=seed, **options)
    assert augmentation.layers is None
    return augmentation.change(*batch, epoch)


def test_everything_at_once_stays_in_range(batch: tuple):
    images, targets = augment(batch)
    assert images.shape == (16, *SIZE, 3)
    assert images.dtype == np.float32
    assert images.min() >= 0.0
    assert images.max() <= 255.0
    assert np.isfinite(images).all()
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, atol=1e-6)


def test_equal_addresses_give_equal_bits(batch: tuple):
    one, other = augment(batch), augment(batch)
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


@pytest.mark.parametrize("change", [{"epoch": 1}, {"seed": 2}])
def test_another_epoch_or_seed_gives_other_images(batch: tuple, change: dict):
    one, other = augment(batch)[0], augment(batch, **change)[0]
    assert (np.abs(one - other).mean(axis=(1, 2, 3)) > 1.0).all()


def test_without_mixing_an_image_does_not_depend_on_its_batch(batch: tuple):
    whole, _ = augment(batch, mixed=False)
    rows = [11, 3, 8]
    part, _ = augment(tuple(array[rows] for array in batch), mixed=False)
    assert np.array_equal(part, whole[rows])


def test_switched_off_is_the_image_itself(batch: tuple):
    images, targets = augment(batch, augmented=False, mixed=False)
    assert np.array_equal(images, batch[0].astype(np.float32))
    assert np.array_equal(targets, batch[1])
    empty, _ = augment(batch, recipe={})
    assert np.array_equal(empty, images)


def test_one_augmentation_leaves_the_draws_of_another(batch: tuple):
    # A flip alone, and the same flip under an inversion.
    flipped, _ = augment(batch, recipe={"flip": ["horizontal"]})
    inverted, _ = augment(batch, recipe={"flip": ["horizontal"], "invert": 1.0})
    assert np.array_equal(inverted, 255.0 - flipped)


def test_mixing_comes_last(batch: tuple):
    recipe = EVERYTHING | {"mix": {"cutmix": 1.0}}
    alone, _ = augment(batch, recipe=recipe, mixed=False)
    mixed, _ = augment(batch, recipe=recipe)
    # Every pixel is that of an augmented image at the same place.
    for number in range(16):
        is_one = (alone == mixed[number]).all(axis=-1)
        assert is_one.any(axis=0).all()


def test_native_has_nothing_to_warn_of():
    assert find_warnings(AugmentRecipe.model_validate(EVERYTHING)) == []


@pytest.mark.parametrize("engine", ["keras", "keras_cv"])
def test_engines_of_layers_state_their_fault(engine: str):
    (warning,) = find_warnings(AugmentRecipe(engine=engine, mix={"cutmix": 0.5}))
    assert warning.startswith(f"augment.engine: {engine} draws from generators with a state")


def test_the_input_is_left_alone(batch: tuple):
    before = [array.copy() for array in batch]
    augment(batch)
    for array, kept in zip(batch, before, strict=True):
        assert np.array_equal(array, kept)


def test_the_order_of_the_work():
    recipe = AugmentRecipe.model_validate(EVERYTHING)
    names = [entry.name for entry, _ in find_chosen(recipe)]
    assert names == [
        *("crop", "flip", "rotate", "shear", "zoom", "shift"),
        "equalise",
        *("brightness", "contrast", "saturation", "hue", "greyscale", "invert"),
        *("blur", "noise", "erasing"),
    ]


def test_an_augmentation_that_is_not_registered_is_an_error():
    recipe = AugmentRecipe(custom={"vignete": 0.5})
    with pytest.raises(RequestError, match=r"augment\.custom: no augmentation 'vignete' is regist"):
        build_augmentation(recipe, SIZE, seed=0)
    # Known before any image is decoded, too.
    with pytest.raises(RequestError, match="'vignete'"):
        find_warnings(recipe)


def test_keras_cv_that_is_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "keras_cv", None)
    recipe = AugmentRecipe(engine="keras_cv", hue=(-0.1, 0.1))
    with pytest.raises(MissingExtraError, match=r'pip install "tfclassify\[augment\]"'):
        build_augmentation(recipe, SIZE, seed=0)
    # Where nothing is augmented the engine is not needed.
    build_augmentation(recipe, SIZE, seed=0, augmented=False, mixed=False)
