from __future__ import annotations

import numpy as np
import pytest

from tfclassify.pipeline.erasing import ERASED, draw_stage, erase
from tfclassify.pipeline.randomness import Draws
from tfclassify.recipe.schema import ErasingRecipe

SIZE = (40, 60)


def draw_boxes(**recipe: object) -> np.ndarray:
    stage = draw_stage(ErasingRecipe.model_validate(recipe), Draws(0, 0, np.arange(2000)), SIZE)
    return stage.parameters[0].numpy()


def test_erase_blanks_the_box_and_nothing_else():
    image = np.zeros((5, 6, 3), np.uint8)
    erased = erase(image, np.array([1, 3, 2, 6], np.int32))
    assert (erased == ERASED).sum() == 2 * 4 * 3
    assert (erased[1:3, 2:6] == ERASED).all()
    assert image.max() == 0


def test_no_box_leaves_the_image():
    image = np.zeros((5, 6, 3), np.uint8)
    assert erase(image, np.array([0, 0, 0, 0], np.int32)) is image


def test_boxes_lie_inside_and_reach_every_border():
    top, bottom, left, right = draw_boxes(chance=1.0).T
    assert (top.min(), left.min()) == (0, 0)
    assert (bottom.max(), right.max()) == SIZE
    assert (bottom > top).all()
    assert (right > left).all()


def test_areas_fill_their_range():
    top, bottom, left, right = draw_boxes(chance=1.0, area=(0.1, 0.3)).T
    area = (bottom - top) * (right - left) / (SIZE[0] * SIZE[1])
    # Sides are whole pixels.
    assert area.min() == pytest.approx(0.1, abs=0.015)
    assert area.max() == pytest.approx(0.3, abs=0.015)
    assert area.mean() == pytest.approx(0.2, abs=0.01)


def test_chance_is_kept():
    boxes = draw_boxes(chance=0.3)
    assert (boxes[:, 1] > 0).mean() == pytest.approx(0.3, abs=0.03)


def test_the_whole_image_can_go():
    assert draw_boxes(chance=1.0, area=(1.0, 1.0))[0].tolist() == [0, 40, 0, 60]


def test_no_area_is_no_box():
    top, bottom, left, right = draw_boxes(chance=1.0, area=(0.0, 0.0)).T
    assert ((bottom - top) * (right - left)).max() == 0
