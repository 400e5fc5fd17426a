"""Runs a .keras file; needs NumPy and Keras 3 with TensorFlow."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np

if find_spec("keras_hub"):
    import keras_hub  # noqa: F401 - networks may be made of its layers


class ReverseChannels(keras.layers.Layer):
    """Turns RGB into BGR, which some networks were trained on."""

    def call(self, inputs):  # type: ignore[no-untyped-def]
        """Return the same values with the last axis turned round."""
        return keras.ops.take(inputs, [2, 1, 0], axis=-1)


class Network:
    """Images (n, H, W, 3) float32 0..255 to probabilities (n, classes) float32."""

    def __init__(self, file: Path, threads: int = 0) -> None:
        """Load the file; TensorFlow sets its number of threads once for all."""
        own = {"tfclassify>ReverseChannels": ReverseChannels}
        self._model = keras.models.load_model(file, custom_objects=own, compile=False)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of each image."""
        return np.asarray(self._model(images, training=False))
