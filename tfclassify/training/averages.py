"""A second copy of the weights that follows their mean: moving, or of the last epochs.

Owns: the copy, how fast it follows, showing it in place of the weights, and the moving
statistics of BatchNorm that are measured anew for it. Does not own: when it moves and
what is done with it (``phases``, ``trainer``).

The mean of several networks' moving statistics is not the statistics of the mean network,
so they are measured by one pass over the training batches.

Reference:
    Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.model.freezing import list_leaves


class WeightAverage:
    """A running average of variables.

    It takes in everything that a phase can change, moving statistics included, so that
    what is judged and kept is one consistent network.

    Args:
        variables: What is averaged; the average starts at their present values.

    Attributes:
        copies: The average, in the order of the variables: what resuming needs.
    """

    def __init__(self, variables: Sequence[keras.Variable]) -> None:
        self._variables = list(variables)
        self.copies = [
            keras.Variable(variable.value.numpy(), trainable=False, dtype=variable.dtype)
            for variable in self._variables
        ]
        share = tf.TensorSpec([], tf.float32)
        self._move = tf.function(self._compute_move, input_signature=[share], autograph=False)
        self._swap = tf.function(self._compute_swap, autograph=False)

    def move(self, share: float) -> None:
        """Move the average by this share of the way to the present values."""
        self._move(tf.constant(share, tf.float32))

    def put(self) -> None:
        """Give the variables their average."""
        for variable, copy in zip(self._variables, self.copies, strict=True):
            variable.assign(copy.value)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Let the variables have their average until the block ends, by an error too."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _compute_move(self, share: tf.Tensor) -> None:
        for variable, copy in zip(self._variables, self.copies, strict=True):
            # In this form an average of what never changes stays what it is, bit for bit.
            gap = tf.cast(variable.value, copy.dtype) - copy.value
            copy.value.assign_add(tf.cast(share, copy.dtype) * gap)

    def _compute_swap(self) -> None:
        for variable, copy in zip(self._variables, self.copies, strict=True):
            present, average = tf.identity(variable.value), tf.identity(copy.value)
            variable.value.assign(average)
            copy.value.assign(present)


def moving_share(decay: float, updates: int) -> float:
    """Return the share by which a moving average follows after an update.

    The early updates of a phase count more, so that a short phase does not end as it
    began: the share is ``max(1 - decay, 9 / (10 + updates))``.

    Args:
        decay: What stays of the average in the long run.
        updates: Updates of the phase so far, this one included.

    Example:
        >>> moving_share(0.5, 1), moving_share(0.9, 1000)
        (0.8181818181818181, 0.09999999999999998)

    Reference:
        ``num_updates`` of TensorFlow's ``ExponentialMovingAverage``.
    """
    return max(1.0 - decay, 9.0 / (10.0 + updates))


def mean_share(count: int) -> float:
    """Return the share by which a plain mean follows its ``count``-th value, from 1."""
    return 1.0 / count


def find_trained_norms(models: Sequence[keras.Model]) -> list[keras.layers.BatchNormalization]:
    """List the BatchNorms of the models that training changes."""
    leaves = [leaf for model in models for leaf in list_leaves(model)]
    return [
        layer
        for leaf in leaves
        for layer in leaf._flatten_layers()  # composite layers hold BatchNorms too
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]


def measure_statistics(
    norms: Sequence[keras.layers.BatchNormalization],
    run: Callable[[Any], Any],
    batches: Iterable[Any],
) -> None:
    """Set the moving statistics to the mean of those of the batches, weighed by images.

    Args:
        norms: The layers whose statistics are measured.
        run: Runs the network in training mode, changing nothing but moving statistics.
        batches: Inputs ``(b, ...)`` of ``run``.
    """
    moving = [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]
    totals = [np.zeros(tuple(variable.shape), np.float64) for variable in moving]
    run_once = _trace_without_memory(norms, run)
    images = 0
    for batch in batches:
        count = int(batch.shape[0])
        run_once(batch)
        images += count
        for total, variable in zip(totals, moving, strict=True):
            total += count * variable.value.numpy()
    for total, variable in zip(totals, moving, strict=True):
        variable.assign((total / images).astype(np.float32))


def _trace_without_memory(
    norms: Sequence[keras.layers.BatchNormalization], run: Callable[[Any], Any]
) -> Callable[[Any], None]:
    """Compile ``run`` so that each call leaves the batch's own statistics behind."""

    def run_once(inputs: Any) -> None:
        # The momentum is a plain number that is written into the graph while it is traced.
        kept = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 0.0
            run(inputs)
        finally:
            for norm, momentum in zip(norms, kept, strict=True):
                norm.momentum = momentum

    compiled: Callable[[Any], None] = tf.function(run_once, reduce_retracing=True, autograph=False)
    return compiled
