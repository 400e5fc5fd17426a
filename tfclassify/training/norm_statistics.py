"""Moving statistics of BatchNorm, measured anew for averaged weights.

Owns: which BatchNorms that concerns and the pass over the batches. Does not own: the
averaging (``averages``).

The mean of several networks' moving statistics is not the statistics of the mean
network, so they are measured by one pass over the training batches.

Reference:
    Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.model.freezing import list_leaves


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
