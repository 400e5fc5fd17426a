"""ResNet18 and ResNet34: residual networks of basic blocks.

Owns: the architecture (He et al. 2016, arXiv:1512.03385, table 1) with torchvision's
padding, so that its weights give the same numbers. Does not own: the weights
(``torch_weights``); ResNet50 and its like, which are Keras' own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

_STEM_CHANNELS = 64


def build_basic_resnet(
    image_size: tuple[int, int], depths: Sequence[int], name: str
) -> keras.Model:
    """Build the network without its top.

    Args:
        image_size: ``(height, width)`` in pixels.
        depths: Blocks of each stage; each stage but the first halves the feature map and
            doubles its channels.
        name: Name of the model.

    Returns:
        Float32 ``(batch, height, width, 3)``, scaled as torchvision does, to features
        ``(batch, ceil(height / 32), ceil(width / 32), 512)`` for four stages.
    """
    inputs = keras.Input((*image_size, 3), name="scaled_images")
    x = _convolve(inputs, _STEM_CHANNELS, 7, "stem", stride=2)
    x = keras.layers.ReLU(name="stem_relu")(x)
    # Behind a ReLU, padding with zeros is padding that the maximum never sees.
    x = keras.layers.ZeroPadding2D(1, name="stem_pool_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    for stage, depth in enumerate(depths, start=1):
        channels = _STEM_CHANNELS * 2 ** (stage - 1)
        for block in range(1, depth + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            x = _apply_block(x, channels, stride, f"layer{stage}_block{block}")
    return keras.Model(inputs, x, name=name)


def _apply_block(x: Any, channels: int, stride: int, name: str) -> Any:
    """Apply two convolutions of 3x3 and add what came in."""
    shortcut = x
    if stride != 1 or x.shape[-1] != channels:
        shortcut = _convolve(x, channels, 1, f"{name}_downsample", stride)
    x = _convolve(x, channels, 3, f"{name}_1", stride)
    x = keras.layers.ReLU(name=f"{name}_1_relu")(x)
    x = _convolve(x, channels, 3, f"{name}_2")
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _convolve(x: Any, channels: int, kernel: int, name: str, stride: int = 1) -> Any:
    """Apply a convolution, padded alike on all sides, and BatchNorm.

    Keras pads an even image before a step of 2 on the right only; torch on both sides.
    """
    if kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(
        channels,
        kernel,
        stride,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        name=f"{name}_conv",
    )(x)
    return keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=f"{name}_bn")(x)
