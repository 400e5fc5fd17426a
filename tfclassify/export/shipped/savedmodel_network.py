"""Runs a SavedModel; needs NumPy and TensorFlow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf


class Network:
    """Images (n, H, W, 3) float32 0..255 to probabilities (n, classes) float32."""

    def __init__(self, file: Path, threads: int = 0) -> None:
        """Load the folder; TensorFlow sets its number of threads once for all."""
        self._loaded = tf.saved_model.load(str(file))
        self._network = self._loaded.signatures["serving_default"]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the probabilities of each image."""
        return np.asarray(self._network(images=tf.constant(images))["probabilities"])
