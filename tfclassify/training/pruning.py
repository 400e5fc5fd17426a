"""Pruning in training: which weights stay, and keeping the others at zero.

Owns: how a sparsity is shared among kernels, the cubic schedule of magnitude pruning,
RigL's dropping and growing, the masks. Does not own: when updates happen (``trainer``),
what a recipe may ask for (``recipe.phase_schema``).

Kernels of convolutions and dense layers are pruned; depthwise kernels, biases and
BatchNorm hold few numbers and are left alone.

References:
    Zhu, Gupta 2017, arXiv:1710.01878 (magnitude, cubic schedule).
    Evci et al. 2020, arXiv:1911.11134 (RigL, Erdős–Rényi-kernel).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfclassify.errors import TrainingError
from tfclassify.model.freezing import list_leaves
from tfclassify.recipe.phase_schema import PruneRecipe

#: Share of a layer's weights that RigL drops and grows at its first update.
_RIGL_SHARE = 0.3


def find_kernels(
    network: keras.Model, pattern: str = "", *, is_pointwise: bool = False
) -> list[keras.Variable]:
    """List the kernels that can be pruned, in the network's order, each once.

    Args:
        network: Nested models included.
        pattern: Regular expression that a kernel's path must contain; empty for all.
        is_pointwise: Only those of 1x1 convolutions.
    """
    found: dict[int, keras.Variable] = {}
    for layer in list_leaves(network):
        if isinstance(layer, keras.layers.DepthwiseConv2D) or getattr(layer, "groups", 1) > 1:
            continue
        for weight in layer.trainable_variables:
            is_kernel = weight.name.endswith("kernel") and len(weight.shape) >= 2
            if is_pointwise:
                is_kernel &= len(weight.shape) == 4 and tuple(weight.shape[:2]) == (1, 1)
            if is_kernel and "depthwise" not in weight.name and re.search(pattern, weight.path):
                found[id(weight)] = weight
    return list(found.values())


def share_sparsity(
    shapes: Sequence[Sequence[int]], sparsity: float, distribution: str
) -> list[int]:
    """Share a sparsity among kernels.

    ``uniform``: each keeps the same part. ``erk``: the part that a kernel of sides ``d_i``
    keeps is proportional to ``sum d_i / prod d_i``, so that small kernels stay denser; one
    that would keep more than all is kept whole, and the others share the rest.

    Args:
        shapes: Of the kernels.
        sparsity: Part of all weights together that is zero, within (0, 1).
        distribution: ``uniform`` or ``erk``.

    Returns:
        Weights that each keeps.

    Example:
        >>> share_sparsity([(3, 3, 1, 2), (10, 10)], 0.5, "uniform")
        [9, 50]
        >>> share_sparsity([(3, 3, 1, 2), (10, 10)], 0.5, "erk")
        [18, 41]
    """
    sizes = [math.prod(shape) for shape in shapes]
    if distribution == "uniform":
        return [round((1 - sparsity) * size) for size in sizes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    whole: set[int] = set()
    while True:
        rest = [place for place in range(len(sizes)) if place not in whole]
        budget = (1 - sparsity) * sum(sizes) - sum(sizes[place] for place in whole)
        scale = budget / sum(raw[place] * sizes[place] for place in rest) if rest else 0.0
        over = {place for place in rest if scale * raw[place] > 1}
        if not over:
            break
        whole |= over
    return [
        size if place in whole else round(scale * raw[place] * size)
        for place, size in enumerate(sizes)
    ]


def ramp(update: int, last: int) -> float:
    """Return which part of the final sparsity is due at an update: cubic, 0 to 1.

    >>> [ramp(update, 4) for update in (0, 2, 4, 9)]
    [0.0, 0.875, 1.0, 1.0]
    """
    left = max(0.0, 1.0 - update / last)
    return 1.0 - left**3


def keep_largest(values: np.ndarray, count: int) -> np.ndarray:
    """Mark the ``count`` largest absolute values, of equal ones the first; float32 0 and 1."""
    order = np.argsort(-np.abs(values).ravel(), kind="stable")
    mask = np.zeros(values.size, np.float32)
    mask[order[:count]] = 1.0
    return mask.reshape(values.shape)


def regrow(
    mask: np.ndarray, weights: np.ndarray, gradients: np.ndarray, share: float
) -> np.ndarray:
    """Drop a share of the kept weights and grow as many others, as RigL does.

    The smallest weights are dropped; of all that are then not kept, those with the largest
    gradients grow. They are zero, but for those that were dropped just now.

    Args:
        mask: 0 and 1.
        weights: Of its shape.
        gradients: Of its shape.
        share: Part of the kept weights.

    Returns:
        The new mask, with as many ones.
    """
    kept = int(mask.sum())
    moved = min(int(share * kept), mask.size - kept)
    stays = mask * keep_largest(np.where(mask > 0, np.abs(weights) + 1e-30, 0.0), kept - moved)
    grown = keep_largest(np.where(stays > 0, 0.0, np.abs(gradients) + 1e-30), moved)
    return stays + grown


class Pruner:
    """Keeps the masks of a phase and the pruned weights at zero.

    Args:
        network: The network, frozen as in the phase.
        recipe: What is pruned; None holds the zeros that are there.
        updates: Updates of the phase.
        where: The phase, for messages.

    Attributes:
        kernels: What is pruned.
        masks: 0 and 1 for each: what resuming needs.
        gradients: The last update's, for RigL; the training step fills them.

    Raises:
        TrainingError: If no kernel is pruned, or one would be left empty.
    """

    def __init__(
        self, network: keras.Model, recipe: PruneRecipe | None, updates: int, where: str
    ) -> None:
        self._recipe = recipe
        self.kernels = find_kernels(
            network,
            recipe.layers if recipe else "",
            is_pointwise=recipe is not None and recipe.pointwise,
        )
        self._kept: list[int] = []
        self._last = 1
        masks = [(kernel.value.numpy() != 0).astype(np.float32) for kernel in self.kernels]
        if recipe is not None:
            self._kept = self._share(recipe, where)
            self._last = max(1, round(recipe.until * updates))
            if recipe.method == "rigl":  # sparse from the start
                pairs = zip(self.kernels, self._kept, strict=True)
                masks = [keep_largest(kernel.value.numpy(), kept) for kernel, kept in pairs]
        self.masks = [
            keras.Variable(mask, trainable=False, dtype="float32", name="mask") for mask in masks
        ]
        self.gradients = [
            tf.Variable(tf.zeros(kernel.shape))
            for kernel in self.kernels
            if recipe is not None and recipe.method == "rigl"
        ]
        self._apply = tf.function(self._zero, autograph=False)
        self._apply()

    def _share(self, recipe: PruneRecipe, where: str) -> list[int]:
        if not self.kernels:
            kind = "1x1 kernel" if recipe.pointwise else "kernel"
            raise TrainingError(
                f"{where}.prune.layers: {recipe.layers!r} is in the name of no {kind} that the "
                "phase trains; leave it out to prune all of them"
                + (", or set pointwise: false" if recipe.pointwise else "")
            )
        shapes = [tuple(kernel.shape) for kernel in self.kernels]
        kept = share_sparsity(shapes, recipe.sparsity, recipe.distribution)
        for kernel, count in zip(self.kernels, kept, strict=True):
            if count < 1:
                raise TrainingError(
                    f"{where}.prune.sparsity: {recipe.sparsity} leaves {kernel.path!r} with none "
                    f"of its {math.prod(kernel.shape)} weights; use less, distribution: erk, or "
                    "leave that layer out by prune.layers"
                )
        return kept

    def _zero(self) -> None:
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            kernel.assign(kernel * tf.cast(mask.value, kernel.dtype))

    def follow(self, update: int) -> None:
        """Follow the phase's ``update``-th update, counted from 1."""
        recipe = self._recipe
        is_due = recipe is not None and update % recipe.every == 0 and update < self._last
        if recipe is not None and (is_due or update == self._last):
            self._move(recipe.method, update)
        self._apply()

    def _move(self, method: str, update: int) -> None:
        share = _RIGL_SHARE / 2 * (1 + math.cos(math.pi * update / self._last))
        for place, (kernel, mask) in enumerate(zip(self.kernels, self.masks, strict=True)):
            weights = kernel.value.numpy()
            if method == "rigl":
                gradients = self.gradients[place].numpy()
                mask.assign(regrow(mask.value.numpy(), weights, gradients, share))
                continue
            dropped = round((weights.size - self._kept[place]) * ramp(update, self._last))
            mask.assign(keep_largest(weights, weights.size - dropped))


def measure_sparsity(network: keras.Model) -> dict[str, tuple[int, int]]:
    """Return of each kernel that can be pruned, by its path: weights, and those not zero."""
    return {
        kernel.path: (math.prod(kernel.shape), int(np.count_nonzero(kernel.value.numpy())))
        for kernel in find_kernels(network)
    }
