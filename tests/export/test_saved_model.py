from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from tests.builders_models import make_classifier
from tfclassify.export.saved_model import Graph, write_saved_model
from tfclassify.inference.views import build_view_model
from tfclassify.recipe.schema import TtaRecipe


def test_the_views_are_inside(tmp_path):
    tta = TtaRecipe(
        flips=["horizontal", "vertical"],
        shift=0.2,
        shift_fill="roll",
        rotations=[90, 180, 270],
        zoom=[0.1],
        combine="product",
    )
    views = build_view_model(make_classifier((10, 10), classes=4), tta)
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), dtype=np.uint8)
    write_saved_model(tmp_path / "model", Graph(views), {"classes": ["é"]})
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    scores = serve(images=tf.constant(images, tf.float32))["probabilities"]
    np.testing.assert_allclose(scores, views(images), atol=1e-6)
    # No trace of the Keras model itself is left, which another Keras could not read.
    assert not (tmp_path / "model" / "keras_metadata.pb").exists()
    settings = tmp_path / "model" / "assets.extra" / "settings.json"
    assert json.loads(settings.read_text(encoding="utf-8")) == {"classes": ["é"]}


def check_portable(model: keras.Model, unwanted: set[str]) -> None:
    """Check that a model's graph holds none of these operations and computes the same."""
    images = np.random.default_rng(0).uniform(0, 255, (2, *model.input_shape[1:])).astype("float32")
    views = build_view_model(model, None)
    graph = Graph(views).function
    frozen = convert_variables_to_constants_v2(graph).graph.as_graph_def()
    found = {node.op for node in frozen.node}
    assert not found & unwanted, found
    answer = graph(images=tf.constant(images))["probabilities"]
    np.testing.assert_allclose(answer, model(images), atol=1e-5, rtol=1e-5)


def randomise(model: keras.Model) -> keras.Model:
    draw = np.random.default_rng(3)
    model.set_weights([draw.normal(0, 0.3, each.shape) for each in model.get_weights()])
    return model


@pytest.mark.parametrize(
    ("groups", "filters", "options"),
    [
        (4, 4, {}),
        (4, 12, {"strides": 2, "activation": "relu"}),
        (4, 8, {"dilation_rate": 2, "padding": "same", "use_bias": False}),
        (2, 6, {"strides": 2, "padding": "same", "activation": "gelu"}),
    ],
)
def test_grouped_convolutions_are_rewritten(groups, filters, options) -> None:
    inputs = keras.Input((9, 9, 3))
    x = keras.layers.Conv2D(4, 1)(inputs)
    x = keras.layers.Conv2D(filters, 3, groups=groups, **options)(x)
    model = randomise(keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x)))
    check_portable(model, {"StatefulPartitionedCall", "PartitionedCall", "Erfc"})


def test_gelu_is_written_with_the_error_function() -> None:
    inputs = keras.Input((5, 5, 3))
    x = keras.layers.Dense(4, activation="gelu")(inputs)
    x = keras.activations.gelu(keras.layers.Activation("gelu")(x))
    model = randomise(keras.Model(inputs, keras.layers.GlobalMaxPooling2D()(x)))
    layers = [layer for layer in model.layers if hasattr(layer, "activation")]
    check_portable(model, {"Erfc"})
    # The model is left as it was.
    assert all(layer.activation is keras.activations.gelu for layer in layers)


@pytest.mark.parametrize("size", [(7, 12), (20, 9)])
def test_antialiased_resizing_is_two_products(size) -> None:
    inputs = keras.Input((13, 11, 3))
    x = keras.ops.image.resize(inputs, size, interpolation="bilinear", antialias=True)
    model = keras.Model(inputs, keras.layers.Flatten()(x / 255))
    check_portable(model, {"ScaleAndTranslate"})
