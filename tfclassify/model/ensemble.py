"""Several trained models as one.

Owns: bringing an image to each member's size, and averaging what the members say. Does
not own: the weights (``judging.weights``), the members' files (``bundle``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfclassify.errors import ModelError


def build_ensemble(
    members: Sequence[keras.Model], weights: Sequence[float], image_size: tuple[int, int]
) -> keras.Model:
    """Average the probabilities of several models within one.

    Args:
        members: Models of images 0..255 to probabilities of the same classes.
        weights: One each, positive, summing to 1.
        image_size: ``(height, width)`` of the images that the ensemble takes; they are
            resized within the model, with antialiasing, for a member of another size.

    Returns:
        Images ``(b, height, width, 3)`` float32 in 0..255 to probabilities
        ``(b, classes)`` float32.

    Raises:
        ModelError: If there is not one positive weight a member, or they do not sum to 1,
            or the members' classes differ in number.
    """
    _check(members, weights)
    images = keras.Input((*image_size, 3), name="image")
    shares: list[Any] = []
    for number, (answer, weight) in enumerate(zip(_ask(members, images), weights, strict=True), 1):
        share = keras.layers.Rescaling(float(weight), dtype="float32", name=f"share_{number}")
        shares.append(share(answer))
    joined = shares[0]
    if len(shares) > 1:
        joined = keras.layers.Add(dtype="float32", name="probabilities")(shares)
    return keras.Model(images, joined, name="ensemble")


def lay_side_by_side(members: Sequence[keras.Model], image_size: tuple[int, int]) -> keras.Model:
    """Join models so that each keeps its own answer.

    Args:
        members: As for ``build_ensemble``.
        image_size: As for ``build_ensemble``.

    Returns:
        Images ``(b, height, width, 3)`` to ``(b, members * classes)`` float32, the first
        member's probabilities first.
    """
    images = keras.Input((*image_size, 3), name="image")
    answers = _ask(members, images)
    if len(answers) == 1:
        return keras.Model(images, answers[0], name="members")
    joined = keras.layers.Concatenate(dtype="float32", name="answers")(answers)
    return keras.Model(images, joined, name="members")


def _ask(members: Sequence[keras.Model], images: Any) -> list[Any]:
    """Give the images to every member, at its own size."""
    answers = []
    for number, member in enumerate(members, start=1):
        height, width = member.input_shape[1:3]
        own = images
        if (height, width) != tuple(images.shape[1:3]):
            # No Resizing layer: called without ``training``, it puts what follows it, dropout
            # and all, into training mode.
            own = keras.ops.image.resize(
                images, (height, width), interpolation="bilinear", antialias=True
            )
        # Layers of one model need names of their own; the member's weights are shared.
        named = keras.Model(member.inputs[0], member.outputs[0], name=f"member_{number}")
        answers.append(named(own))
    return answers


def _check(members: Sequence[keras.Model], weights: Sequence[float]) -> None:
    is_whole = abs(sum(weights) - 1.0) <= 1e-6 and all(weight > 0.0 for weight in weights)
    if not members or len(members) != len(weights) or not is_whole:
        raise ModelError(
            f"ensemble: needs one positive weight a member, summing to 1, got {list(weights)} for "
            f"{len(members)} members"
        )
    outputs = {int(member.output_shape[-1]) for member in members}
    if len(outputs) > 1:
        raise ModelError(
            f"ensemble: its members must have the same classes, got {sorted(outputs)} of them"
        )
