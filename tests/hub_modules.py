"""Makes small SavedModels in the form of TensorFlow Hub's modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

#: Weight of the kernel's penalty.
PENALTY = 0.25


def make_hub_module(
    folder: Path,
    *,
    size: tuple[int | None, int | None] = (16, 16),
    has_training: bool = True,
    is_map: bool = False,
    is_reusable: bool = True,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Write a module: a 3x3 convolution of step 2, BatchNorm, ReLU, and the mean of the map.

    Args:
        folder: Where to.
        size: ``(height, width)`` that it takes.
        has_training: Whether it has the argument ``training``.
        is_map: Whether it gives the map ``(b, h, w, 4)`` and not its mean ``(b, 4)``.
        is_reusable: Whether it names its variables and its penalty; else TensorFlow's
            loader knows them by the functions only.
        seed: Of its kernel.

    Returns:
        Its variables by name; the statistics are not trainable.
    """
    kernel = np.random.default_rng(seed).normal(0, 0.3, (3, 3, 3, 4)).astype(np.float32)
    values = {
        "kernel": kernel,
        "scale": np.array([1.0, 0.5, 2.0, 1.5], np.float32),
        "mean": np.array([0.1, 0.0, -0.1, 0.2], np.float32),
    }
    held = {
        name: tf.Variable(value, trainable=name != "mean", name=f"net/{name}")
        for name, value in values.items()
    }

    def infer(images: Any, mean: Any) -> Any:
        x = tf.nn.relu((tf.nn.conv2d(images, held["kernel"], 2, "SAME") - mean) * held["scale"])
        return x if is_map else tf.reduce_mean(x, axis=[1, 2])

    def call(inputs: Any, training: bool = False) -> Any:
        if not training:
            return infer(inputs, held["mean"])
        mean = tf.reduce_mean(tf.nn.conv2d(inputs, held["kernel"], 2, "SAME"), axis=[0, 1, 2])
        held["mean"].assign(0.9 * held["mean"] + 0.1 * mean)
        return infer(inputs, mean)

    spec = tf.TensorSpec((None, *size, 3), tf.float32, name="inputs")
    module = tf.__internal__.tracking.AutoTrackable()
    if has_training:
        module.__call__ = tf.function(call)
        for training in (True, False):
            module.__call__.get_concrete_function(spec, training=training)
    else:
        module.__call__ = tf.function(lambda inputs: call(inputs), input_signature=[spec])
    module.held = held
    if is_reusable:
        module.variables = list(held.values())
        module.trainable_variables = [held["kernel"], held["scale"]]
        module.regularization_losses = [
            tf.function(lambda: PENALTY * tf.reduce_sum(held["kernel"] ** 2), input_signature=[])
        ]
    tf.saved_model.save(module, str(folder))
    return values


def apply_module(
    values: dict[str, np.ndarray], images: np.ndarray, mean: np.ndarray | None = None
) -> np.ndarray:
    """Compute the module's vector in NumPy: images ``(b, h, w, 3)`` to ``(b, 4)``."""
    pads = [
        (0, 0),
        *((0, max(0, (-(-side // 2) - 1) * 2 + 3 - side)) for side in images.shape[1:3]),
    ]
    padded = np.pad(images.astype(np.float64), [*pads, (0, 0)])
    rows, columns = (-(-side // 2) for side in images.shape[1:3])
    out = np.zeros((len(images), rows, columns, 4))
    for row in range(rows):
        for column in range(columns):
            patch = padded[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
            out[:, row, column] = np.einsum("bhwc,hwco->bo", patch, values["kernel"])
    shift = values["mean"] if mean is None else mean
    return np.maximum((out - shift) * values["scale"], 0).mean((1, 2))
