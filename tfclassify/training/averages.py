"""A second copy of the weights that follows their mean: moving, or of the last epochs.

Owns: the copy, how fast it follows, and showing it in place of the weights. Does not
own: when it moves and what is done with it (``phases``, ``trainer``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import keras
import tensorflow as tf


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
