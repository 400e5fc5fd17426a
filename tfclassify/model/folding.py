"""BatchNorm folded into the convolution before it, while the network runs.

Owns: which pairs of layers fold, and running a network with them folded, or with layers
that do other work altogether. Does not own: what is frozen (``freezing``); the saved
network, whose layers and weights stay as they are.

A BatchNorm in inference mode multiplies each channel by ``s = gamma / sqrt(variance +
epsilon)`` and adds ``beta - mean * s``. Behind a convolution of kernel ``k`` and bias ``b``
that is one convolution of kernel ``k * s`` and bias ``(b - mean) * s + beta``: a pass over
the activations less, forwards and backwards. Differentiating through ``k * s`` gives the
gradient of the same ``k``.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from tfclassify.model.depthwise import convolve, find_calls, is_depthwise

#: What a layer does: its ``call``.
Call = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class FoldedPair:
    """A convolution and the BatchNorm that alone reads its output.

    Attributes:
        convolution: ``Conv2D``, ``DepthwiseConv2D`` or ``SeparableConv2D`` without activation.
        norm: Over the channels of its output.
    """

    convolution: keras.Layer
    norm: keras.layers.BatchNormalization

    def compute_kernel_and_bias(self) -> tuple[Any, Any]:
        """Compute the kernel and the bias ``(channels,)`` of the pair, float32."""
        layer, norm = self.convolution, self.norm
        scale = tf.math.rsqrt(_read(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            scale *= _read(norm.gamma)
        bias = -_read(norm.moving_mean)
        if layer.use_bias:
            bias += _read(layer.bias)
        bias *= scale
        if norm.center:
            bias += _read(norm.beta)
        kernel = read_kernel(layer)
        if isinstance(layer, keras.layers.DepthwiseConv2D):  # (h, w, channels, multiplier)
            return kernel * tf.reshape(scale, kernel.shape[2:]), bias
        return kernel * scale, bias


def find_pairs(model: keras.Model) -> list[FoldedPair]:
    """Find the convolutions with a BatchNorm right behind them, nested models included.

    Both stand in the same functional model and are called once in all; nothing else reads
    the output of the convolution, which has no activation of its own.
    """
    pairs = []
    for part in _list_models(model):
        nodes = {node for row in part._nodes_by_depth.values() for node in row}
        outputs = {id(tensor) for tensor in part.outputs}
        for layer in part.layers:
            following = _find_only_reader(layer, nodes)
            if following is None or not _can_fold(layer, following):
                continue
            if id(layer.output) not in outputs:
                pairs.append(FoldedPair(layer, following))
    return pairs


def find_frozen_pairs(model: keras.Model) -> list[FoldedPair]:
    """Find those pairs whose BatchNorm runs in inference mode, however the model is called."""
    return [pair for pair in find_pairs(model) if not pair.norm.trainable]


def fold_all(model: keras.Model) -> Callable[[], AbstractContextManager[None]]:
    """Return what opens a block in which all pairs of a model are folded: for inference."""
    return partial(folded, find_pairs(model), (model,))


@contextmanager
def folded(pairs: Sequence[FoldedPair], models: Sequence[keras.Model] = ()) -> Iterator[None]:
    """Run the pairs as one convolution each, in whatever is called or traced meanwhile.

    The kernels are computed at the start of the block, so a tape that shall differentiate
    them must be watching by then.

    Args:
        pairs: What to fold.
        models: Whose other depthwise convolutions are computed in the quick way.
    """
    calls: dict[keras.Layer, Call] = {}
    for model in models:
        calls |= find_calls(model)
    for pair in pairs:
        calls[pair.convolution] = make_call(pair.convolution, *pair.compute_kernel_and_bias())
        calls[pair.norm] = pass_on
    with replaced(calls):
        yield


class _Calls(threading.local):
    """What the layers do instead in one thread, by ``id`` of the layer, the latest last."""

    def __init__(self) -> None:
        self.of: dict[int, list[Call]] = {}


_calls = _Calls()
_lock = threading.Lock()
#: Blocks of all threads that a layer does other work in, by its ``id``.
_users: Counter[int] = Counter()


@contextmanager
def replaced(calls: Mapping[keras.Layer, Call]) -> Iterator[None]:
    """Let layers do other work, in whatever this thread calls or traces meanwhile.

    Another thread may replace the same layers by something else: devices that compute one
    batch together are traced in turns, a thread each.
    """
    changed: list[keras.Layer] = []
    try:
        for layer, call in calls.items():
            _calls.of.setdefault(id(layer), []).append(call)
            with _lock:
                _users[id(layer)] += 1
                # On the instance, past Keras' tracking of attributes: Keras looks it up there.
                vars(layer)["call"] = partial(_dispatch, layer)
            changed.append(layer)
        yield
    finally:
        for layer in changed:
            _calls.of[id(layer)].pop()
            with _lock:
                _users[id(layer)] -= 1
                if not _users[id(layer)]:
                    del _users[id(layer)], vars(layer)["call"]


def _dispatch(layer: Any, *given: Any, **named: Any) -> Any:
    """Do what this thread last replaced a layer's work by, or the layer's own."""
    calls = _calls.of.get(id(layer))
    if not calls:
        return type(layer).call(layer, *given, **named)
    call = calls.pop()  # within it, the layer's work is what it was before
    try:
        return call(*given, **named)
    finally:
        calls.append(call)


def make_call(layer: Any, kernel: Any, bias: Any) -> Call:
    """Make what a convolution does with another kernel and bias; its activation is left out."""

    def call(inputs: Any) -> Any:
        own_kernel = tf.cast(kernel, inputs.dtype)
        if is_depthwise(layer):
            outputs = convolve(layer, inputs, own_kernel)
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            outputs = keras.ops.depthwise_conv(
                inputs,
                own_kernel,
                strides=layer.strides,
                padding=layer.padding,
                dilation_rate=layer.dilation_rate,
                data_format=layer.data_format,
            )
        elif isinstance(layer, keras.layers.SeparableConv2D):
            outputs = keras.ops.separable_conv(
                inputs,
                tf.cast(layer.depthwise_kernel, inputs.dtype),
                own_kernel,
                strides=layer.strides,
                padding=layer.padding,
                dilation_rate=layer.dilation_rate,
                data_format=layer.data_format,
            )
        else:
            outputs = layer.convolution_op(inputs, own_kernel)
        # TensorFlow merges this very operation with the convolution and the ReLU around it.
        return tf.nn.bias_add(outputs, tf.cast(bias, outputs.dtype))

    return call


def pass_on(inputs: Any, **_: Any) -> Any:
    """Do nothing, as a layer."""
    return inputs


def _read(variable: keras.Variable) -> Any:
    """Return a variable in its own precision, which Keras would lower within a layer."""
    return tf.convert_to_tensor(variable._value)


def read_kernel(layer: Any) -> Any:
    """Return the kernel of a convolution or dense layer, float32; of a separable one the last."""
    is_separable = isinstance(layer, keras.layers.SeparableConv2D)
    return _read(layer.pointwise_kernel if is_separable else layer.kernel)


def _can_fold(layer: keras.Layer, following: keras.Layer) -> bool:
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    return (
        type(layer) in kinds
        and type(following) is keras.layers.BatchNormalization
        and layer.activation in (None, keras.activations.linear)
        and layer.data_format == "channels_last"
        and following.axis in (-1, len(layer.output.shape) - 1)
        and layer.compute_dtype == following.compute_dtype
        and not getattr(layer, "lora_enabled", False)
        and layer.quantization_mode is None
        and not following.renorm
    )


def _find_only_reader(layer: keras.Layer, nodes: set[Any]) -> Any:
    """Return the only layer that reads a layer, where each is called once in all."""
    inbound, outbound = layer._inbound_nodes, layer._outbound_nodes
    if len(inbound) != 1 or len(outbound) != 1 or not {inbound[0], outbound[0]} <= nodes:
        return None
    following = outbound[0].operation
    return following if len(following._inbound_nodes) == 1 else None


def _list_models(model: keras.Model) -> list[Any]:
    """List the functional models within a model, itself included, each once."""
    found: dict[int, Any] = {}
    pending: list[Any] = [model]
    while pending:
        part = pending.pop()
        part = getattr(part, "_functional", None) or part  # what a Sequential runs
        if id(part) not in found and hasattr(part, "_nodes_by_depth"):
            found[id(part)] = part
            pending += [layer for layer in part.layers if isinstance(layer, keras.Model)]
    return list(found.values())
