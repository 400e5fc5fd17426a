"""Makes a network narrower: which channels go, and the weights of those that stay.

Owns: how much each channel matters, the choice that meets a number of
multiply-accumulates, slicing weights, fitting BatchNorm to what is left. Does not own:
which channels go together (``channels``), building the smaller network
(``backbones.rebuilding``), its fine-tuning (``training``).

References:
    Molchanov et al. 2019, arXiv:1906.10771 (first-order importance).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.compress.channels import ChannelMap, LayerChannels
from tfclassify.errors import ModelError
from tfclassify.model.freezing import list_leaves
from tfclassify.profiler.tracing import hooked_layers

#: Part of the channels of a layer that stays whatever it is worth.
_FLOOR = 1 / 8
#: By how much of the whole the target may be missed before a smaller step is looked for.
_TOLERANCE = 0.01


def measure_importance(
    network: keras.Model,
    found: ChannelMap,
    batches: Iterable[tuple[np.ndarray, np.ndarray]],
    *,
    is_multi_label: bool = False,
) -> dict[int, float]:
    """Estimate how much the loss would change without each channel.

    To first order it changes by ``sum(w * dL/dw)`` over the weights of the channel in a
    layer. Squared, that is summed over the layers that the channel goes through and
    averaged over the batches.

    Args:
        network: Images ``(b, height, width, 3)`` to logits ``(b, classes)``.
        found: Its channels.
        batches: Images, 0 to 255, and targets ``(b, classes)``.
        is_multi_label: Whether an image may have several labels.

    Returns:
        What stands for the channels that go together -> importance, at least 0.
    """
    total: dict[int, float] = defaultdict(float)
    weights = [(each, weight, axis) for each in found.layers for weight, axis in _list_own(each)]
    values = [weight.value for _, weight, _ in weights]
    for images, targets in batches:
        with tf.GradientTape() as tape:
            tape.watch(values)
            logits = network(tf.convert_to_tensor(images, tf.float32), training=False)
            loss = _compute_loss(targets, logits, is_multi_label=is_multi_label)
        gradients = tape.gradient(loss, values)
        effects: dict[int, np.ndarray] = {}
        for (each, weight, axis), gradient in zip(weights, gradients, strict=True):
            if gradient is None:
                continue
            product = weight.numpy() * tf.convert_to_tensor(gradient).numpy()
            others = tuple(place for place in range(product.ndim) if place != axis)
            effects[id(each)] = effects.get(id(each), 0.0) + product.sum(axis=others)
        for each in found.layers:
            if id(each) in effects:
                for root, effect in zip(found.find(each.gives), effects[id(each)], strict=True):
                    total[int(root)] += float(effect) ** 2
    return dict(total)


def _list_own(each: LayerChannels) -> Iterator[tuple[keras.Variable, int]]:
    """Yield the trained weights that belong to single channels, with the channels' axis."""
    for weight in each.layer.weights:
        axes = each.axes.get(weight.name, {})
        axis = next((place for place, way in axes.items() if way == "out"), None)
        if axis is not None and not weight.name.startswith("moving"):
            yield weight, axis


def _compute_loss(targets: np.ndarray, logits: Any, *, is_multi_label: bool) -> Any:
    wished = tf.convert_to_tensor(targets, tf.float32)
    loss = tf.nn.softmax_cross_entropy_with_logits(wished, logits)
    if is_multi_label:
        loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(wished, logits), -1)
    return tf.reduce_mean(loss)


@dataclass(frozen=True)
class _Term:
    """A kernel's cost, and which of its layer's channel counts it grows with."""

    macs: int
    layer: int
    ways: frozenset[str]


class _Budget:
    """What a network costs with so many channels in each of its spaces.

    A space is made of channels that pass through the same layers, so that any of them may
    go in place of any other.
    """

    def __init__(self, found: ChannelMap, total: int) -> None:
        self.spaces = _list_spaces(found)
        owner = {root: place for place, roots in enumerate(self.spaces) for root in roots}
        shape = (len(found.layers), len(self.spaces))
        self._counts = {"in": np.zeros(shape), "out": np.zeros(shape)}
        self._fixed = {"in": np.zeros(shape[0]), "out": np.zeros(shape[0])}
        self._terms: list[_Term] = []
        for row, each in enumerate(found.layers):
            for way, channels in (("in", each.reads), ("out", each.gives)):
                for root in found.find(channels):
                    if int(root) in owner:
                        self._counts[way][row, owner[int(root)]] += 1
                    else:
                        self._fixed[way][row] += 1
            positions = math.prod(each.layer.output.shape[1:-1])
            for weight in each.layer.weights:
                if "kernel" in weight.name:
                    ways = frozenset(each.axes[weight.name].values())
                    self._terms.append(_Term(positions * math.prod(weight.shape), row, ways))
        self._rest = total - sum(term.macs for term in self._terms)

    def count(self, shares: np.ndarray) -> np.ndarray:
        """Return the MACs for shares of the channels that stay, ``(candidates, spaces)``."""
        total = np.full(len(shares), float(self._rest))
        left = {}
        for way, counts in self._counts.items():
            whole = self._fixed[way] + counts.sum(axis=1)
            left[way] = (self._fixed[way] + shares @ counts.T) / np.maximum(whole, 1)
        for term in self._terms:
            part = np.ones(len(shares))
            for way in term.ways:
                part = part * left[way][:, term.layer]
            total += term.macs * part
        return total


def _list_spaces(found: ChannelMap) -> list[list[int]]:
    through: dict[int, set[int]] = defaultdict(set)
    for row, each in enumerate(found.layers):
        for root in found.find(each.gives):
            through[int(root)].add(row)
    kept = found.list_kept()
    spaces: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for root, rows in through.items():
        if root not in kept:
            spaces[tuple(sorted(rows))].append(root)
    return list(spaces.values())


def choose_channels(
    found: ChannelMap, importance: dict[int, float], share: float, total: int, name: str
) -> set[int]:
    """Choose the channels that go, so that a share of the multiply-accumulates is left.

    Again and again the least important channels go, by importance over what they cost,
    whatever their layer; several at a time, so that numbers of channels stay multiples of 8
    where a layer has at least 64, and an eighth of each layer stays.

    Args:
        found: The network's channels.
        importance: From ``measure_importance``.
        share: Part of the multiply-accumulates that is to be left, within (0, 1).
        total: Multiply-accumulates of the whole network.
        name: The network, for messages.

    Returns:
        What stands for the channels that go.

    Raises:
        ModelError: If no such choice leaves so few.
    """
    budget = _Budget(found, total)
    order = [sorted(roots, key=lambda root: importance.get(root, 0.0)) for roots in budget.spaces]
    sizes = np.array([len(roots) for roots in order], np.int64)
    whole = np.maximum(1, np.minimum(8, sizes // 8))
    gone = np.zeros(len(order), np.int64)
    macs = float(total)
    while macs > share * total:
        # A first step also takes what is over a multiple.
        steps = np.where((gone == 0) & (sizes % whole > 0), sizes % whole, whole)
        for step in (steps, np.ones_like(steps)):  # one channel alone is the last resort
            is_possible = sizes - gone - step >= np.maximum(1, np.ceil(_FLOOR * sizes))
            left = budget.count((sizes - gone - np.diag(step)) / np.maximum(sizes, 1))
            is_near = is_possible & (left >= (share - _TOLERANCE) * total)
            if is_near.any():
                break
        if not is_possible.any():
            raise ModelError(
                f"--macs {share:g}: {name} can be narrowed to {macs / total:.2f} of its "
                f"multiply-accumulates only{_tell_unknown(found)}; ask for more"
            )
        worth = np.array(
            [
                sum(importance.get(root, 0.0) for root in roots[start : start + count])
                for roots, start, count in zip(order, gone, step, strict=True)
            ]
        )
        rate = np.where(is_near, worth / np.maximum(macs - left, 1.0), np.inf)
        if not is_near.any():  # the smallest step there is
            rate = np.where(is_possible, -left, np.inf)
        place = int(np.argmin(rate))
        gone[place] += step[place]
        macs = float(left[place])
    return {root for roots, count in zip(order, gone, strict=True) for root in roots[:count]}


def _tell_unknown(found: ChannelMap) -> str:
    if not found.unknown:
        return ""
    shown = ", ".join(found.unknown[:3]) + (", …" if len(found.unknown) > 3 else "")
    return f", since {len(found.unknown)} layers cannot be followed: {shown}"


def name_channels(found: ChannelMap, gone: set[int]) -> dict[str, int]:
    """Return how many channels each layer has left, by stable name, where some of them go."""
    counts = {}
    for each in found.layers:
        has_number = each.makes or hasattr(each.layer, "filters")
        left = int(_mark_left(found, each.gives, gone).sum())
        if has_number and left < len(each.gives):
            counts[found.names[each.layer.name]] = left
    return counts


def _mark_left(found: ChannelMap, channels: np.ndarray, gone: set[int]) -> np.ndarray:
    return np.array([int(root) not in gone for root in found.find(channels)])


def slice_weights(
    found: ChannelMap, gone: set[int], network: keras.Model, narrow: keras.Model
) -> None:
    """Give a narrower network the weights of the channels that stay.

    Args:
        found: The channels of ``network``.
        gone: Those that go.
        network: The whole network.
        narrow: A copy with fewer channels, whose layers have the same names.
    """
    known = {id(each.layer): each for each in found.layers}
    for layer, smaller in zip(_list_weighted(network), _list_weighted(narrow), strict=True):
        each = known.get(id(layer))
        for weight, wanted in zip(layer.weights, smaller.weights, strict=True):
            value = weight.numpy()
            for axis, way in (each.axes.get(weight.name, {}) if each else {}).items():
                channels = each.gives if way == "out" else each.reads  # type: ignore[union-attr]
                value = value.compress(_mark_left(found, channels, gone), axis=axis)
            wanted.assign(value)


def _list_weighted(network: keras.Model) -> list[keras.Layer]:
    return [layer for layer in list_leaves(network) if layer.weights]


def fit_statistics(network: keras.Model, batches: Iterable[np.ndarray]) -> None:
    """Take mean and variance of every BatchNorm anew, as averages over batches.

    What a BatchNorm sees is no longer what its statistics were taken from. Nothing else of
    the network behaves as in training.

    Args:
        network: A network.
        batches: Images ``(b, height, width, 3)``, 0 to 255.
    """
    norms = {
        id(layer): (layer, layer.momentum, layer.trainable)
        for layer in list_leaves(network)
        if isinstance(layer, keras.layers.BatchNormalization)
    }

    def call(layer: Any, run: Any, arguments: Any, keywords: Any) -> Any:
        if id(layer) in norms:
            keywords = {**keywords, "training": True}
        return run(*arguments, **keywords)

    for number, images in enumerate(batches):
        for layer, _, _ in norms.values():
            layer.trainable = True
            layer.momentum = number / (number + 1)  # the average of all so far
        with hooked_layers(network, call):
            network(tf.convert_to_tensor(images, tf.float32), training=False)
    for layer, momentum, is_trainable in norms.values():
        layer.momentum, layer.trainable = momentum, is_trainable
