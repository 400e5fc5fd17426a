"""The layers that bring RGB in 0..255 to what a network expects.

Owns: the Keras side of an input contract. Does not own: its numbers (``contracts``).
"""

from __future__ import annotations

from typing import Any

import keras

from tfclassify.backbones.contracts import InputContract


@keras.saving.register_keras_serializable(package="tfclassify")
class ReverseChannels(keras.layers.Layer):
    """Turns RGB into BGR, ``(batch, height, width, 3)`` in and out.

    A gather with constant indices, because every exporter knows it; a reversed
    slice is refused by some.
    """

    def call(self, inputs: Any) -> Any:
        """Return the same values with the last axis turned round."""
        return keras.ops.take(inputs, [2, 1, 0], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input's shape."""
        return input_shape


def make_preprocessing(contract: InputContract) -> list[keras.Layer]:
    """Make the Keras layers, in order, that fulfil a contract.

    Each takes and gives float32 ``(batch, height, width, 3)``. They hold constants only, load
    in safe mode and export to SavedModel and TFLite. The list is empty where the network
    rescales itself.
    """
    if contract.rescales_itself:
        return []
    # float32 whatever the policy: 0..255 must not be rounded before it is scaled.
    layers: list[keras.Layer] = []
    if contract.is_bgr:
        layers.append(ReverseChannels(name="to_bgr", dtype="float32"))
    layers.append(
        keras.layers.Rescaling(
            list(contract.scale), list(contract.offset), name="rescale", dtype="float32"
        )
    )
    return layers
