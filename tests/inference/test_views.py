from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.builders_models import make_classifier
from tfclassify.errors import RequestError
from tfclassify.inference.views import (
    build_view_model,
    list_views,
    shift,
    turn,
    zoom,
    zoom_taps,
)
from tfclassify.model.keras_files import load_keras_file
from tfclassify.recipe.schema import TtaRecipe

#: A picture of 3 rows and 4 columns in which every pixel is another number.
PICTURE = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], dtype=np.uint8)
SQUARE = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=np.uint8)


def as_images(picture: np.ndarray) -> np.ndarray:
    """Return one image ``(1, H, W, 3)`` whose channels hold x, x + 100 and x + 200 mod 256."""
    return np.stack([picture, picture + 100, picture + 200], axis=-1)[None]


def show(view_name: str, picture: np.ndarray, **recipe: object) -> list[list[int]]:
    """Return what a view shows of a picture, after checking its channels agree."""
    views = {view.name: view for view in list_views(TtaRecipe(**recipe), picture.shape)}
    shown = views[view_name].apply(tf.constant(as_images(picture))).numpy()
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(shown, as_images(shown[0, :, :, 0]))
    return shown[0, :, :, 0].tolist()


def test_identity_alone_without_a_recipe():
    (view,) = list_views(None, (3, 4))
    assert view.name == "identity"
    np.testing.assert_array_equal(view.apply(as_images(PICTURE)), as_images(PICTURE))


def test_flips():
    flips = {"flips": ["horizontal", "vertical"]}
    assert show("identity", PICTURE, **flips) == PICTURE.tolist()
    assert show("flip_horizontal", PICTURE, **flips) == [
        [4, 3, 2, 1],
        [8, 7, 6, 5],
        [12, 11, 10, 9],
    ]
    assert show("flip_vertical", PICTURE, **flips) == [[9, 10, 11, 12], [5, 6, 7, 8], [1, 2, 3, 4]]


SHIFTED = {
    # A quarter of the width is one pixel of 4, and 0.75 rounds to one pixel of 3.
    ("up", "roll"): [[5, 6, 7, 8], [9, 10, 11, 12], [1, 2, 3, 4]],
    ("down", "roll"): [[9, 10, 11, 12], [1, 2, 3, 4], [5, 6, 7, 8]],
    ("left", "roll"): [[2, 3, 4, 1], [6, 7, 8, 5], [10, 11, 12, 9]],
    ("right", "roll"): [[4, 1, 2, 3], [8, 5, 6, 7], [12, 9, 10, 11]],
    ("up", "reflect"): [[5, 6, 7, 8], [9, 10, 11, 12], [9, 10, 11, 12]],
    ("down", "reflect"): [[1, 2, 3, 4], [1, 2, 3, 4], [5, 6, 7, 8]],
    ("left", "reflect"): [[2, 3, 4, 4], [6, 7, 8, 8], [10, 11, 12, 12]],
    ("right", "reflect"): [[1, 1, 2, 3], [5, 5, 6, 7], [9, 9, 10, 11]],
}


@pytest.mark.parametrize(("direction", "fill"), SHIFTED)
def test_shifts_by_one_pixel(direction, fill):
    shown = show(f"shift_{direction}", PICTURE, shift=0.25, shift_fill=fill)
    assert shown == SHIFTED[direction, fill]


@pytest.mark.parametrize(
    ("fill", "pixels", "expected"),
    [
        ("roll", -2, [3, 4, 1, 2]),
        ("roll", 2, [3, 4, 1, 2]),
        ("reflect", -2, [3, 4, 4, 3]),
        ("reflect", 2, [2, 1, 1, 2]),
        ("reflect", 3, [3, 2, 1, 1]),
        ("constant", -3, [4, 0, 0, 0]),
        ("constant", 2, [0, 0, 1, 2]),
    ],
)
def test_longer_shifts_of_a_row(fill, pixels, expected):
    row = tf.constant([1, 2, 3, 4], tf.uint8)
    across = shift(tf.reshape(row, (1, 1, 4, 1)), 2, pixels, fill)
    down = shift(tf.reshape(row, (1, 4, 1, 1)), 1, pixels, fill)
    assert across.numpy().ravel().tolist() == down.numpy().ravel().tolist() == expected


def test_a_constant_shift_is_black_in_every_channel():
    views = {v.name: v for v in list_views(TtaRecipe(shift=0.3, shift_fill="constant"), (3, 4))}
    shown = views["shift_down"].apply(tf.constant(as_images(PICTURE))).numpy()
    assert not shown[:, 0].any()
    np.testing.assert_array_equal(shown[:, 1:], as_images(PICTURE)[:, :2])


def test_rotations_are_counter_clockwise():
    turns = {"rotations": [90, 180, 270]}
    assert show("rotate_90", SQUARE, **turns) == [[3, 6, 9], [2, 5, 8], [1, 4, 7]]
    assert show("rotate_180", SQUARE, **turns) == [[9, 8, 7], [6, 5, 4], [3, 2, 1]]
    assert show("rotate_270", SQUARE, **turns) == [[7, 4, 1], [8, 5, 2], [9, 6, 3]]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turns_agree_with_numpy(quarters):
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    expected = np.rot90(images, quarters, axes=(1, 2))
    np.testing.assert_array_equal(turn(tf.constant(images), quarters), expected)


def test_zoom_by_hand():
    # Size 4, factor 1: positions 1.5 + (p - 1.5) * 2 = -1.5, 0.5, 2.5, 4.5 of 10 20 30 40.
    # Mirrored: -1.5 lies between -2 -> 1 and -1 -> 0, 4.5 between 4 -> 3 and 5 -> 2.
    row = tf.reshape(tf.constant([10.0, 20.0, 30.0, 40.0]), (1, 1, 4, 1))
    assert zoom(row, 1.0).numpy().ravel().tolist() == [15.0, 15.0, 35.0, 35.0]
    # Factor -0.5: positions 0.75, 1.25, 1.75, 2.25.
    np.testing.assert_allclose(zoom(row, -0.5).numpy().ravel(), [17.5, 22.5, 27.5, 32.5])


def test_zoom_taps_of_no_zoom_are_the_pixels_themselves():
    low, _, share = zoom_taps(5, 0.0)
    assert low.tolist() == [0, 1, 2, 3, 4]
    assert share.tolist() == [0.0] * 5


@pytest.mark.parametrize("factor", [0.15, 0.5, -0.2])
def test_zoom_agrees_with_keras(factor):
    images = np.random.default_rng(1).uniform(0, 255, (2, 8, 6, 3)).astype(np.float32)
    layer = keras.layers.RandomZoom((factor, factor), fill_mode="reflect", seed=0)
    np.testing.assert_allclose(zoom(images, factor), layer(images, training=True), atol=1e-3)


def names(**recipe: object) -> list[str]:
    return [view.name for view in list_views(TtaRecipe(**recipe), (10, 10))]


def test_order_of_each():
    every = {
        "flips": ["vertical", "horizontal"],
        "shift": 0.1,
        "rotations": [270, 90],
        "zoom": [0.1, -0.2],
    }
    assert names(**every) == [
        "identity",
        "flip_vertical",
        "flip_horizontal",
        "shift_up",
        "shift_down",
        "shift_left",
        "shift_right",
        "rotate_270",
        "rotate_90",
        "zoom_0.1",
        "zoom_-0.2",
    ]


def test_order_of_product():
    assert names(flips=["horizontal"], shift=0.1, combine="product") == [
        "identity",
        "flip_horizontal",
        "shift_up",
        "flip_horizontal+shift_up",
        "shift_down",
        "flip_horizontal+shift_down",
        "shift_left",
        "flip_horizontal+shift_left",
        "shift_right",
        "flip_horizontal+shift_right",
    ]


def test_product_does_the_flip_first():
    shown = show("flip_horizontal+shift_left", PICTURE, flips=["horizontal"], shift=0.25,
                 shift_fill="roll", combine="product")  # fmt: skip
    assert shown == [[3, 2, 1, 4], [7, 6, 5, 8], [11, 10, 9, 12]]


def test_product_of_both_flips_and_all_turns_is_the_eight_symmetries():
    every = names(flips=["horizontal", "vertical"], rotations=[90, 180, 270], combine="product")
    assert every == [
        "identity",
        "flip_horizontal",
        "flip_vertical",
        "flip_both",
        "rotate_90",
        "flip_horizontal+rotate_90",
        "flip_vertical+rotate_90",
        "flip_both+rotate_90",
    ]


def test_a_zoom_of_nothing_is_not_counted_twice():
    assert names(zoom=[0.0, 0.1]) == ["identity", "zoom_0.1"]


def test_rotations_need_square_images():
    with pytest.raises(RequestError, match=r"tta.rotations: needs square images.*\(3, 4\)"):
        list_views(TtaRecipe(rotations=[180]), (3, 4))


@pytest.mark.parametrize(
    ("amount", "size", "message"),
    [
        (0.01, (20, 100), r"the height of 20 pixels by 1 to 19 pixels, got 0.01 = 0 pixels"),
        (0.01, (100, 20), r"the width of 20 pixels .* give 0.050 or more"),
        (0.99, (20, 20), r"got 0.99 = 20 pixels"),
    ],
)
def test_shifts_are_whole_pixels_within_the_image(amount, size, message):
    with pytest.raises(RequestError, match=message):
        list_views(TtaRecipe(shift=amount), size)


EVERYTHING = {
    "flips": ["horizontal", "vertical"],
    "shift": 0.15,
    "rotations": [90],
    "zoom": [0.2],
}


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return make_classifier(image_size=(12, 12), classes=4)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize("combine", ["each", "product"])
@pytest.mark.parametrize("fill", ["roll", "reflect", "constant"])
def test_view_model_is_the_mean_over_views(classifier, images, combine, fill):
    tta = TtaRecipe(**EVERYTHING, combine=combine, shift_fill=fill)
    view_model = build_view_model(classifier, tta)
    floats = images.astype(np.float32)
    one_by_one = [
        [classifier(view.apply(image[None])).numpy()[0] for view in list_views(tta, (12, 12))]
        for image in floats
    ]
    assert view_model.count == len(one_by_one[0]) == (9 if combine == "each" else 28)
    np.testing.assert_allclose(view_model(images), np.mean(one_by_one, axis=1), atol=1e-6)


def test_sum_is_the_mean_times_the_views(classifier, images):
    mean = build_view_model(classifier, TtaRecipe(**EVERYTHING))
    total = build_view_model(classifier, TtaRecipe(**EVERYTHING, average="sum"))
    np.testing.assert_allclose(total(images), mean(images) * 9, rtol=1e-5)
    np.testing.assert_allclose(total.probabilities(images), mean(images), atol=1e-6)
    np.testing.assert_allclose(total.probabilities(images).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("tta", [None, TtaRecipe()])
def test_one_view_is_the_plain_network(classifier, images, tta):
    view_model = build_view_model(classifier, tta)
    assert view_model.names == ("identity",)
    expected = classifier(images.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(view_model(images), expected, atol=1e-6)
    np.testing.assert_allclose(view_model.probabilities(images), expected, atol=1e-6)


def test_batch_size_does_not_change_a_row(classifier, images):
    view_model = build_view_model(classifier, TtaRecipe(**EVERYTHING))
    one_by_one = np.concatenate([view_model(image[None]) for image in images])
    np.testing.assert_allclose(view_model(images), one_by_one, atol=1e-6)
    assert view_model(images[:0]).shape == (0, 4)


def test_images_per_batch(classifier):
    view_model = build_view_model(classifier, TtaRecipe(flips=["horizontal"], shift=0.1))
    assert view_model.count == 6
    assert [view_model.images_per_batch(size) for size in (64, 12, 5)] == [10, 2, 1]


@pytest.mark.parametrize(
    "recipe",
    [
        {"flips": ["horizontal", "vertical"], "rotations": [90, 180, 270], "combine": "product"},
        {"shift": 0.25, "shift_fill": "roll", "flips": ["horizontal"], "combine": "product"},
        {"shift": 0.25, "shift_fill": "reflect", "flips": ["vertical"], "combine": "product"},
        {"shift": 0.4, "shift_fill": "constant"},
    ],
)
def test_what_is_drawn_on_a_view_is_brought_back(recipe):
    picture = tf.random.stateless_uniform((2, 8, 8, 1), (1, 2))
    drawn = tf.concat([picture, tf.ones_like(picture)], axis=-1)
    for view in list_views(TtaRecipe(**recipe), (8, 8)):
        back = view.undo(view.apply(drawn)).numpy()
        is_shown = back[..., 1] == 1
        np.testing.assert_array_equal(back[is_shown, 0], picture.numpy()[is_shown, 0])
        assert not back[~is_shown].any()
        if recipe.get("shift_fill") in ("reflect", "constant") and "shift" in view.name:
            moved = round(8 * recipe["shift"])
            assert is_shown.sum() == 2 * 8 * (8 - moved)
        else:
            assert is_shown.all()


def test_a_zoom_is_brought_back():
    rows, columns = np.mgrid[0:32, 0:32].astype(np.float32)
    slope = tf.constant((rows + 2 * columns)[None, ..., None])  # linear: read without loss
    for factor in (0.25, -0.25):
        view = list_views(TtaRecipe(zoom=[factor]), (32, 32))[1]
        back = view.undo(tf.stack([view.apply(slope)[..., 0], tf.ones((1, 32, 32))], -1)).numpy()
        is_shown = back[0, ..., 1] == 1
        inside = np.zeros((32, 32), bool)
        inside[6:26, 6:26] = True
        np.testing.assert_allclose(back[0, inside, 0], slope.numpy()[0, inside, 0], atol=1e-3)
        # -0.25 shows three quarters of each side, the middle 24 pixels.
        assert is_shown.sum() == (32 * 32 if factor > 0 else 24 * 24)


@pytest.mark.parametrize("batch", [0, 3])
@pytest.mark.parametrize("fill", ["roll", "reflect", "constant"])
def test_a_keras_file_holds_the_views(classifier, images, fill, batch, tmp_path):
    """Saved, and loaded by what loads nothing but layers and operations."""
    tta = TtaRecipe(
        flips=["horizontal", "vertical"],
        shift=0.2,
        shift_fill=fill,
        rotations=[90, 180],
        zoom=[0.15],
        combine="product",
    )
    views = build_view_model(classifier, tta)
    views.build_keras_model(batch).save(tmp_path / "views.keras")
    model = load_keras_file(tmp_path / "views.keras")
    shown = images[:3].astype(np.float32)
    np.testing.assert_allclose(model(shown, training=False), views(shown), atol=1e-6)
    assert model.input_shape[0] == (batch or None)


def test_a_keras_model_of_one_view_is_the_network_itself(classifier, images):
    plain = build_view_model(classifier, None)
    assert plain.build_keras_model(0) is classifier
    fixed = plain.build_keras_model(2)
    assert fixed.input_shape[0] == 2
    np.testing.assert_allclose(fixed(images[:2]), plain(images[:2]), atol=1e-6)


def test_grouped_convolutions_are_asked_as_depthwise_ones(images):
    """ConvNeXt's; what is saved keeps them as they are, for export to rewrite."""
    inputs = keras.Input(images.shape[1:])
    x = keras.layers.Conv2D(6, 3, name="stem")(inputs)
    x = keras.layers.Conv2D(6, 7, padding="same", groups=6)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    views = build_view_model(network, TtaRecipe(flips=["horizontal"]))
    mirrored = network(images[:, :, ::-1], training=False)
    expected = (network(images, training=False) + mirrored) / 2
    np.testing.assert_allclose(views(images), expected, atol=1e-6)
    np.testing.assert_allclose(views.plain_and_mean(images)[:, 1], expected, atol=1e-6)

    def list_kinds(function):
        nodes = function.get_concrete_function().graph.get_operations()
        return {node.type for node in nodes}

    for asked in (views._mean, views._both):
        assert "DepthwiseConv2dNative" in list_kinds(asked)
    assert "DepthwiseConv2dNative" not in list_kinds(views.graph)
