"""Training for 8 bits: a network that runs as rounded as its int8 artefact will.

Owns: which numbers are rounded, their ranges, running a network so. Does not own: when a
phase does it (``phases``), writing 8-bit files (``export``).

Kernels of convolutions and dense layers are rounded by a step for each output channel, as
they are once the BatchNorm behind them is folded in; what a layer gives is rounded by one
range a tensor. Both are the rules of the exporters. A range is the extremes over the images
that an export takes them from, measured anew before each epoch and each validation, so that
it follows from the weights and nothing of it has to be saved. Gradients pass the rounding as
if it were not there, and stop where a value lies beyond its range.

Reference:
    Jacob et al. 2017, arXiv:1712.05877, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.backbones.hub_layer import HubFeatures
from tfclassify.errors import TrainingError
from tfclassify.model.folding import (
    Call,
    FoldedPair,
    find_pairs,
    make_call,
    pass_on,
    read_kernel,
    replaced,
)
from tfclassify.model.freezing import list_leaves
from tfclassify.pipeline.cache import ImageStore

#: Images that ranges of activations are taken from.
CALIBRATION = 128
_BATCH = 32
#: Layers that only move numbers, or do nothing in inference: their inputs are rounded already.
_MOVING = (
    keras.layers.InputLayer,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.ZeroPadding2D,
    keras.layers.Softmax,
)
_KERNELS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)


def choose_calibration(images: int) -> np.ndarray:
    """Choose rows of a training split to take ranges from: up to 128, spread over all of it.

    >>> choose_calibration(3)
    array([0, 1, 2])
    """
    return np.unique(np.linspace(0, images - 1, CALIBRATION).astype(int))


class Quantiser:
    """Runs a network with weights and activations rounded to 8 bits.

    Args:
        network: The network; its BatchNorms must run in inference mode.
        images: The training split's.
        where: The phase, for messages.

    Raises:
        TrainingError: If a part of the network cannot be looked into.
    """

    def __init__(self, network: keras.Model, images: ImageStore, where: str) -> None:
        layers = list({id(layer): layer for layer in list_leaves(network)}.values())
        if any(isinstance(layer, HubFeatures) for layer in layers):
            raise TrainingError(
                f"{where}.quantise: the network runs a hub module, which is one piece whose "
                "activations cannot be rounded; choose another backbone, or export with "
                "--precision int8 as it is"
            )
        self._network, self._images = network, images
        self._pairs = find_pairs(network)
        norms = {id(pair.norm) for pair in self._pairs}
        paired = {id(pair.convolution) for pair in self._pairs}
        self._alone = [
            layer for layer in layers if type(layer) in _KERNELS and id(layer) not in paired
        ]
        self._rounded = [
            layer
            for layer in layers
            if id(layer) not in paired
            and not isinstance(layer, _MOVING)
            and not ((id(layer) in norms or type(layer) in _KERNELS) and _feeds_relu(layer))
        ]
        # Known to no model, so that it is neither trained nor saved.
        self._ranges = tf.Variable(tf.zeros((len(self._rounded), 2)), trainable=False)
        self._look = tf.function(self._find_extremes, autograph=False)

    def measure(self) -> None:
        """Measure the range of each activation anew, with the weights as they are."""
        rows = choose_calibration(len(self._images))
        found = [
            self._look(tf.cast(self._images.read(rows[start : start + _BATCH]), tf.float32))
            for start in range(0, len(rows), _BATCH)
        ]
        extremes = tf.stack(found)
        low = tf.minimum(tf.reduce_min(extremes[..., 0], axis=0), 0.0)
        high = tf.maximum(tf.reduce_max(extremes[..., 1], axis=0), low + 1e-6)
        self._ranges.assign(tf.stack([low, tf.maximum(high, 1e-6)], axis=1))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Round in whatever is called or traced within the block.

        The kernels are rounded at its start, so a tape must be watching by then.
        """
        calls: dict[keras.Layer, Call] = {}
        for pair in self._pairs:
            kernel, bias = pair.compute_kernel_and_bias()
            calls[pair.convolution] = make_call(pair.convolution, _round_kernel(pair, kernel), bias)
            calls[pair.norm] = pass_on
        for layer in self._alone:
            calls[layer] = _make_rounded_call(layer)
        for place, layer in enumerate(self._rounded):
            calls[layer] = self._round_output(calls.get(layer, layer.call), place)
        with replaced(calls):
            yield

    def _round_output(self, call: Call, place: int) -> Call:
        def rounded(*given: Any, **named: Any) -> Any:
            output = call(*given, **named)
            low, high = self._ranges[place, 0], self._ranges[place, 1]
            return tf.quantization.fake_quant_with_min_max_vars(output, low, high)

        return rounded

    def _find_extremes(self, images: Any) -> Any:
        """Return the least and largest of each activation that is rounded, ``(layers, 2)``."""
        found: dict[int, Any] = {}

        def note(call: Call, place: int) -> Call:
            def noted(*given: Any, **named: Any) -> Any:
                output = call(*given, **named)
                seen = tf.stack([tf.reduce_min(output), tf.reduce_max(output)])
                if place in found:  # a layer that is called twice
                    both = tf.stack([found[place], seen])
                    ends = tf.reduce_min(both[:, 0]), tf.reduce_max(both[:, 1])
                    seen = tf.stack(ends)
                found[place] = seen
                return output

            return noted

        calls = {layer: note(layer.call, place) for place, layer in enumerate(self._rounded)}
        with replaced(calls):
            self._network(images, training=False)
        return tf.stack([found[place] for place in range(len(self._rounded))])


def round_weights(kernel: Any, axes: tuple[int, ...]) -> Any:
    """Round a kernel to 255 steps from minus to plus its largest number, channel by channel.

    The gradient is that of the kernel itself.

    Args:
        kernel: Float32.
        axes: Those that a channel's numbers lie along.
    """
    largest = tf.reduce_max(tf.abs(kernel), axis=axes, keepdims=True)
    step = tf.maximum(largest, 1e-12) / 127.0
    return kernel + tf.stop_gradient(tf.round(kernel / step) * step - kernel)


def _round_kernel(pair: FoldedPair, kernel: Any) -> Any:
    is_depthwise = isinstance(pair.convolution, keras.layers.DepthwiseConv2D)
    return round_weights(kernel, (0, 1) if is_depthwise else (0, 1, 2))


def _make_rounded_call(layer: Any) -> Call:
    """Make what a convolution or dense layer without a BatchNorm does with a rounded kernel."""
    kernel = read_kernel(layer)
    bias = tf.convert_to_tensor(layer.bias) if layer.use_bias else None
    if isinstance(layer, keras.layers.Dense):
        rounded = round_weights(kernel, (0,))

        def work(inputs: Any) -> Any:
            outputs = tf.matmul(inputs, rounded)
            return outputs if bias is None else tf.nn.bias_add(outputs, bias)

    else:
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        rounded = round_weights(kernel, (0, 1) if is_depthwise else (0, 1, 2))
        zeros = tf.zeros(layer.compute_output_shape(layer.input.shape)[-1:])
        work = make_call(layer, rounded, zeros if bias is None else bias)

    def call(inputs: Any, **_: Any) -> Any:
        outputs = work(inputs)
        return outputs if layer.activation is None else layer.activation(outputs)

    return call


def _feeds_relu(layer: keras.Layer) -> bool:
    """Tell whether a ReLU alone reads what a layer gives; a runtime then makes one of both."""
    readers = [node.operation for node in layer._outbound_nodes]
    if len(readers) != 1 or len(layer._inbound_nodes) != 1:
        return False
    reader = readers[0]
    if isinstance(reader, keras.layers.ReLU):
        return not reader.negative_slope
    named = getattr(reader, "activation", None) if type(reader) is keras.layers.Activation else None
    return named in (keras.activations.relu, keras.activations.relu6)
