"""The same classifier for images of another size, on the same weights.

Owns: building it, what rules it out, and the sharing of the weights. Does not own: which
sizes a training goes through (``training.phases``).

Paddings of several networks follow from the size of the images, so the network is built anew
for its size instead of its layers being called on another one. Its variables then stand for
the very numbers of the first network: what changes one changes the other.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras

from tfclassify.errors import ModelError
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.recipe.schema import ModelRecipe


def resize_classifier(
    classifier: Classifier, model: ModelRecipe, image_size: tuple[int, int], where: str
) -> Classifier:
    """Build a classifier for images of another size that shares all its numbers with the first.

    Args:
        classifier: The first.
        model: What it was built from.
        image_size: ``(height, width)`` in pixels.
        where: The key that asks for it, for messages.

    Returns:
        Itself, where it takes images of that size already.

    Raises:
        ModelError: If the size of the images is part of the network's weights, or the network
            cannot be built for it.
    """
    if tuple(classifier.network.input_shape[1:3]) == tuple(image_size):
        return classifier
    classes = classifier.network.output_shape[-1]
    try:
        resized = build_classifier(model, classes, image_size, seed=0)
    except ModelError as error:
        raise ModelError(
            f"{where}: there is no such network for images of {image_size[0]}x{image_size[1]}: "
            f"{error}"
        ) from error
    _share(classifier.network, resized.network, where)
    members = tuple(
        replace(own, is_pretrained=first.is_pretrained)
        for own, first in zip(resized.members, classifier.members, strict=True)
    )
    return replace(resized, members=members)


def _share(first: keras.Model, other: keras.Model, where: str) -> None:
    """Let each variable of a network stand for that of the first, seeds of dropout included."""
    pairs = list(zip(first.variables, other.variables, strict=False))
    differing = [own for given, own in pairs if tuple(given.shape) != tuple(own.shape)]
    if differing or len(first.variables) != len(other.variables):
        example = f", such as {differing[0].path}" if differing else ""
        raise ModelError(
            f"{where}: the size of the images is part of this network's weights{example}, so a "
            "phase cannot have one of its own; remove the key, or take a backbone of convolutions "
            "under a pool of average or max"
        )
    for given, own in pairs:
        own._value = given._value
    for layer in other._flatten_layers():
        finalize: Any = getattr(layer, "finalize_state", None)
        if finalize is not None:  # a Normalization keeps constants that follow from its weights
            finalize()
