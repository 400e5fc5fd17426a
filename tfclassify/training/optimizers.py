"""Optimizers by the recipe's words.

Owns: one mapping from a phase to a Keras optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfclassify.recipe.schema import PhaseRecipe
from tfclassify.training.layer_rates import layer_wise

_BUILDERS: dict[str, type[Any]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
}


def build_optimizer(
    phase: PhaseRecipe, factors: Mapping[int, float] | None = None
) -> keras.optimizers.Optimizer:
    """Build the phase's optimizer at its peak learning rate.

    Weight decay is decoupled (AdamW's form) for every optimizer and spares
    biases and BatchNorm; without a value, AdamW keeps its own 0.004.

    Args:
        phase: Optimizer, rate, weight decay, momentum, clipping.
        factors: Factor of the rate by ``id`` of a variable; None leaves it the same for all.
    """
    options: dict[str, Any] = {
        "learning_rate": phase.learning_rate,
        "global_clipnorm": phase.clip_norm,
    }
    if phase.weight_decay is not None:
        options["weight_decay"] = phase.weight_decay
    if phase.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = phase.momentum
    kind = _BUILDERS[phase.optimizer]
    optimizer = (kind if factors is None else layer_wise(kind, factors))(**options)
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
