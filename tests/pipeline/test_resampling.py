from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from tfclassify.pipeline import resampling

FILLS = ("reflect", "constant", "nearest", "wrap")


def warp(
    image: np.ndarray, matrix: np.ndarray, fill: str = "reflect", interpolation: str = "bilinear"
) -> np.ndarray:
    return resampling.warp(image[None], matrix[None], fill, interpolation)[0]


def affine(a: float, b: float, x: float, c: float, d: float, y: float) -> np.ndarray:
    return np.array([[a, b, x], [c, d, y], [0.0, 0.0, 1.0]])


def grey(values: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(values, np.uint8)[:, :, None], 3, axis=2)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)


def turn(angle: float, zoom: float = 1.0, height: int = 17, width: int = 23) -> np.ndarray:
    x, y = (width - 1) / 2, (height - 1) / 2
    cosine, sine = zoom * np.cos(angle), zoom * np.sin(angle)
    return affine(cosine, -sine, x - cosine * x + sine * y, sine, cosine, y - sine * x - cosine * y)


def warp_in_scipy(image: np.ndarray, matrix: np.ndarray, fill: str, order: int) -> np.ndarray:
    modes = {
        "reflect": "reflect",
        "constant": "grid-constant",
        "nearest": "nearest",
        "wrap": "grid-wrap",
    }
    # SciPy's axes are (y, x).
    linear, offset = matrix[:2, :2][::-1, ::-1], matrix[:2, 2][::-1]
    channels = [
        ndimage.affine_transform(
            image[..., channel].astype(float), linear, offset, order=order, mode=modes[fill]
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_identity_is_bit_exact(photo: np.ndarray, fill: str, interpolation: str):
    assert np.array_equal(warp(photo, np.eye(3), fill, interpolation), photo)


@pytest.mark.parametrize(
    ("matrix", "rows", "columns"),
    [
        (affine(-1, 0, 22, 0, 1, 0), 1, -1),
        (affine(1, 0, 0, 0, -1, 16), -1, 1),
        (affine(-1, 0, 22, 0, -1, 16), -1, -1),
    ],
)
def test_flips_are_exact(photo: np.ndarray, matrix: np.ndarray, rows: int, columns: int):
    assert np.array_equal(warp(photo, matrix, "reflect", "bilinear"), photo[::rows, ::columns])


def test_quarter_turn_is_exact(photo: np.ndarray):
    square = photo[:, :17]
    # Counter-clockwise, as NumPy turns.
    turned = warp(square, turn(np.pi / 2, height=17, width=17), "reflect", "nearest")
    assert np.array_equal(turned, np.rot90(square))


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        # Two pixels to the right: what comes in from the left is worked out by hand.
        ("reflect", [[20, 10, 10, 20]]),
        ("constant", [[0, 0, 10, 20]]),
        ("nearest", [[10, 10, 10, 20]]),
        ("wrap", [[30, 40, 10, 20]]),
    ],
)
def test_fill_beyond_the_border(fill: str, expected: list[list[int]]):
    shifted = warp(grey([[10, 20, 30, 40]]), affine(1, 0, -2, 0, 1, 0), fill, "bilinear")
    assert np.array_equal(shifted, grey(expected))


def test_reflection_goes_on_beyond_a_whole_image():
    image = grey([[1, 2, 3]])
    shifted = warp(image, affine(1, 0, -7, 0, 1, 0), "reflect", "bilinear")
    # ... 1 2 3 3 2 1 | 1 2 3: the period is 6, and 7 to the left starts at 2 1 1.
    assert np.array_equal(shifted, grey([[1, 1, 2]]))


def test_bilinear_weighs_by_distance():
    image = grey([[0, 100], [40, 200]])
    # A quarter pixel right and half a pixel down of (0, 0):
    # 0.5 * (0.75 * 0 + 0.25 * 100) + 0.5 * (0.75 * 40 + 0.25 * 200) = 12.5 + 40 = 52.5.
    moved = warp(image, affine(1, 0, 0.25, 0, 1, 0.5), "nearest", "bilinear")
    assert moved[0, 0, 0] == 53


def test_constant_blends_with_black_at_the_border():
    image = grey([[100, 100, 100]])
    moved = warp(image, affine(1, 0, -0.5, 0, 1, 0), "constant", "bilinear")
    assert moved[0, :, 0].tolist() == [50, 100, 100]


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize(
    "matrix",
    [turn(0.3), turn(2.1, 1.15), turn(-1.0, 0.6), turn(0.2, 5.0), affine(1, 0.2, 3.3, -0.1, 1, 9)],
    ids=["turn", "zoom_out", "zoom_in", "far_out", "shear"],
)
def test_bilinear_agrees_with_scipy(photo: np.ndarray, matrix: np.ndarray, fill: str):
    ours = warp(photo, matrix, fill, "bilinear").astype(float)
    difference = warp_in_scipy(photo, matrix, fill, order=1) - ours
    # Rounded to whole numbers, from positions rounded to 2**-13 of a pixel.
    assert np.abs(difference).max() < 0.57
    assert difference.mean() == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("fill", FILLS)
def test_nearest_agrees_with_scipy(photo: np.ndarray, fill: str):
    matrix = turn(0.37, 1.3)
    ours = warp(photo, matrix, fill, "nearest")
    theirs = warp_in_scipy(photo, matrix, fill, order=0)
    # A position half way between pixels may fall to either side.
    assert np.mean(np.any(ours != theirs, axis=2)) < 0.01


def test_reflection_agrees_with_tensorflow(photo: np.ndarray):
    matrix = turn(2.1, 1.15)
    warped = tf.raw_ops.ImageProjectiveTransformV3(
        images=photo[None].astype(np.float32),
        transforms=matrix.reshape(1, 9)[:, :8].astype(np.float32),
        output_shape=photo.shape[:2],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    difference = warped.numpy()[0] - warp(photo, matrix, "reflect", "bilinear")
    # TensorFlow computes positions in single precision.
    assert np.abs(difference).max() < 0.57


def test_nothing_is_darkened():
    # Cutting off instead of rounding would take half a level from every image.
    images = np.random.default_rng(1).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    images = np.asarray([ndimage.gaussian_filter(image, (2, 2, 0)) for image in images])
    matrices = np.stack([turn(angle, 1.0, 64, 64) for angle in (0.1, 0.7, 2.0, 4.0)])
    warped = resampling.warp(images, matrices, "wrap")
    expected = [warp_in_scipy(*pair, "wrap", 1) for pair in zip(images, matrices, strict=True)]
    assert warped.mean() == pytest.approx(np.mean(expected), abs=0.02)


def test_each_image_has_its_own_matrix(photo: np.ndarray):
    matrices = np.stack([np.eye(3), turn(0.3), affine(-1, 0, 22, 0, 1, 0)])
    whole = resampling.warp(np.stack([photo] * 3), matrices)
    for number, matrix in enumerate(matrices):
        assert np.array_equal(whole[number], warp(photo, matrix))


def test_parts_fit_together(photo: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    whole = warp(photo, turn(0.7, 1.2))
    monkeypatch.setattr(resampling, "CHUNK", 23 * 5)
    assert np.array_equal(warp(photo, turn(0.7, 1.2)), whole)


def test_absurdly_far_out_takes_no_memory():
    image = np.full((64, 64, 3), 9, np.uint8)
    assert (warp(image, affine(1, 900, 5, 900, 1, 5), "reflect", "bilinear") == 9).all()


@pytest.mark.parametrize("fill", ["reflect", "nearest", "wrap"])
def test_a_plain_image_stays_plain(fill: str):
    image = np.full((12, 12, 3), (3, 128, 255), np.uint8)
    assert np.array_equal(warp(image, turn(0.4, 1.7, 12, 12), fill, "bilinear"), image)


def test_the_input_is_left_alone(photo: np.ndarray):
    before = photo.copy()
    warp(photo, turn(0.3), "reflect", "bilinear")
    assert np.array_equal(photo, before)
