from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfclassify.augmentations.catalogue import list_chosen
from tfclassify.augmentations.randomness import Draws
from tfclassify.pipeline.resampling import warp
from tfclassify.recipe.schema import AugmentRecipe

SIZE = (40, 60)


class FixedDraws(Draws):
    """Gives what a test wrote down instead of hashes; 0.5 where it wrote nothing."""

    def __init__(self, values: dict[str, float]) -> None:
        super().__init__(0, 0, np.zeros(1, np.int64))
        self.values = values

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        return np.array([low + (high - low) * self.values.get(name, 0.5)])


def draw_matrices(augment: dict, draws: Draws) -> np.ndarray:
    """The product of the matrices, as the one resampling takes it."""
    product = np.eye(3)[None]
    for entry, value in list_chosen(AugmentRecipe.model_validate(augment)):
        assert entry.acts_on == "positions"
        product = product @ entry.apply(*entry.draw(value, draws, SIZE), image_size=SIZE)
    return product


def locate(x: float, y: float, augment: dict, values: dict[str, float] = {}) -> list[float]:  # noqa: B006
    """Where the output pixel (x, y) is read in the input."""
    matrices = draw_matrices(augment, FixedDraws(values))
    return (matrices[0] @ [x, y, 1.0])[:2].tolist()


def test_flips_mirror_about_the_middle():
    both = {"flip": ["horizontal", "vertical"]}
    assert locate(0, 0, both, {"flip.horizontal": 0.1, "flip.vertical": 0.9}) == [59.0, 0.0]
    assert locate(0, 0, both, {"flip.horizontal": 0.9, "flip.vertical": 0.1}) == [0.0, 39.0]
    assert locate(10, 4, both, {"flip.horizontal": 0.1, "flip.vertical": 0.1}) == [49.0, 35.0]
    assert locate(0, 0, {"flip": ["vertical"]}, {"flip.horizontal": 0.1, "flip.vertical": 0.9}) == [
        0,
        0,
    ]


def test_rotation_turns_counter_clockwise_about_the_middle():
    # The middle is (29.5, 19.5). After a quarter turn counter-clockwise, what is to the
    # right of it in the output was below it in the input.
    quarter = {"rotate": [0.0, 0.5]}
    assert locate(39.5, 19.5, quarter, {"rotate": 0.5}) == pytest.approx([29.5, 29.5])
    assert locate(29.5, 19.5, quarter, {"rotate": 0.5}) == pytest.approx([29.5, 19.5])


def test_positive_zoom_shows_more():
    # 20 % more: ten pixels right of the middle are read twelve right of it.
    assert locate(39.5, 9.5, {"zoom": [0.0, 0.4]}) == pytest.approx([41.5, 7.5])


def test_shift_moves_down_and_right_by_a_fraction():
    # At a draw of 1 the shift is 0.1: 4 of 40 rows, 6 of 60 columns.
    moved = locate(20, 10, {"shift": [-0.1, 0.1]}, {"shift.y": 1.0, "shift.x": 1.0})
    assert moved == pytest.approx([14.0, 6.0])
    moved = locate(20, 10, {"shift": [-0.1, 0.1]}, {"shift.y": 0.5, "shift.x": 0.0})
    assert moved == pytest.approx([26.0, 10.0])


def test_shear_slides_rows_by_their_distance_from_the_middle():
    sheared = locate(29.5, 29.5, {"shear": [-0.5, 0.5]}, {"shear.x": 1.0, "shear.y": 0.5})
    assert sheared == pytest.approx([34.5, 29.5])


def test_crop_of_a_quarter_in_the_upper_left_corner():
    # Half of each side: the output's pixel edges -0.5 and 59.5 fall on -0.5 and 29.5.
    augment = {"crop": [0.25, 0.25]}
    corner = {"crop.aspect": 0.5, "crop.y": 0.0, "crop.x": 0.0}
    assert locate(-0.5, -0.5, augment, corner) == pytest.approx([-0.5, -0.5])
    assert locate(59.5, 39.5, augment, corner) == pytest.approx([29.5, 19.5])
    far = {"crop.aspect": 0.5, "crop.y": 1.0, "crop.x": 1.0}
    assert locate(-0.5, -0.5, augment, far) == pytest.approx([29.5, 19.5])


def test_crop_keeps_its_area_and_stays_inside():
    augment = {"crop": (0.08, 1.0)}
    matrices = draw_matrices(augment, Draws(0, 0, np.arange(500)))
    area = matrices[:, 0, 0] * matrices[:, 1, 1]
    assert 0.08 <= area.min() < 0.1
    assert 0.97 < area.max() <= 1.0 + 1e-9
    for corner in ([-0.5, -0.5, 1.0], [59.5, 39.5, 1.0]):
        x, y, _ = (matrices @ corner).T
        assert x.min() >= -0.5 - 1e-9
        assert x.max() <= 59.5 + 1e-9
        assert y.min() >= -0.5 - 1e-9
        assert y.max() <= 39.5 + 1e-9
    aspect = matrices[:, 0, 0] / matrices[:, 1, 1]
    assert 0.75 - 1e-9 <= aspect.min() < 0.8
    assert 1.25 < aspect.max() <= 4 / 3 + 1e-9


def test_whole_crop_is_the_image_itself():
    matrices = draw_matrices({"crop": (1.0, 1.0)}, FixedDraws({}))
    np.testing.assert_allclose(matrices[0], np.eye(3), atol=1e-12)


def test_zero_angle_and_zoom_leave_the_matrix_exact():
    augment = {"rotate": (-0.2, 0.2), "zoom": (-0.3, 0.3), "flip": ("horizontal",)}
    matrices = draw_matrices(augment, FixedDraws({"flip.horizontal": 0.7}))
    assert np.array_equal(matrices[0], np.eye(3))


def test_drawn_values_fill_their_range():
    augment = {"rotate": (-0.1, 0.1)}
    matrices = draw_matrices(augment, Draws(0, 0, np.arange(2000)))
    turns = np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]) / (2 * np.pi)
    assert -0.1 <= turns.min() < -0.099
    assert 0.099 < turns.max() <= 0.1
    assert turns.mean() == pytest.approx(0.0, abs=0.005)


def test_all_together_is_the_product_of_its_parts():
    parts = [
        {"crop": [0.5, 0.5]},
        {"flip": ["horizontal"]},
        {"rotate": [0.0, 0.2]},
        {"shear": [0.0, 0.3]},
        {"zoom": [0.0, 0.4]},
        {"shift": [0.0, 0.2]},
    ]
    values = {"flip.horizontal": 0.1, "crop.aspect": 0.3}
    point = (7.0, 31.0)
    whole = locate(*point, {k: v for part in parts for k, v in part.items()}, values)
    # The last to happen to the image is the first to be asked where it read.
    for part in reversed(parts):
        point = locate(*point, part, values)
    assert whole == pytest.approx(point)


def test_an_image_has_its_matrix_in_any_batch():
    augment = {"rotate": (-0.3, 0.3), "zoom": (0.0, 0.2), "crop": (0.4, 1.0)}
    keys = np.arange(37)

    def draw(part: np.ndarray) -> np.ndarray:
        return draw_matrices(augment, Draws(1, 2, part)).astype(np.float32)

    whole = draw(keys)
    for start in (0, 1, 30):
        assert np.array_equal(draw(keys[start : start + 5]), whole[start : start + 5])


@pytest.mark.parametrize(
    ("augment", "values", "layer"),
    [
        ({"rotate": [0.1, 0.2]}, {}, keras.layers.RandomRotation((0.15, 0.15))),
        ({"zoom": [0.1, 0.3]}, {}, keras.layers.RandomZoom((0.2, 0.2))),
        ({"zoom": [-0.3, -0.1]}, {}, keras.layers.RandomZoom((-0.2, -0.2))),
        (
            {"shift": [-0.2, 0.2]},
            {"shift.y": 0.75, "shift.x": 0.75},
            keras.layers.RandomTranslation((0.1, 0.1), (0.1, 0.1)),
        ),
        ({"flip": ["horizontal"]}, {"flip.horizontal": 0.0}, tf.image.flip_left_right),
    ],
    ids=["rotate", "zoom_out", "zoom_in", "shift", "flip"],
)
def test_conventions_are_those_of_keras(augment: dict, values: dict, layer):
    photo = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    matrices = draw_matrices(augment, FixedDraws(values))
    ours = warp(photo[None], matrices)[0].astype(float)
    batch = tf.constant(photo[None], tf.float32)
    theirs = layer(batch) if callable(layer) and not isinstance(layer, keras.Layer) else None
    if theirs is None:
        theirs = layer(batch, training=True)
    difference = np.asarray(theirs)[0] - ours
    # Ours is rounded to whole numbers; theirs has positions in single precision.
    assert np.abs(difference).max() < 0.57
