"""Writes a backbone as a SavedModel that is used like a module of TensorFlow Hub.

Owns: the module's interface, which is that of TF2's reusable SavedModels. Does not own:
building the backbone (``building``), using a module (``hub_layer``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfclassify.backbones.catalog import BackboneSpec
from tfclassify.files import build_folder

#: What the written modules take for black and white.
INPUT_RANGE = (0.0, 1.0)


def export_hub_module(
    spec: BackboneSpec, network: keras.Model, image_size: tuple[int, int], folder: Path
) -> int:
    """Write a backbone's pooled features as a SavedModel.

    The SavedModel is called with float32 images ``(b, height, width, 3)`` from 0 to 1
    and gives ``(b, c)``. It takes ``training=``, and has ``variables``,
    ``trainable_variables`` and ``regularization_losses``, so that it can be fine-tuned.

    Args:
        spec: The backbone's facts.
        network: The backbone's own network, as ``build_backbone`` makes it.
        image_size: ``(height, width)`` in pixels, which the module is fixed to.
        folder: Where to; what is there is replaced.

    Returns:
        The number of features, c.
    """
    images = keras.Input((*image_size, 3), name="inputs")
    # The contract starts at 0..255.
    x = keras.layers.Rescaling(255.0, name="from_unit", dtype="float32")(images)
    for layer in spec.contract.as_layers():
        x = layer(x)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(network(x))
    model = keras.Model(images, pooled, name=spec.name)
    with build_folder(folder) as work:
        _save(model, image_size, work)
    return int(pooled.shape[-1])


def _save(model: keras.Model, image_size: tuple[int, int], folder: Path) -> None:
    """Save a model with the attributes by which a module is fine-tuned."""
    spec = tf.TensorSpec((None, *image_size, 3), tf.float32, name="inputs")

    def compute(inputs: Any, training: bool = False) -> Any:
        return model(inputs, training=training)

    call = tf.function(compute)
    call.get_concrete_function(spec, training=True)
    inference = call.get_concrete_function(spec, training=False)
    module = tf.__internal__.tracking.AutoTrackable()
    module.__call__ = call
    module.variables = [variable.value for variable in model.variables]
    module.trainable_variables = [variable.value for variable in model.trainable_variables]
    module.regularization_losses = [
        _make_penalty(variable) for variable in model.trainable_variables if variable.regularizer
    ]
    tf.saved_model.save(module, str(folder), signatures=inference)


def _make_penalty(variable: Any) -> Any:
    """Return a function without arguments of a variable's penalty."""

    def compute() -> Any:
        return variable.regularizer(variable)

    return tf.function(compute, input_signature=[])
