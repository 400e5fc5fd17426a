"""EfficientNet-Lite: EfficientNet without what small devices do badly.

Owns: the architecture (Google's ``efficientnet-lite``, 2020). Against EfficientNet:
no squeeze-and-excitation, ReLU6 for swish, and stem, head, first and last stage of
fixed size. Does not own: its weights (``torch_weights``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras

_STEM_CHANNELS = 32
_TOP_CHANNELS = 1280
# repeats, kernel, stride, expansion, output channels of EfficientNet-B0's stages
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class LiteBlock:
    """One inverted residual block.

    Attributes:
        name: ``block1a`` is the first block of the first stage.
        kernel: Side of the depthwise kernel in taps.
        stride: Stride of the depthwise convolution.
        expansion: Factor by which the first convolution widens its input.
        input_channels: Channels that come in.
        output_channels: Channels that go out.
    """

    name: str
    kernel: int
    stride: int
    expansion: int
    input_channels: int
    output_channels: int


def plan_blocks(width: float, depth: float) -> list[LiteBlock]:
    """List the blocks of the network with these multipliers, from input to output."""
    blocks = []
    channels = _STEM_CHANNELS
    for number, (repeats, kernel, stride, expansion, outputs) in enumerate(_STAGES, start=1):
        is_fixed = number in (1, len(_STAGES))
        count = repeats if is_fixed else math.ceil(depth * repeats)
        scaled = _round_channels(outputs * width)
        for repeat in range(count):
            name = f"block{number}{chr(ord('a') + repeat)}"
            step = stride if repeat == 0 else 1
            blocks.append(LiteBlock(name, kernel, step, expansion, channels, scaled))
            channels = scaled
    return blocks


def _round_channels(channels: float) -> int:
    """Round to a multiple of 8 that is at least nine tenths of the wish."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def build_lite(image_size: tuple[int, int], width: float, depth: float, name: str) -> keras.Model:
    """Build the network without its top.

    Args:
        image_size: ``(height, width)`` in pixels.
        width: Factor of the channels.
        depth: Factor of the blocks in a stage.
        name: Name of the model.

    Returns:
        Float32 ``(batch, height, width, 3)``, scaled as ``(value - 127) / 128``, to
        features ``(batch, ceil(height / 32), ceil(width / 32), 1280)``.
    """
    inputs = keras.Input((*image_size, 3), name="scaled_images")
    x = _convolve(inputs, _STEM_CHANNELS, 3, "stem", stride=2)
    for block in plan_blocks(width, depth):
        x = _apply_block(x, block)
    x = _convolve(x, _TOP_CHANNELS, 1, "top")
    return keras.Model(inputs, x, name=name)


def _apply_block(x: Any, block: LiteBlock) -> Any:
    """Widen, filter each channel, narrow; add the input where the shapes agree."""
    shortcut = x
    if block.expansion != 1:
        x = _convolve(x, block.input_channels * block.expansion, 1, f"{block.name}_expand")
    x = keras.layers.DepthwiseConv2D(
        block.kernel,
        block.stride,
        padding="same",
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{block.name}_depthwise_conv",
    )(x)
    x = _normalise(x, f"{block.name}_depthwise")
    x = _convolve(x, block.output_channels, 1, f"{block.name}_project", is_activated=False)
    if block.stride == 1 and block.input_channels == block.output_channels:
        x = keras.layers.Add(name=f"{block.name}_add")([shortcut, x])
    return x


def _convolve(
    x: Any, channels: int, kernel: int, name: str, stride: int = 1, is_activated: bool = True
) -> Any:
    """Apply convolution, BatchNorm and, where asked, ReLU6."""
    x = keras.layers.Conv2D(
        channels,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        kernel_initializer=_initializer(),
        name=f"{name}_conv",
    )(x)
    return _normalise(x, name, is_activated)


def _normalise(x: Any, name: str, is_activated: bool = True) -> Any:
    """Apply BatchNorm and, where asked, ReLU6."""
    x = keras.layers.BatchNormalization(epsilon=1e-3, momentum=0.99, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if is_activated else x


def _initializer() -> keras.Initializer:
    """Make EfficientNet's initialiser for convolutions."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "truncated_normal")
