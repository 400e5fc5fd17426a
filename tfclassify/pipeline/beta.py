"""Beta-distributed numbers from uniform ones.

Owns: the quantile function of the symmetric beta distribution, as a table. Does not own:
where the uniform numbers come from (``randomness``).

Rejection samplers use up an unknown count of random numbers; a quantile function needs
one, which an address can give.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import tensorflow as tf

#: Cells of the table. The distribution function is exact at the nodes between them, so
#: it is nowhere off by more than 1 / CELLS.
CELLS = 4096


def draw_beta(uniform: tf.Tensor, alpha: float) -> tf.Tensor:
    """Turn uniform numbers into numbers of the distribution Beta(alpha, alpha).

    Args:
        uniform: ``(b,)`` float64 in [0, 1).
        alpha: Both parameters, positive; 1 is the uniform distribution, less favours the
            ends, more the middle.

    Returns:
        ``(b,)`` float64 in [0, 1], rising with ``uniform``.
    """
    if alpha == 1.0:
        return uniform
    nodes = tf.constant(tabulate_quantiles(alpha))
    position = uniform * CELLS
    cell = tf.floor(position)
    low = tf.gather(nodes, tf.cast(cell, tf.int32))
    high = tf.gather(nodes, tf.cast(cell, tf.int32) + 1)
    return low + (high - low) * (position - cell)


@lru_cache(maxsize=16)
def tabulate_quantiles(alpha: float) -> npt.NDArray[np.float64]:
    """Return the quantiles of Beta(alpha, alpha) at ``k / CELLS``, ``(CELLS + 1,)``."""
    from scipy.special import betaincinv

    return np.asarray(betaincinv(alpha, alpha, np.arange(CELLS + 1) / CELLS), dtype=np.float64)
