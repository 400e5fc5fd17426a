"""Optimizers by the recipe's words, and learning rates that fall from block to block.

Owns: one mapping from a phase to a Keras optimizer, the factor of each variable and an
optimizer that keeps to them, Adam in one pass. Does not own: what a block is
(``backbones.blocks``), the rate itself (``schedules``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfclassify.backbones.blocks import split_blocks
from tfclassify.model.assembly import Classifier
from tfclassify.recipe.schema import PhaseRecipe


def list_factors(classifier: Classifier, decay: float) -> dict[int, float]:
    """Give each variable of the network its factor of the learning rate.

    The head keeps the rate, the last block of the backbone has ``decay`` of it, the one
    before ``decay**2``, and so on to the input; each backbone of a stack by itself. A
    backbone of one piece, such as a hub module, is one block.

    Args:
        classifier: The network.
        decay: Factor from one block to the one before it.

    Returns:
        Factor by ``id`` of the variable.

    Reference:
        Bao et al. 2021, arXiv:2106.08254, section 3.2 ("layer-wise decay").
    """
    factors = {id(variable): 1.0 for variable in classifier.head.variables}
    for member in classifier.members:
        blocks = split_blocks(member.extractor, member.spec.blocks)
        for depth, block in enumerate(reversed(blocks), start=1):
            for layer in block:
                factors |= {id(variable): decay**depth for variable in layer.variables}
    return factors


def layer_wise(kind: type[Any], factors: Mapping[int, float]) -> type[Any]:
    """Derive an optimizer that multiplies each variable's rate by its factor.

    The decoupled weight decay of a variable follows its rate, as it does in AdamW.

    Args:
        kind: A Keras optimizer class.
        factors: Factor by ``id`` of the Keras variable; 1 where there is none.
    """
    found: dict[str, float] = {}  # by the optimizer's own key of a variable

    class LayerWise(kind):
        weight_decay: Any

        def build(self, variables: list[keras.Variable]) -> None:
            found.update({self._var_key(v): factors.get(id(v), 1.0) for v in variables})
            super().build(variables)

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            rate = learning_rate * found[self._var_key(variable)]
            super().update_step(gradient, variable, rate)

        def _apply_weight_decay(self, variables: list[Any]) -> None:
            decay = self.weight_decay
            if decay is None:
                return
            # A plain number, written into the graph while each variable is traced.
            for variable in variables:
                self.weight_decay = decay * found[self._var_key(variable)]
                super()._apply_weight_decay([variable])
            self.weight_decay = decay

    LayerWise.__name__ = f"LayerWise{kind.__name__}"
    return LayerWise


def in_one_pass(kind: type[Any]) -> type[Any]:
    """Derive an Adam whose update reads and writes each variable once.

    The formula is that of Keras, which takes eight operations for it, each a pass over
    memory and a kernel of its own.

    Args:
        kind: ``Adam`` or a class derived from it, without ``amsgrad``.
    """

    class InOnePass(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place = self._get_variable_index(variable)
            step = tf.cast(self.iterations.value + 1, variable.dtype)
            beta_1, beta_2 = (tf.cast(b, variable.dtype) for b in (self.beta_1, self.beta_2))
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[place].value.handle,
                v=self._velocities[place].value.handle,
                beta1_power=tf.pow(beta_1, step),
                beta2_power=tf.pow(beta_2, step),
                lr=tf.cast(learning_rate, variable.dtype),
                beta1=beta_1,
                beta2=beta_2,
                epsilon=tf.cast(self.epsilon, variable.dtype),
                grad=tf.cast(gradient, variable.dtype),
            )

    InOnePass.__name__ = kind.__name__
    return InOnePass


_BUILDERS: dict[str, type[Any]] = {
    "adam": in_one_pass(keras.optimizers.Adam),
    "adamw": in_one_pass(keras.optimizers.AdamW),
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
}


def build_optimizer(
    phase: PhaseRecipe,
    factors: Mapping[int, float] | None = None,
    variables: Sequence[keras.Variable] = (),
) -> keras.optimizers.Optimizer:
    """Build the phase's optimizer at its peak learning rate.

    Weight decay is decoupled (AdamW's form) for every optimizer and spares
    biases, BatchNorm and ConvNeXt's LayerScale; without a value, AdamW keeps its own 0.004.

    Args:
        phase: Optimizer, rate, weight decay, momentum, clipping.
        factors: Factor of the rate by ``id`` of a variable; None leaves it the same for all.
        variables: Those of the network; its scales have no telling name, and are known by
            their one axis.
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
    # Gradients are summed over devices already (``replicas``). Keras' own sum does nothing then
    # but register a gradient of its own with TensorFlow, which holds the step's graph for ever.
    vars(optimizer)["_all_reduce_sum_gradients"] = list
    if optimizer.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        scales = [variable for variable in variables if len(variable.shape) == 1]
        optimizer.exclude_from_weight_decay(var_list=scales)
    return optimizer
