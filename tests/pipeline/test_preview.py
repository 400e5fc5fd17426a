from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from tfclassify.errors import DataError
from tfclassify.pipeline.cache import ImageStore
from tfclassify.pipeline.preview import (
    describe_augmentation,
    draw_preview,
    draw_sheet,
    make_caption,
    make_sheet,
    name_shares,
)
from tfclassify.pipeline.stream import TrainingSet
from tfclassify.recipe.schema import AugmentRecipe

CLASSES = ("rose", "tulip", "a name that is much too long for the width of one small image")
RED, BLUE = (250, 10, 10), (10, 10, 250)


@dataclass(frozen=True)
class Decoding:
    image_size: tuple[int, int] = (40, 60)
    resize: str = "stretch"
    max_pixels: int = 10**6
    cache: str = "memory"


def make_set(colours: tuple[tuple[int, int, int], ...] = (RED, BLUE, RED)) -> TrainingSet:
    count = len(colours)
    pixels = np.zeros((count, 40, 60, 3), np.uint8)
    pixels += np.array(colours, np.uint8).reshape(count, 1, 1, 3)
    return TrainingSet(
        ImageStore([""] * count, Decoding(), "memory", pixels),
        np.arange(count),
        np.eye(3, dtype=np.float32)[np.arange(count) % 3],
        np.ones(count, np.float32),
    )


def count_cells(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def test_originals_and_versions_are_on_the_sheet():
    sheet = draw_preview(make_set(), AugmentRecipe(), CLASSES, versions=2)
    pixels = np.asarray(sheet)
    # 160 wide, so 107 high; three columns of each.
    assert count_cells(pixels, BLUE) == 3 * 160 * 107
    assert count_cells(pixels, RED) == 6 * 160 * 107
    # The originals' column stands apart on the left; the rest is paper.
    assert tuple(pixels[0, 0]) == (255, 255, 255)
    assert (pixels[:, :31] == 255).all()


def test_versions_are_what_training_shows():
    augment = AugmentRecipe.model_validate({"invert": 1.0})
    content = make_sheet(make_set(), augment, CLASSES, versions=2, seed=0, batch_size=2)
    assert content.views.shape == (3, 2, 40, 60, 3)
    assert np.array_equal(content.views[:, 0], 255 - content.originals)
    assert np.array_equal(content.labels[:, 1], content.targets)


def test_soft_labels_take_a_second_line():
    mixed = AugmentRecipe.model_validate({"mix": {"mixup": 1.0, "mixup_alpha": 1.0}})
    plain = draw_preview(make_set(), AugmentRecipe(), CLASSES, versions=3)
    soft = draw_preview(make_set(), mixed, CLASSES, versions=3)
    assert soft.height > plain.height
    assert soft.width == plain.width


def test_long_names_stay_in_their_cell():
    content = make_sheet(make_set(), AugmentRecipe(), CLASSES, versions=1, seed=0, batch_size=3)
    drawn = np.asarray(draw_sheet(content, title="t", note="n" * 500, cell=60))
    assert (drawn[:, -31:] == 255).all()
    # Between the first column's end and the second's start nothing is written below the line.
    assert (drawn[110:, 32 + 60 + 1 : 32 + 60 + 28] == 255).all()


def test_shares_are_named_largest_first():
    assert name_shares(np.array([0.25, 0.75, 0.0]), CLASSES) == [("tulip", 0.75), ("rose", 0.25)]
    assert name_shares(np.array([0.999, 0.001, 0.0]), CLASSES) == [("rose", 0.999)]


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        ({}, "no augmentation"),
        ({"rotate": 0.35}, "rotation ±126°"),
        ({"flip": ["horizontal", "vertical"]}, "horizontal flip, vertical flip"),
        (
            {"mix": {"cutmix": 0.5, "mixup": 0.5}},
            "CutMix for 50 % of images · MixUp for 50 % of images",
        ),
        ({"erasing": {}, "zoom": 0.1}, "zoom ±10 % · erasing for 50 %"),
        ({"engine": "keras_cv", "blur": 0.2}, "blur for 20 %"),
        ({"custom": {"sparkle": 0.2}}, "sparkle 0.2"),
    ],
)
def test_augmentation_is_named_in_the_words_of_a_report(recipe: dict, text: str):
    assert describe_augmentation(AugmentRecipe.model_validate(recipe)) == text


@pytest.mark.parametrize("versions", [0, 1])
def test_nothing_to_show_is_an_error(versions: int):
    colours = (RED,) if versions == 0 else ()
    with pytest.raises(DataError, match=r"at least 1 image and 1 version, got \d and \d"):
        draw_preview(make_set(colours), AugmentRecipe(), CLASSES, versions=versions)


def test_captions_of_several_labels_name_four_lines_and_count_the_rest():
    names = ["ant", "bee", "cat", "dog", "eel", "fox"]
    assert make_caption(np.array([1.0, 0, 1, 1, 1, 0]), names, 4) == [
        ("ant", 1.0),
        ("cat", 1.0),
        ("dog", 1.0),
        ("eel", 1.0),
    ]
    shares = np.array([0.7, 0.7, 0.3, 1.0, 0.3, 0.0])
    assert make_caption(shares, names, 4) == [
        ("dog", 1.0),
        ("ant", 0.7),
        ("bee", 0.7),
        ("and 2 more", 1.0),
    ]
    assert make_caption(np.zeros(6), names, 4) == [("no label", 1.0)]
    # The small shares that one mixed label leaves are not counted.
    assert make_caption(np.array([0.5, 0.3, 0.2]), names[:3], 2) == [("ant", 0.5), ("bee", 0.3)]


def test_a_sheet_of_several_labels_has_room_for_them():
    single = make_set()
    several = replace(single, targets=np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0]], np.float32))
    plain = draw_preview(single, AugmentRecipe(), CLASSES, versions=2)
    drawn = draw_preview(several, AugmentRecipe(), CLASSES, versions=2)
    assert drawn.height > plain.height
    content = make_sheet(several, AugmentRecipe(), CLASSES, versions=1, seed=0, batch_size=3)
    assert np.array_equal(content.labels[:, 0], several.targets)


def test_what_no_phase_does_is_neither_shown_nor_named():
    augment = AugmentRecipe.model_validate({"invert": 1.0, "mix": {"mixup": 1.0}})
    assert describe_augmentation(augment, mix=False) == "invert for 100 %"
    assert describe_augmentation(augment, augmented=False) == "MixUp for 100 % of images"
    options = {"versions": 2, "seed": 0, "batch_size": 8}
    training_set = make_set()
    plain = make_sheet(training_set, augment, CLASSES, augmented=False, mix=False, **options)
    assert np.array_equal(plain.views[:, 1], plain.originals)
    inverted = make_sheet(training_set, augment, CLASSES, mix=False, **options)
    assert np.array_equal(inverted.views[:, 1], 255 - inverted.originals)
    assert np.array_equal(inverted.labels[:, 0], training_set.targets)
