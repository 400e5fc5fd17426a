from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from PIL import Image

from tests.builders_models import make_classifier
from tfclassify.data.images import decode_image
from tfclassify.export import codalab_model
from tfclassify.export.codalab_model import FOLDER, fit_images, model, weigh_pixels
from tfclassify.export.saved_model import Graph, write_saved_model
from tfclassify.inference.views import build_view_model
from tfclassify.recipe.schema import TtaRecipe

SIZE = (12, 16)


@pytest.fixture(scope="module")
def views():
    tta = TtaRecipe(flips=["horizontal"], shift=0.1, zoom=[0.2], average="sum")
    return build_view_model(make_classifier(SIZE, classes=5), tta)


@pytest.fixture(scope="module")
def shipped(views, tmp_path_factory) -> model:
    """Return the submission's model with three images a batch."""
    path = tmp_path_factory.mktemp("server")
    described = {
        "classes": list("abcde"),
        "image_size": SIZE,
        "resize": "stretch",
        "images_per_batch": 3,
    }
    write_saved_model(path / FOLDER, Graph(views), described)
    return model(str(path))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (8, *SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def expected(views, images) -> np.ndarray:
    return views(images).numpy()


def dataset_of(images: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(images)


WAYS = {
    "array of uint8": lambda images: images,
    "array of float64": lambda images: images.astype(np.float64),
    "tensor of uint8": tf.constant,
    "tensor of float32": lambda images: tf.constant(images, tf.float32),
    "variable": lambda images: tf.Variable(images),
    "list of images": list,
    "dataset of batches": lambda images: dataset_of(images).batch(5),
    "dataset of float batches": lambda images: dataset_of(images.astype(np.float32)).batch(2),
    "dataset of single images": dataset_of,
    "dataset with labels": lambda images: tf.data.Dataset.zip(
        (dataset_of(images), dataset_of(np.arange(8)))
    ).batch(4),
}


@pytest.mark.parametrize("way", WAYS)
def test_predict_takes_images_in_many_forms(shipped, images, expected, way):
    given_images = WAYS[way](images)
    np.testing.assert_allclose(shipped.predict_scores(given_images), expected, atol=1e-5)
    ids = shipped.predict(given_images)
    assert ids.dtype == tf.int64
    assert np.asarray(ids).tolist() == expected.argmax(axis=1).tolist()


def test_no_images_give_no_ids(shipped, images):
    assert np.asarray(shipped.predict(images[:0])).shape == (0,)
    assert np.asarray(shipped.predict(dataset_of(images[:0]).batch(2))).shape == (0,)


def test_the_network_sees_few_images_at_a_time(shipped, images, monkeypatch):
    seen = []
    network = shipped._network

    def spy(images: tf.Tensor) -> dict[str, tf.Tensor]:
        seen.append(len(images))
        return network(images=images)

    monkeypatch.setattr(shipped, "_network", spy)
    shipped.predict(tf.constant(images))
    shipped.predict(dataset_of(images).batch(8))
    assert seen == [3, 3, 2] * 2


@pytest.mark.parametrize("shape", [(12, 16, 3), (2, 12, 16), (2, 12, 16, 1), (2, 3, 12, 16)])
def test_other_shapes_are_refused(shipped, shape):
    with pytest.raises(ValueError, match=r"shape \(n, height, width, 3\), got"):
        shipped.predict(np.zeros(shape, np.uint8))


def test_images_of_another_size_are_resized_as_the_decoder_does(shipped, views):
    raw = np.random.default_rng(6).integers(0, 256, (4, 20, 23, 3), dtype=np.uint8)
    decoded = np.stack([decode(image, SIZE, "stretch") for image in raw])
    np.testing.assert_allclose(shipped.predict_scores(raw), views(decoded), atol=1e-5)


def decode(pixels: np.ndarray, size: tuple[int, int], resize: str) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return decode_image(stream.getvalue(), size, resize)


sides = st.integers(1, 70)


@settings(max_examples=150, deadline=None)
@given(
    size=st.tuples(sides, sides),
    wanted=st.tuples(sides, sides),
    resize=st.sampled_from(["stretch", "crop", "letterbox"]),
    seed=st.integers(0, 99),
)
def test_resizing_is_the_decoders_bit_for_bit(size, wanted, resize, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    fitted = fit_images(pixels[None].astype(np.float32), wanted, resize)
    np.testing.assert_array_equal(fitted[0], decode(pixels, wanted, resize))


def test_images_of_the_right_size_are_not_touched():
    images = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3))
    assert fit_images(images, (4, 5), "crop") is images


def test_weights_by_hand():
    # Two pixels to one: both count half. One to two: a triangle of radius 1 about 0.25.
    assert (weigh_pixels(2, 1, 0, 2) / 2**22).tolist() == [[0.5, 0.5]]
    assert (weigh_pixels(2, 4, 0, 2) / 2**22).tolist() == [
        [1, 0],
        [0.75, 0.25],
        [0.25, 0.75],
        [0, 1],
    ]


def test_it_imports_nothing_of_the_project():
    source = Path(codalab_model.__file__).read_text(encoding="utf-8")
    imported = [
        line.split()[1] for line in source.splitlines() if line.startswith(("import", "from"))
    ]
    roots = {name.partition(".")[0] for name in imported}
    assert roots - set(sys.stdlib_module_names) == {"numpy", "tensorflow"}


def test_settings_lie_beside_the_network(shipped):
    assert json.dumps(shipped.settings["classes"]) == '["a", "b", "c", "d", "e"]'
