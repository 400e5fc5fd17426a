"""Depthwise convolutions by the kernels that a processor is quick at.

Owns: which convolutions are depthwise, and computing them and the gradients of their kernels
otherwise than TensorFlow would. Does not own: letting layers do other work (``folding``).

Two things are slow on a processor, and the same sums can be had otherwise:

* A ``Conv2D`` of one group a channel, as ConvNeXt's are, is compiled apart from everything
  else. As a depthwise convolution it takes a hundredth of the time.
* The gradient of a depthwise kernel wider than three taps takes several times as long as
  that of one of three: oneDNN has a quick way up to that width only. So it is taken in
  strips of three columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfclassify.model.freezing import list_leaves

#: Widest kernel whose gradient oneDNN is quick at.
_STRIP = 3


def is_depthwise(layer: Any) -> bool:
    """Say whether a layer is a depthwise convolution that can be computed here.

    It is none where there is a GPU, whose kernels are quick at both, and none that is
    dilated, of unequal strides, or of channels first.
    """
    if type(layer) not in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D):
        return False
    is_plain = (
        layer.data_format == "channels_last"
        and set(layer.dilation_rate) == {1}
        and len(set(layer.strides)) == 1
        and not getattr(layer, "lora_enabled", False)
        and layer.quantization_mode is None
    )
    if not is_plain or tf.config.list_logical_devices("GPU"):
        return False
    one_each = isinstance(layer, keras.layers.DepthwiseConv2D) or (
        layer.groups == layer.filters > 1 and layer.kernel.shape[2] == 1
    )
    return bool(one_each)


def find_calls(
    model: keras.Model, *, is_differentiated: bool = True
) -> dict[keras.Layer, Callable[..., Any]]:
    """Return what the depthwise convolutions of a model do that are quicker than they are.

    Args:
        model: The network.
        is_differentiated: Whether gradients are wanted; else only grouped ones are slow.
    """
    return {
        leaf: _make_call(leaf, is_differentiated)
        for leaf in list_leaves(model)
        if _is_slow(leaf, is_differentiated)
    }


def _is_slow(layer: Any, is_differentiated: bool) -> bool:
    return is_depthwise(layer) and (
        isinstance(layer, keras.layers.Conv2D)
        or (is_differentiated and layer.kernel.shape[1] > _STRIP)
    )


def _make_call(layer: Any, is_differentiated: bool) -> Callable[..., Any]:
    def call(inputs: Any) -> Any:
        kernel = tf.cast(layer.kernel._value, inputs.dtype)
        outputs = convolve(layer, inputs, kernel, is_differentiated=is_differentiated)
        if layer.use_bias:
            outputs = tf.nn.bias_add(outputs, tf.cast(layer.bias._value, outputs.dtype))
        return outputs if layer.activation is None else layer.activation(outputs)

    return call


def convolve(layer: Any, inputs: Any, kernel: Any, *, is_differentiated: bool = True) -> Any:
    """Compute what a depthwise convolution does with another kernel of the same shape.

    Args:
        layer: ``is_depthwise``.
        inputs: ``(b, h, w, channels)``.
        kernel: ``(h, w, channels, multiplier)``, or ``(h, w, 1, channels)`` of a ``Conv2D``.
        is_differentiated: Whether gradients are wanted.
    """
    if isinstance(layer, keras.layers.Conv2D):
        kernel = tf.transpose(kernel, (0, 1, 3, 2))
    strides, padding = (1, *layer.strides, 1), layer.padding.upper()
    if not is_differentiated or kernel.shape[1] <= _STRIP or None in inputs.shape[1:3]:
        return tf.nn.depthwise_conv2d(inputs, kernel, strides, padding)

    @tf.custom_gradient
    def compute(inputs: Any, kernel: Any) -> tuple[Any, Any]:
        outputs = tf.nn.depthwise_conv2d(inputs, kernel, strides, padding)

        def differentiate(upstream: Any) -> tuple[Any, Any]:
            back = tf.nn.depthwise_conv2d_backprop_input(
                tf.shape(inputs), kernel, upstream, strides, padding
            )
            return back, find_kernel_gradient(inputs, upstream, kernel.shape, strides[1], padding)

        return outputs, differentiate

    return compute(inputs, kernel)


def find_kernel_gradient(
    inputs: Any, upstream: Any, shape: tuple[int, ...], stride: int, padding: str
) -> Any:
    """Return the gradient of a depthwise kernel, computed in strips of three columns.

    Args:
        inputs: ``(b, h, w, channels)``, of known height and width.
        upstream: Gradient of the outputs.
        shape: Of the kernel: ``(rows, columns, channels, multiplier)``.
        stride: Along both axes.
        padding: ``SAME`` or ``VALID``.
    """
    rows, columns, *rest = shape
    spans, before = [], []
    for side, taps, positions in zip(
        inputs.shape[1:3], (rows, columns), upstream.shape[1:3], strict=True
    ):
        spans.append((positions - 1) * stride)
        missing = max(0, spans[-1] + taps - side) if padding == "SAME" else 0
        before.append(missing // 2)
    strips, done = [], 0
    while done < columns:
        first = min(done, columns - _STRIP)  # the last strip may overlap the one before
        own = _cut(inputs, (-before[0], spans[0] + rows), (first - before[1], spans[1] + _STRIP))
        strip = tf.nn.depthwise_conv2d_backprop_filter(
            own, (rows, _STRIP, *rest), upstream, (1, stride, stride, 1), "VALID"
        )
        strips.append(strip[:, done - first :])
        done = first + _STRIP
    return tf.concat(strips, axis=1)


def _cut(images: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """Cut a window, given by its first place and its length, zeros where there is no image."""
    edges = [(0, 0)]
    slices = [slice(None)]
    for (first, length), side in zip((rows, columns), images.shape[1:3], strict=True):
        last = first + length
        slices.append(slice(max(first, 0), min(last, side)))
        edges.append((max(-first, 0), max(last - side, 0)))
    return tf.pad(images[tuple(slices)], [*edges, (0, 0)])
