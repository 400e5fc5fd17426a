"""Learning rates that fall from block to block, from the head down to the input.

Owns: the factor of each variable and an optimizer that keeps to them. Does not own: what
a block is (``backbones.blocks``), the rate itself (``schedules``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfclassify.backbones.blocks import split_blocks
from tfclassify.model.assembly import Classifier


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
