from __future__ import annotations

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from tfclassify.augmentations import catalogue
from tfclassify.augmentations.catalogue import (
    AUGMENTATIONS,
    BUILT_IN,
    describe_chosen,
    find_custom,
    list_chosen,
    register_augmentation,
)
from tfclassify.augmentations.entry import Augmentation, Key
from tfclassify.augmentations.randomness import Draws
from tfclassify.errors import RecipeError
from tfclassify.pipeline.augmentation import build_augmentation
from tfclassify.recipe.loading import parse_recipe
from tfclassify.recipe.reference import json_schema
from tfclassify.recipe.schema import AugmentRecipe

SIZE = (24, 32)
#: A value of each built-in that is not its default.
VALUES = {
    "crop": (0.5, 0.9),
    "flip": ("horizontal",),
    "rotate": (-0.1, 0.1),
    "shear": (-0.1, 0.1),
    "zoom": (0.1, 0.2),
    "shift": (0.1, 0.2),
    "equalise": 1.0,
    "brightness": (0.1, 0.2),
    "contrast": (0.1, 0.2),
    "saturation": (0.2, 0.5),
    "hue": (0.1, 0.2),
    "greyscale": 1.0,
    "invert": 1.0,
    "blur": 1.0,
    "noise": 0.1,
    "erasing": {"chance": 1.0},
}


def move_right(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    matrices = np.tile(np.eye(3), (len(pixels), 1, 1))
    matrices[:, 0, 2] = -pixels
    return matrices


def darken(image: np.ndarray, share: float) -> np.ndarray:
    return (image * (1.0 - share)).astype(np.uint8)


def tint(share: np.ndarray, mean: object) -> np.ndarray:
    matrices = np.tile(np.eye(4), (len(share), 1, 1))
    matrices[:, 0, 0] = 1.0 - share
    return matrices


def make_entry(name: str = "darkness", acts_on: str = "pixels", **changes: object) -> Augmentation:
    entry = {
        "name": name,
        "acts_on": acts_on,
        "key": Key("fraction", "Light taken away.", 0.0),
        "draw": lambda value, draws, image_size: (np.full(len(draws), value),),
        "apply": {"pixels": darken, "positions": move_right, "colours": tint}[acts_on],
        "words": lambda value: f"{name} {100 * value:g} %",
    }
    return Augmentation(**(entry | changes))


@pytest.fixture(autouse=True)
def _restore(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = dict(AUGMENTATIONS)
    yield
    AUGMENTATIONS.clear()
    AUGMENTATIONS.update(kept)
    catalogue._load_packages.cache_clear()


def make_photos(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (count, *SIZE, 3), dtype=np.uint8)


def change(recipe: dict) -> np.ndarray:
    images = make_photos()
    function = build_augmentation(AugmentRecipe.model_validate(recipe), SIZE, seed=0).change
    return function(images, np.eye(6, dtype=np.float32), np.arange(6), 0)[0]


def test_there_is_a_value_here_for_each_built_in():
    assert tuple(VALUES) == BUILT_IN


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_entry_is_all_there_is_to_an_augmentation(name: str):
    entry = AUGMENTATIONS[name]
    assert entry.name == name
    # The recipe knows its keys, with their meaning, and the editor's schema too.
    properties = json_schema()["$defs"]["AugmentRecipe"]["properties"]
    for key, facts in {name: entry.key, **entry.options}.items():
        assert AugmentRecipe.model_fields[key].default == facts.default
        assert properties[key]["description"] == facts.meaning
    recipe = AugmentRecipe.model_validate({name: VALUES[name]})
    assert [chosen.name for chosen, _ in list_chosen(recipe)] == [name]
    # A report says something of it; images change.
    assert name[:4] in describe_chosen(recipe)[0]
    assert (np.abs(change({name: VALUES[name]}) - make_photos()).mean(axis=(1, 2, 3)) > 0).any()


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_image_undergoes_the_same_in_any_batch(name: str):
    entry = AUGMENTATIONS[name]
    recipe = AugmentRecipe.model_validate({name: VALUES[name]})
    options = {key: getattr(recipe, key) for key in entry.options}
    keys = np.arange(37)
    whole = entry.draw(getattr(recipe, name), Draws(1, 2, keys), SIZE, **options)
    part = entry.draw(getattr(recipe, name), Draws(1, 2, keys[5:9]), SIZE, **options)
    for all_rows, some_rows in zip(whole, part, strict=True):
        assert np.array_equal(all_rows[5:9], some_rows)


def test_nothing_chosen_is_nothing_done():
    assert list_chosen(AugmentRecipe()) == []
    assert describe_chosen(AugmentRecipe(blur_sigma=(1.0, 2.0))) == []


def test_an_augmentation_of_ones_own_runs_from_a_recipe():
    register_augmentation(make_entry())
    register_augmentation(make_entry())  # as a notebook's cell does
    expected = np.floor(make_photos() * 0.75)
    assert np.array_equal(change({"custom": {"darkness": 0.25}}), expected)
    recipe = AugmentRecipe(custom={"darkness": 0.25}, invert=0.5)
    assert describe_chosen(recipe) == ["invert for 50 %", "darkness 25 %"]


def test_ones_own_stand_beside_their_kind():
    register_augmentation(make_entry("moved", "positions"))
    register_augmentation(make_entry("tinted", "colours"))
    custom = {"moved": 1.0, "tinted": 0.5}
    recipe = AugmentRecipe(custom=custom, zoom=(0.1, 0.1), invert=0.5, blur=0.5)
    names = [entry.name for entry, _ in list_chosen(recipe)]
    assert names == ["zoom", "moved", "invert", "tinted", "blur"]
    alone = [entry.name for entry, _ in list_chosen(AugmentRecipe(custom=custom, blur=0.5))]
    assert alone == ["moved", "tinted", "blur"]
    moved = change({"custom": {"moved": 1.0}, "fill": "nearest"})
    assert np.array_equal(moved[:, :, 1:], make_photos()[:, :, :-1])
    assert np.array_equal(change({"custom": {"tinted": 1.0}})[..., 0], np.zeros((6, *SIZE)))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (make_entry("zoom"), "there is an augmentation 'zoom'; choose another name"),
        (make_entry("a b"), "letters, digits and underscores, got 'a b'"),
        (make_entry(key=Key("axes", "", ())), "'darkness' must take one range or fraction"),
        (make_entry(options={"x": Key("fraction", "", 0.0)}), "got 'fraction' and 1 options"),
    ],
)
def test_what_cannot_be_registered(entry: Augmentation, message: str):
    with pytest.raises(ValueError, match=message):
        register_augmentation(entry)


def test_another_one_of_the_same_name_is_refused():
    register_augmentation(make_entry())

    def draw_elsewhere(value: float, draws: Draws, image_size: tuple[int, int]) -> tuple:
        return (np.full(len(draws), value),)

    draw_elsewhere.__module__ = "another_package"
    with pytest.raises(ValueError, match="there is an augmentation 'darkness'"):
        register_augmentation(make_entry(draw=draw_elsewhere))


def announce(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    point = EntryPoint("ours", value, catalogue.ENTRY_POINTS)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [point])


PACKAGED = make_entry("packaged")


def test_installed_packages_are_asked(monkeypatch: pytest.MonkeyPatch):
    announce(monkeypatch, f"{__name__}:PACKAGED")
    assert find_custom("packaged") is PACKAGED


def test_a_package_that_announces_something_else(monkeypatch: pytest.MonkeyPatch):
    announce(monkeypatch, f"{__name__}:SIZE")
    with pytest.raises(ValueError, match=r"entry point .* must be an Augmentation, got tuple"):
        find_custom("packaged")


def test_a_built_in_is_no_custom_one():
    with pytest.raises(
        ValueError, match=r"no augmentation 'zoom' is registered \(there is: none\)"
    ):
        find_custom("zoom")


RECIPE = """
name: own
data: {source: photos}
model: {backbone: efficientnet_lite0}
phases: [{name: head, epochs: 1}]
augment: {custom: {darkness: %s}}
"""


def test_values_of_ones_own_are_checked_by_their_key():
    # Not registered, the value is kept: a run may be read where its augmentation is not.
    assert parse_recipe(RECIPE % 3).augment.custom == {"darkness": 3.0}
    register_augmentation(make_entry())
    with pytest.raises(RecipeError, match=r"custom\.darkness: Input should be less than or equal"):
        parse_recipe(RECIPE % 3)
    AUGMENTATIONS["darkness"] = make_entry(key=Key("range", "", (0.0, 0.0), most=1.0))
    assert parse_recipe(RECIPE % 0.5).augment.custom == {"darkness": (-0.5, 0.5)}
    with pytest.raises(RecipeError, match=r"custom\.darkness: Value error, must stay within ±1"):
        parse_recipe(RECIPE % "[0, 3]")
