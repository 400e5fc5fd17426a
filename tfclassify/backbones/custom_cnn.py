"""The convolutional network that a recipe spells out block by block.

Owns: what ``model.layers`` means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfclassify.errors import ModelError
from tfclassify.recipe.schema import LayerRecipe


def build_custom_cnn(
    layers: Sequence[LayerRecipe],
    image_size: tuple[int, int],
    name: str = "custom_cnn",
    *,
    channels: int = 3,
) -> keras.Model:
    """Build the blocks in their order.

    A block is convolution, BatchNorm, activation, padding, max-pooling, dropout, of
    which it has those that the recipe names. ``pool_padding`` pads with zeros on
    every side and then takes whole windows only, so that 64 pixels with ``pool: 2``
    and ``pool_padding: 1`` become 33; behind a ReLU that equals a padding that the
    maximum never sees.

    Args:
        layers: The blocks.
        image_size: ``(height, width)`` in pixels.
        name: Name of the model.
        channels: Of the images.

    Returns:
        Float32 ``(batch, height, width, channels)`` in 0..1 to a feature map.

    Raises:
        ModelError: If there are no blocks, or one of them leaves no pixels.
    """
    if not layers:
        raise ModelError(
            "model.layers: custom_cnn needs at least one block, got none; "
            "for example layers: [{conv: 32, batch_norm: true, pool: 2}]"
        )
    inputs = keras.Input((*image_size, channels), name="scaled_images")
    x = inputs
    for number, recipe in enumerate(layers, start=1):
        size = tuple(x.shape[1:3])
        try:
            x = _apply_block(x, recipe, f"block{number}")
        except ValueError as error:
            raise ModelError(_explain(number, size, error)) from error
        if 0 in x.shape[1:3]:
            raise ModelError(_explain(number, size, None))
    return keras.Model(inputs, x, name=name)


def _explain(number: int, size: tuple[int, ...], error: ValueError | None) -> str:
    """Say which block does not fit its input."""
    reason = f": {error}" if error else ""
    return (
        f"model.layers[{number - 1}]: the block does not fit its input of {size[0]}x{size[1]} "
        f"pixels{reason}; use fewer or smaller pools, or a larger data.image_size"
    )


def _apply_block(x: Any, recipe: LayerRecipe, name: str) -> Any:
    """Apply one block to a feature map."""
    if recipe.conv is not None:
        x = _apply_convolution(x, recipe, name)
    if recipe.pool is not None:
        padding = recipe.padding
        if recipe.pool_padding:
            x = keras.layers.ZeroPadding2D(recipe.pool_padding, name=f"{name}_pool_pad")(x)
            padding = "valid"
        x = keras.layers.MaxPooling2D(
            recipe.pool, recipe.pool_stride, padding=padding, name=f"{name}_pool"
        )(x)
    if recipe.dropout:
        x = keras.layers.Dropout(recipe.dropout, name=f"{name}_dropout")(x)
    return x


def _apply_convolution(x: Any, recipe: LayerRecipe, name: str) -> Any:
    """Apply the convolution of a block and what follows it directly."""
    stride = recipe.stride
    if recipe.kernel == 1 and stride > 1:
        # TensorFlow 2.21's gradient of a strided 1x1 convolution writes beyond its memory
        # where there are fewer than 16 channels; taking every n-th pixel first is the same.
        x = keras.layers.MaxPooling2D(1, stride, name=f"{name}_stride")(x)
        stride = 1
    x = keras.layers.Conv2D(
        recipe.conv,
        recipe.kernel,
        stride,
        padding=recipe.padding,
        name=f"{name}_conv",
    )(x)
    if recipe.batch_norm:
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    if recipe.activation is not None:
        x = keras.layers.Activation(recipe.activation, name=f"{name}_activation")(x)
    return x
