"""A view model as a graph that runs where Keras and this package are not.

Owns: tracing a network with its views by operations that every runtime has, and the
SavedModel made of that. Does not own: who reads it (``codalab_model``, ``formats``).

What converters cannot read is written otherwise while the graph is traced, and computes
the same: grouped convolutions (ConvNeXt's) as depthwise ones or as slices, GELU by the
error function, antialiased resizing (of ensembles) as two matrix products.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.inference.views import ViewModel
from tfclassify.profiler.tracing import hooked_layers

_ROOT_HALF = float(np.sqrt(0.5))


class Graph(tf.Module):
    """A network with its views, traced for export.

    Attributes:
        function: Concrete function of ``images`` float32 ``(n, H, W, 3)`` in 0..255 to
            ``{output: (n, classes)}`` float32.
        weights: The variables that it reads, which a SavedModel must know of.

    Args:
        views: The network and its views.
        batch: Images a call, or None for any number.
        output: Name of the output.
    """

    def __init__(
        self, views: ViewModel, batch: int | None = None, output: str = "probabilities"
    ) -> None:
        super().__init__()
        self.weights = [variable.value for variable in views.model.variables]
        shape = (batch, *views.image_size, 3)
        serve = tf.function(
            lambda images: {output: views.graph.python_function(images)},
            input_signature=[tf.TensorSpec(shape, tf.float32, name="images")],
            autograph=False,
        )
        with hooked_layers(views.model, _call_portably):
            self.function = serve.get_concrete_function()


def write_saved_model(folder: Path, graph: Graph, settings: dict[str, object]) -> None:
    """Write a graph, and settings beside it.

    The settings lie in ``assets.extra/settings.json``, the place that the format keeps
    for its users.

    Args:
        folder: The SavedModel's folder, made here.
        graph: The network and its views; its function is ``serving_default``.
        settings: What the reader must know, as JSON.
    """
    tf.saved_model.save(graph, str(folder), signatures={"serving_default": graph.function})
    extra = folder / "assets.extra"
    extra.mkdir()
    text = json.dumps(settings, indent=2, ensure_ascii=False) + "\n"
    (extra / "settings.json").write_text(text, encoding="utf-8")


def _call_portably(
    part: Any, call: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    """Call a layer, or compute the same by other operations."""
    if getattr(part, "activation", None) is not keras.activations.gelu:
        return _compute(part, call, arguments, keywords)
    part.activation = _gelu
    try:
        return _compute(part, call, arguments, keywords)
    finally:
        part.activation = keras.activations.gelu


def _compute(
    part: Any, call: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    kind = type(part).__name__
    if isinstance(part, keras.layers.Conv2D) and part.groups > 1:
        return _convolve_in_groups(part, *arguments)
    if kind == "Resize" and part.antialias:
        return _resize(part, *arguments)
    if kind == "Gelu" and not part.approximate:
        return _gelu(*arguments)
    return call(*arguments, **keywords)


def _gelu(x: Any) -> Any:
    return 0.5 * x * (1.0 + tf.math.erf(x * tf.cast(_ROOT_HALF, x.dtype)))


def _convolve_in_groups(layer: Any, inputs: Any) -> Any:
    """Compute a grouped convolution: depthwise where each group has one channel."""
    kernel = tf.cast(tf.convert_to_tensor(layer.kernel), inputs.dtype)
    height, width, channels, filters = layer.kernel.shape
    convolve = partial(
        keras.ops.conv,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
    )
    if channels == 1:
        # Filters of a group lie side by side, as a depthwise kernel's multiples do.
        kernel = tf.reshape(kernel, (height, width, layer.groups, filters // layer.groups))
        convolve = partial(keras.ops.depthwise_conv, **convolve.keywords)
        outputs = convolve(inputs, kernel)
    else:
        slices = zip(
            tf.split(inputs, layer.groups, axis=-1),
            tf.split(kernel, layer.groups, axis=-1),
            strict=True,
        )
        outputs = tf.concat([convolve(each, weights) for each, weights in slices], axis=-1)
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, tf.cast(tf.convert_to_tensor(layer.bias), inputs.dtype))
    return layer.activation(outputs) if layer.activation is not None else outputs


def _resize(operation: Any, images: Any) -> Any:
    """Resize ``(b, H, W, c)`` by one matrix for the height and one for the width."""
    down, across = (
        _weigh_pixels(images.shape[axis], operation.size[axis - 1], operation.interpolation)
        for axis in (1, 2)
    )
    return tf.einsum("oh,bhwc,pw->bopc", down, tf.cast(images, tf.float32), across)


def _weigh_pixels(pixels: int, wanted: int, method: str) -> np.ndarray:
    """Return how much each output position reads of each pixel of a row, ``(wanted, pixels)``."""
    rows = np.eye(pixels, dtype=np.float32)[None, :, :, None]
    with tf.init_scope():
        resized = tf.image.resize(rows, (wanted, pixels), method=method, antialias=True)
        return np.asarray(resized.numpy()[0, :, :, 0])
