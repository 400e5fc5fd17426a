"""A network that needs what a runtime lacks is refused, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

from tfclassify.errors import ExportError
from tfclassify.export.formats import ARTEFACT_FORMATS, Draft
from tfclassify.inference.views import build_view_model


class LogGamma(keras.Layer):
    """An operation that ONNX does not know."""

    def call(self, x: Any) -> Any:
        return tf.math.lgamma(x)


class Determinant(keras.Layer):
    """An operation that LiteRT does not know."""

    def call(self, x: Any) -> Any:
        return x * tf.linalg.det(tf.linalg.diag(x))[:, None]


@pytest.mark.parametrize(
    ("name", "layer", "message"),
    [
        ("litert", Determinant, "LiteRT's converter refuses the network: .* savedmodel or onnx"),
        ("onnx", LogGamma, "the network needs Lgamma, which ONNX does not have; nothing was wri"),
    ],
)
def test_an_operator_that_a_runtime_lacks_is_refused(name, layer, message, tmp_path: Path) -> None:
    images = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    network = keras.Model(images, keras.layers.Softmax()(layer()(pooled)))
    form = ARTEFACT_FORMATS[name]
    draft = Draft(build_view_model(network, None), {}, batch=1)
    with pytest.raises(ExportError, match=f"{form.file}: {message}"):
        form.write(tmp_path / form.file, draft)
    assert not list(tmp_path.iterdir())
