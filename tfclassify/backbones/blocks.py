"""Tells the blocks of a network apart, for training only the last of them.

Owns: the cut into blocks. Does not own: the rules (``catalog``), freezing (``model``).
"""

from __future__ import annotations

import re

import keras

from tfclassify.backbones.catalog import BlockRule

#: Layers of a network that only wraps another: input, the other, a reshape.
_WRAPPED = 3


def split_blocks(network: keras.Model, rule: BlockRule) -> list[list[keras.Layer]]:
    """Cut a network into blocks from input to output.

    The stem is the first block, or part of it if it has no weights or if the rule
    marks ends. What follows the last block that
    the rule names belongs to that block: whoever trains it trains the rest too.

    Args:
        network: A network that ``build_backbone`` made.
        rule: The ``results`` of its backbone.

    Returns:
        The network's layers, each in exactly one block; nested models count as one
        layer.
    """
    if rule.marks_end:
        return _split_at_ends(network, rule.pattern)
    blocks: dict[str, list[keras.Layer]] = {}
    current = ""  # the stem
    for layer in list_own_layers(network):
        match = re.search(rule.pattern, layer.name)
        current = match.group(1) if match else current
        blocks.setdefault(current, []).append(layer)
    first, *others = blocks.values()
    if others and not any(layer.weights for layer in first):
        others[0][:0] = first
        return others
    return [first, *others]


def list_own_layers(network: keras.Model) -> list[keras.Layer]:
    """List the layers that blocks are made of, from input to output.

    Those of a preset of KerasHub lie within its backbone, which is a layer by itself.
    """
    inner = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    is_wrapped = len(inner) == 1 and len(network.layers) <= _WRAPPED
    return list(inner[0].layers if is_wrapped else network.layers)


def _split_at_ends(network: keras.Model, pattern: str) -> list[list[keras.Layer]]:
    """Cut behind every layer whose name matches."""
    blocks: list[list[keras.Layer]] = [[]]
    for layer in list_own_layers(network):
        blocks[-1].append(layer)
        if re.search(pattern, layer.name):
            blocks.append([])
    return [block for block in blocks if block]
