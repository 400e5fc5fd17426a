"""Puts a classifier together: preprocessing, backbone or stack of them, head.

Owns: how the parts are joined, and what they are called. Does not own: what a
backbone is (``backbones``), which part is trained (``freezing``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tfclassify.backbones.building import build_network
from tfclassify.backbones.catalog import PRESET, BackboneSpec, find_spec
from tfclassify.backbones.footprint import check_need, measure
from tfclassify.backbones.hub_modules import PREFIX
from tfclassify.backbones.rebuilding import rebuild
from tfclassify.errors import ModelError
from tfclassify.model.head import build_head, make_pool
from tfclassify.recipe.schema import HeadRecipe, ModelRecipe, StackMemberRecipe


@dataclass(frozen=True)
class Member:
    """One backbone of a classifier; a stack has several.

    Attributes:
        spec: The backbone's facts.
        extractor: The backbone's own network, behind the scaling.
        is_pretrained: Whether it came with weights.
    """

    spec: BackboneSpec
    extractor: keras.Model
    is_pretrained: bool


@dataclass(frozen=True)
class Classifier:
    """One network, and the parts that it is made of; all share their layers.

    Attributes:
        network: Images ``(b, height, width, 3)`` float32 in 0..255 to logits
            ``(b, classes)`` float32.
        backbone: The same images to a feature map ``(b, h, w, c)``; scaling included.
            That of a stack has h and w of 1: its members are pooled already.
        head: Feature map to logits. Its first layer is named ``pool``, its last
            ``logits``.
        members: The backbones: one, or those of the stack in their order.
    """

    network: keras.Model
    backbone: keras.Model
    head: keras.Model
    members: tuple[Member, ...]

    @property
    def extractor(self) -> keras.Model:
        """Return the first member's own network."""
        return self.members[0].extractor

    @property
    def spec(self) -> BackboneSpec:
        """Return the first member's facts."""
        return self.members[0].spec


def build_classifier(
    model: ModelRecipe, classes: int, image_size: tuple[int, int], *, seed: int
) -> Classifier:
    """Build the classifier of a recipe.

    The scaling of 0..255 to what each backbone expects is part of the network, so
    that it travels with every copy of the model. The members of a stack see the same
    images; each is pooled as ``head.pool`` says, and the vectors are put end to end.

    Args:
        model: Backbone or stack, weights and head.
        classes: Number of classes, at least 2.
        image_size: ``(height, width)`` in pixels.
        seed: Decides every weight that is not pretrained, and every dropout.

    Returns:
        The classifier with everything trainable; see ``apply_freezing``.

    Raises:
        RequestError: If a backbone is unknown.
        ModelError: If the parts do not fit together.
        WeightsError: If the weights cannot be had or do not fit.
    """
    if classes < 2:
        raise ModelError(
            f"model: a classifier needs at least 2 classes, got {classes}; "
            "check data.source and data.classes"
        )
    if not any(name.startswith((PREFIX, PRESET)) for name in _list_backbones(model)):
        plain = _drop_weights(model)
        footprint = measure(lambda: _assemble(plain, classes, image_size, seed).network)
        check_need(
            "model", footprint.to_run(), footprint, "use a smaller data.image_size, or fewer units"
        )
    return _assemble(model, classes, image_size, seed)


def replace_head(
    classifier: Classifier, head: HeadRecipe, classes: int, *, seed: int
) -> Classifier:
    """Build another classifier on the backbone of one; both then share it and its weights.

    Args:
        classifier: Whose backbone it is.
        head: The new head's options; of a stack, ``pool`` must be that of the old one.
        classes: Number of classes.
        seed: Decides the weights of the head.

    Raises:
        ModelError: If the head does not fit into the memory, or does not fit together.
    """
    shape = tuple(classifier.backbone.output_shape[1:])
    footprint = measure(lambda: build_head(head, shape, classes, seed=seed))
    check_need("model.head", footprint.to_run(), footprint, "use fewer units")
    return _put_head(classifier.backbone, classifier.members, head, classes, seed)


def list_uses(classifier: Classifier) -> list[list[Any]]:
    """Return the lists in which Keras keeps what a classifier's backbone was joined to.

    Whatever is in them is held for as long as the backbone is, such as the heads of
    classifiers that share it.
    """
    ends = [tensor._keras_history.operation for tensor in classifier.backbone.outputs]
    joints = [classifier.backbone, *ends]
    return [nodes for each in joints for nodes in (each._inbound_nodes, each._outbound_nodes)]


def _list_backbones(model: ModelRecipe) -> list[str]:
    return [member.backbone for member in model.stack] or [model.backbone]


def _drop_weights(model: ModelRecipe) -> ModelRecipe:
    """Leave weights out, which take the same memory whatever they are."""
    none = {"weights": "none", "weights_sha256": None}
    stack = tuple(member.model_copy(update=none) for member in model.stack)
    return model.model_copy(update={**none, "stack": stack})


def _assemble(
    model: ModelRecipe, classes: int, image_size: tuple[int, int], seed: int
) -> Classifier:
    members = _build_members(model, image_size, seed)
    is_grey = model.colour == "grey"
    parts = [_join_preprocessing(member, image_size, is_grey=is_grey) for member in members]
    backbone = parts[0]
    if model.stack:
        backbone = _stack(parts, model.head.pool, image_size)
    return _put_head(backbone, members, model.head, classes, seed)


def _put_head(
    backbone: keras.Model, members: tuple[Member, ...], head: HeadRecipe, classes: int, seed: int
) -> Classifier:
    last = build_head(head, tuple(backbone.output_shape[1:]), classes, seed=seed)
    images = keras.Input(backbone.input_shape[1:], name="image")
    network = keras.Model(images, last(backbone(images)), name="classifier")
    return Classifier(network, backbone, last, members)


def _build_members(
    model: ModelRecipe, image_size: tuple[int, int], seed: int
) -> tuple[Member, ...]:
    """Build the backbone of a recipe, or each of its stack."""
    alone = StackMemberRecipe(
        backbone=model.backbone,
        weights=model.weights,
        weights_sha256=model.weights_sha256,
        input_range=model.input_range,
    )
    members = []
    for number, recipe in enumerate(model.stack or (alone,), start=1):
        spec = find_spec(recipe.backbone, recipe.input_range)
        extractor = build_network(
            spec,
            image_size,
            weights="none" if model.channels else recipe.weights,
            weights_sha256=recipe.weights_sha256,
            layers=model.layers,
            channels=1 if model.colour == "grey" else 3,
            seed=seed,
            part="backbone" if number == 1 else f"backbone {number}",
        )
        extractor = _rebuild(extractor, model)
        members.append(Member(spec, extractor, recipe.weights != "none"))
    return tuple(members)


def _rebuild(extractor: keras.Model, model: ModelRecipe) -> keras.Model:
    """Make the network narrower or pad it otherwise, where the recipe says so."""
    is_symmetric = model.padding == "symmetric"
    rebuilt = rebuild(extractor, model.channels, is_symmetric=is_symmetric)
    if rebuilt is not extractor and not model.channels:
        rebuilt.set_weights(extractor.get_weights())
    return rebuilt


def _join_preprocessing(
    member: Member, image_size: tuple[int, int], *, is_grey: bool
) -> keras.Model:
    """Put the layers of the input contract, and grey, before a backbone's own network."""
    images = keras.Input((*image_size, 3), name="image")
    x = images
    for layer in member.spec.contract.as_layers():
        x = layer(x)
    if is_grey:
        x = keras.ops.image.rgb_to_grayscale(x, data_format="channels_last")
    return keras.Model(images, member.extractor(x), name="backbone")


def _stack(parts: Sequence[keras.Model], pool: str, image_size: tuple[int, int]) -> keras.Model:
    """Join backbones into one whose features are those of all, pooled."""
    images = keras.Input((*image_size, 3), name="image")
    pooled: list[Any] = []
    for number, part in enumerate(parts, start=1):
        part.name = f"member{number}"  # layers of one model need names of their own
        pooled.append(make_pool(pool, f"member{number}_pool")(part(images)))
    joined = keras.layers.Concatenate(name="joined")(pooled)
    features = keras.layers.Reshape((1, 1, joined.shape[-1]), name="as_map")(joined)
    return keras.Model(images, features, name="backbone")
