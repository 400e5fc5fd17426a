"""Puts a classifier together: preprocessing, backbone or stack of them, head.

Owns: how the parts are joined and what they are called, what ``model.head`` means, the same
classifier with another head or for images of another size. Does not own: what a backbone is
(``backbones``), which part is trained (``freezing``), when sizes change (``training.phases``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from tfclassify.backbones.building import build_network, seeded_construction
from tfclassify.backbones.catalog import PRESET, BackboneSpec, find_spec
from tfclassify.backbones.footprint import check_need, measure
from tfclassify.backbones.hub_modules import PREFIX
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.backbones.rebuilding import rebuild
from tfclassify.errors import ModelError
from tfclassify.recipe.schema import HeadRecipe, ModelRecipe, StackMemberRecipe


@dataclass(frozen=True)
class StackMember:
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
    members: tuple[StackMember, ...]

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
    backbone: keras.Model,
    members: tuple[StackMember, ...],
    head: HeadRecipe,
    classes: int,
    seed: int,
) -> Classifier:
    last = build_head(head, tuple(backbone.output_shape[1:]), classes, seed=seed)
    images = keras.Input(backbone.input_shape[1:], name="image")
    network = keras.Model(images, last(backbone(images)), name="classifier")
    return Classifier(network, backbone, last, members)


def _build_members(
    model: ModelRecipe, image_size: tuple[int, int], seed: int
) -> tuple[StackMember, ...]:
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
        members.append(StackMember(spec, extractor, recipe.weights != "none"))
    return tuple(members)


def _rebuild(extractor: keras.Model, model: ModelRecipe) -> keras.Model:
    """Make the network narrower or pad it otherwise, where the recipe says so."""
    is_symmetric = model.padding == "symmetric"
    rebuilt = rebuild(extractor, model.channels, is_symmetric=is_symmetric)
    if rebuilt is not extractor and not model.channels:
        rebuilt.set_weights(extractor.get_weights())
    return rebuilt


def _join_preprocessing(
    member: StackMember, image_size: tuple[int, int], *, is_grey: bool
) -> keras.Model:
    """Put the layers of the input contract, and grey, before a backbone's own network."""
    images = keras.Input((*image_size, 3), name="image")
    x = images
    for layer in make_preprocessing(member.spec.contract):
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


def build_head(
    recipe: HeadRecipe, feature_shape: tuple[int, int, int], classes: int, *, seed: int
) -> keras.Model:
    """Build pooling, dropout, the dense stack and the class layer.

    A dense layer is kernel, BatchNorm where asked, activation. L1 and L2 apply to
    every kernel of the head, the class layer's included. The class layer computes in
    float32 even under mixed precision.

    Args:
        recipe: The head's options.
        feature_shape: ``(h, w, c)`` of the feature map.
        classes: Number of classes.
        seed: Decides the kernels and the dropouts.

    Returns:
        Features ``(b, h, w, c)`` to logits ``(b, classes)`` float32. The pooling layer
        is named ``pool``, the class layer ``logits``.

    Raises:
        ModelError: If Keras knows no such activation or initialiser.
    """
    with seeded_construction(seed, "head"):
        features = keras.Input(feature_shape, name="features")
        x = make_pool(recipe.pool, "pool")(features)
        if recipe.dropout:
            x = keras.layers.Dropout(recipe.dropout, name="dropout")(x)
        for number, units in enumerate(recipe.dense, start=1):
            x = _apply_dense(x, recipe, units, number)
        if recipe.final_dropout:
            x = keras.layers.Dropout(recipe.final_dropout, name="final_dropout")(x)
        logits = keras.layers.Dense(
            classes,
            kernel_initializer=_make_initializer(recipe.initializer),
            kernel_regularizer=_make_regularizer(recipe),
            dtype="float32",
            name="logits",
        )(x)
        return keras.Model(features, logits, name="head")


def make_pool(pool: str, name: str) -> keras.Layer:
    """Make the layer that turns a feature map into a vector: average, max or flatten."""
    kinds = {
        "average": keras.layers.GlobalAveragePooling2D,
        "max": keras.layers.GlobalMaxPooling2D,
        "flatten": keras.layers.Flatten,
    }
    return kinds[pool](name=name)


def _apply_dense(x: Any, recipe: HeadRecipe, units: int, number: int) -> Any:
    """Apply one dense layer of the stack."""
    x = keras.layers.Dense(
        units,
        kernel_initializer=_make_initializer(recipe.initializer),
        kernel_regularizer=_make_regularizer(recipe),
        name=f"dense{number}",
    )(x)
    if recipe.batch_norm:
        x = keras.layers.BatchNormalization(name=f"dense{number}_bn")(x)
    try:
        activation = keras.layers.Activation(recipe.activation, name=f"dense{number}_activation")
    except ValueError as error:
        raise ModelError(
            f"model.head.activation: unknown activation {recipe.activation!r}; "
            "use relu, gelu, silu, elu, tanh or another that Keras knows"
        ) from error
    return activation(x)


def _make_initializer(name: str) -> keras.Initializer:
    """Make a kernel initialiser; each call makes one that draws other numbers."""
    try:
        return keras.initializers.get(name)
    except ValueError as error:
        raise ModelError(
            f"model.head.initializer: unknown initialiser {name!r}; "
            "use glorot_uniform, he_normal, lecun_normal or another that Keras knows"
        ) from error


def _make_regularizer(recipe: HeadRecipe) -> keras.Regularizer | None:
    """Make the penalty on a kernel, or None where there is none."""
    if not recipe.l1 and not recipe.l2:
        return None
    return keras.regularizers.L1L2(l1=recipe.l1, l2=recipe.l2)


def resize_classifier(
    classifier: Classifier, model: ModelRecipe, image_size: tuple[int, int], where: str
) -> Classifier:
    """Build a classifier for images of another size that shares all its numbers with the first.

    Paddings of several networks follow from the size of the images, so the network is built
    anew for its size instead of its layers being called on another one. Its variables then
    stand for the very numbers of the first network: what changes one changes the other.

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
    _share_variables(classifier.network, resized.network, where)
    members = tuple(
        replace(own, is_pretrained=first.is_pretrained)
        for own, first in zip(resized.members, classifier.members, strict=True)
    )
    return replace(resized, members=members)


def _share_variables(first: keras.Model, other: keras.Model, where: str) -> None:
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
