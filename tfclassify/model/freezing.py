"""Decides which layers a phase trains.

Owns: ``phases[].train`` and ``model.batch_norm``. Does not own: what a block of a
backbone is (``backbones.blocks``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import keras

from tfclassify.backbones.blocks import list_own_layers, split_blocks
from tfclassify.backbones.hub_layer import HubFeatures
from tfclassify.errors import ModelError
from tfclassify.model.assembly import Classifier, StackMember
from tfclassify.recipe.schema import TrainPartRecipe

Train = Literal["head", "all"] | TrainPartRecipe
BatchNorm = Literal["auto", "frozen", "trained"]


def apply_freezing(classifier: Classifier, train: Train, batch_norm: BatchNorm) -> int:
    """Set what is trainable; what an earlier phase had set is forgotten.

    A frozen BatchNorm runs in inference mode even when the network is called with
    ``training=True``: it uses its moving statistics, and neither they nor its scale
    and shift change. The small batches of fine-tuning would ruin what it learnt.
    BatchNorms of the head are trained always.

    Args:
        classifier: The network.
        train: ``head``; ``all``; the last n blocks of the backbone; or all but its
            first n layers, counted as in ``extractor.layers[:n]``. The head is always
            trained. In a stack the count holds for each member.
        batch_norm: Of the backbone. ``frozen``; ``trained`` with the layers around
            it; ``auto``, frozen if and only if the backbone is pretrained. A hub
            module, which is one piece, then runs as in inference altogether.

    Returns:
        The numbers that are trained.

    Raises:
        ModelError: If a backbone has fewer blocks or layers than asked for, or none.
    """
    _thaw(classifier.network)
    for member in classifier.members:
        for layer in _choose_frozen(member, train):
            _freeze(layer)
        is_kept = batch_norm == "frozen" or (batch_norm == "auto" and member.is_pretrained)
        _keep_statistics(member.extractor, is_kept)
    return sum(math.prod(variable.shape) for variable in classifier.network.trainable_variables)


def _keep_statistics(extractor: keras.Model, is_kept: bool) -> None:
    """Freeze the BatchNorms of a backbone, or leave them as the layers around them."""
    for layer in list_leaves(extractor):
        if isinstance(layer, HubFeatures):
            layer.keeps_statistics = is_kept
        for part in layer._flatten_layers():  # composite layers hold BatchNorms too
            if is_kept and isinstance(part, keras.layers.BatchNormalization):
                part.trainable = False


def _freeze(layer: keras.Layer) -> None:
    """Freeze a layer, and those within it if it is a model."""
    layer.trainable = False
    if isinstance(layer, keras.Model):
        for inner in layer.layers:
            _freeze(inner)


def _thaw(model: keras.Model) -> None:
    """Make every layer trainable, those of nested models included.

    One by one, because Keras passes a value on to the layers of a model only when
    it is not the value that the model itself already has.
    """
    model.trainable = True
    for layer in model.layers:
        layer.trainable = True
        if isinstance(layer, keras.Model):
            _thaw(layer)


def _choose_frozen(member: StackMember, train: Train) -> list[keras.Layer]:
    """List the layers of a backbone that a phase leaves alone."""
    layers = list_own_layers(member.extractor)
    if train == "all":
        return []
    if train == "head":
        return list(member.extractor.layers)
    if any(isinstance(layer, HubFeatures) for layer in layers):
        raise ModelError(
            f"phases[].train: {member.spec.name!r} is one piece without blocks or layers, got "
            f"{train.model_dump(exclude_none=True)}; use train: head or train: all"
        )
    if train.freeze_layers is not None:
        _check_count("freeze_layers", train.freeze_layers, len(layers), "layers", member)
        return list(layers[: train.freeze_layers])
    blocks = split_blocks(member.extractor, member.spec.blocks)
    count = train.last_blocks or 0
    _check_count("last_blocks", count, len(blocks), "blocks", member)
    return [layer for block in blocks[: len(blocks) - count] for layer in block]


def _check_count(key: str, asked: int, present: int, unit: str, member: StackMember) -> None:
    """Refuse more than there is."""
    if asked > present:
        raise ModelError(
            f"phases[].train.{key}: got {asked}, but {member.spec.name} has {present} {unit}; "
            f"use at most {present}, or train: {'all' if key == 'last_blocks' else 'head'}"
        )


def list_leaves(model: keras.Model) -> Iterator[keras.Layer]:
    """Yield the layers that do the work, those of nested models included."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from list_leaves(layer)
        else:
            yield layer
