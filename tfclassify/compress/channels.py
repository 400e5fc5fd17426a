"""Finds which channels of a network can only be removed together.

Owns: following every channel from the layer that makes it to those that read it, through
residual additions, depthwise convolutions, squeeze-and-excitation, concatenations and the
head; which weights belong to a channel. Does not own: which channels go (``narrowing``).

Every channel that a layer makes gets a number. Layers that treat each channel for itself
pass the numbers on, concatenations put them end to end, additions and products declare
those that meet to be one. What comes through a layer that is not known here is kept.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tfclassify.backbones.rebuilding import name_stably

Axes = dict[str, dict[int, str]]

#: Kind of layer -> weight -> axis -> whether it runs over what comes "in" or goes "out".
_MAKERS: dict[str, Axes] = {
    "Conv2D": {"kernel": {2: "in", 3: "out"}, "bias": {0: "out"}},
    "Dense": {"kernel": {0: "in", 1: "out"}, "bias": {0: "out"}},
    "SeparableConv2D": {
        "depthwise_kernel": {2: "in"},
        "pointwise_kernel": {2: "in", 3: "out"},
        "bias": {0: "out"},
    },
}
_GROUPED: Axes = {"kernel": {3: "out"}, "bias": {0: "out"}}
#: Layers that scale or filter each channel for itself.
_FOLLOWERS: dict[str, Axes] = {
    "DepthwiseConv2D": {"kernel": {2: "out"}, "bias": {0: "out"}},
    "BatchNormalization": {
        name: {0: "out"} for name in ("gamma", "beta", "moving_mean", "moving_variance")
    },
}
#: Layers without weights that do the same to every channel.
_PASSING = frozenset(
    (
        *("Activation", "ReLU", "LeakyReLU", "Softmax", "Identity", "Rescaling", "Normalization"),
        *("Dropout", "SpatialDropout2D", "StochasticDepth", "ZeroPadding2D", "Cropping2D"),
        *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
        *("UpSampling2D", "Resizing", "Cast"),
    )
)
#: Layers and operations whose inputs meet channel by channel.
_MEETING = frozenset(
    ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "CustomScaleLayer")
)


@dataclass(frozen=True)
class LayerChannels:
    """Which channels a layer with weights reads and gives.

    Attributes:
        layer: The layer.
        axes: Its weights' axes that run over channels.
        reads: Numbers of the channels that come in; of those that go out for a layer that
            treats each for itself.
        gives: Numbers of the channels that go out.
        makes: Whether it makes its channels, and so may make fewer.
    """

    layer: keras.Layer
    axes: Axes
    reads: np.ndarray
    gives: np.ndarray
    makes: bool

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image: each kernel's numbers, at each position."""
        kernels = [weight for weight in self.layer.weights if "kernel" in weight.name]
        positions = math.prod(self.layer.output.shape[1:-1])
        return positions * sum(math.prod(kernel.shape) for kernel in kernels)


@dataclass
class ChannelMap:
    """The channels of a network.

    Attributes:
        layers: Layers whose weights run over them, in the network's order.
        unknown: Layers that could not be followed, as ``name (kind)``.
        names: Name of a layer -> stable name.
    """

    layers: list[LayerChannels] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)
    _kept: set[int] = field(default_factory=set)
    _seen: dict[int, LayerChannels] = field(default_factory=dict)

    def new(self, count: int) -> np.ndarray:
        """Number ``count`` channels that were not there before."""
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def find(self, channels: np.ndarray) -> np.ndarray:
        """Return of each channel the number that stands for all that go together with it."""
        return np.array([self._find(int(channel)) for channel in channels], np.int64)

    def _find(self, channel: int) -> int:
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def join(self, one: np.ndarray, other: np.ndarray) -> None:
        """Declare channels to be removable only in pairs."""
        for first, second in zip(one, other, strict=True):
            self._parents[self._find(int(second))] = self._find(int(first))

    def keep(self, channels: np.ndarray) -> None:
        """Declare channels to be needed."""
        self._kept.update(int(channel) for channel in channels)

    def list_kept(self) -> set[int]:
        """Return what stands for channels that are needed."""
        return {self._find(channel) for channel in self._kept}


def follow_channels(network: keras.Model) -> ChannelMap:
    """Follow the channels of a network from its images to its classes.

    Args:
        network: A functional model, nested ones included.

    Returns:
        Where each channel lies. Those of the images and of the result are kept.
    """
    found = ChannelMap(names=name_stably(network))
    images = [found.new(tensor.shape[-1]) for tensor in network.inputs]
    for channels in images:
        found.keep(channels)
    for channels in keras.tree.flatten(_run(network, images, found)):
        found.keep(channels)
    makers = [each.layer.name for each in found.layers if each.makes]
    names = Counter(makers)
    for each in found.layers:
        if each.makes and names[each.layer.name] > 1:  # a recipe could not tell them apart
            found.keep(each.gives)
    return found


def _run(network: keras.Model, arguments: Any, found: ChannelMap) -> Any:
    """Run the numbers of channels through a network in place of images."""

    def call(layer: Any, *given: Any, **keywords: Any) -> Any:
        arrays = [
            value
            for value in keras.tree.flatten((given, keywords))
            if isinstance(value, np.ndarray)
        ]
        if isinstance(layer, keras.Model):
            return _run(layer, arrays, found)
        return _follow(layer, arrays, found)

    # A Sequential holds the functional model that it runs.
    graph = getattr(network, "_functional", None) or network
    return graph._run_through_graph(arguments, operation_fn=lambda layer: layer, call_fn=call)


def _follow(layer: Any, arrays: list[np.ndarray], found: ChannelMap) -> Any:
    kind = type(layer).__name__
    first = arrays[0]
    if id(layer) in found._seen:
        return _follow_again(layer, first, found)
    axes, makes = _find_axes(layer, first)
    if axes is not None and len(arrays) == 1:
        gives = found.new(layer.output.shape[-1]) if makes else first
        each = LayerChannels(layer, axes, first, gives, makes)
        found.layers.append(each)
        found._seen[id(layer)] = each
        return gives
    if kind in _MEETING:
        return _meet(layer, arrays, found)
    if kind == "Concatenate" and layer.axis in (-1, len(layer.output.shape) - 1):
        return np.concatenate(arrays)
    if kind in _PASSING or (kind == "Reshape" and layer.output.shape[-1] == len(first)):
        return first
    if kind == "Flatten":
        return np.tile(first, layer.output.shape[-1] // len(first))
    return _give_up(layer, arrays, found)


def _find_axes(layer: Any, channels: np.ndarray) -> tuple[Axes | None, bool]:
    """Return which axes of a layer's weights run over channels, and whether it makes them."""
    kind = type(layer).__name__
    if kind == "Conv2D" and layer.groups > 1:
        is_depthwise = layer.groups == layer.filters == len(channels)
        return (_GROUPED if is_depthwise else None), False
    if getattr(layer, "depth_multiplier", 1) != 1:
        return None, False
    if kind == "BatchNormalization" and layer.axis not in (-1, len(layer.output.shape) - 1):
        return None, False
    return _MAKERS.get(kind, _FOLLOWERS.get(kind)), kind in _MAKERS


def _meet(layer: Any, arrays: list[np.ndarray], found: ChannelMap) -> Any:
    """Declare channels that are added or multiplied to be one; a number alone changes none."""
    first, *others = arrays
    if any(len(other) != len(first) for other in others):
        return _give_up(layer, arrays, found)
    for other in others:
        found.join(first, other)
    return first


def _follow_again(layer: Any, channels: np.ndarray, found: ChannelMap) -> np.ndarray:
    """Follow a layer that is used twice: what it reads then goes together."""
    each = found._seen[id(layer)]
    found.join(each.reads, channels)
    return each.gives


def _give_up(layer: Any, arrays: list[np.ndarray], found: ChannelMap) -> Any:
    """Keep all that goes through a layer which is not known here."""
    kept = found.list_kept()
    if any(int(root) not in kept for channels in arrays for root in found.find(channels)):
        found.unknown.append(f"{layer.name} ({type(layer).__name__})")
    for channels in arrays:
        found.keep(channels)
    gives = keras.tree.map_structure(lambda tensor: found.new(tensor.shape[-1]), layer.output)
    for channels in keras.tree.flatten(gives):
        found.keep(channels)
    return gives
