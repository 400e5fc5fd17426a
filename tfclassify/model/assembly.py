"""Puts a classifier together: preprocessing, backbone, head.

Owns: how the three are joined, and what they are called. Does not own: what a
backbone is (``backbones``), which part is trained (``freezing``).
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from tfclassify.backbones.building import build_backbone
from tfclassify.backbones.catalog import BackboneSpec, get_backbone
from tfclassify.errors import ModelError
from tfclassify.model.head import build_head
from tfclassify.recipe.schema import ModelRecipe


@dataclass(frozen=True)
class Classifier:
    """One network, and the parts that it is made of; all share their layers.

    Attributes:
        network: Images ``(b, height, width, 3)`` float32 in 0..255 to logits
            ``(b, classes)`` float32.
        backbone: The same images to a feature map ``(b, h, w, c)``; scaling included.
        head: Feature map to logits. Its first layer is named ``pool``, its last
            ``logits``.
        extractor: The backbone's own network, behind the scaling.
        spec: The backbone's facts.
        is_pretrained: Whether the backbone came with weights.
    """

    network: keras.Model
    backbone: keras.Model
    head: keras.Model
    extractor: keras.Model
    spec: BackboneSpec
    is_pretrained: bool


def build_classifier(
    model: ModelRecipe, classes: int, image_size: tuple[int, int], *, seed: int
) -> Classifier:
    """Build the classifier of a recipe.

    The scaling of 0..255 to what the backbone expects is part of the network, so
    that it travels with every copy of the model.

    Args:
        model: Backbone, weights and head.
        classes: Number of classes, at least 2.
        image_size: ``(height, width)`` in pixels.
        seed: Decides every weight that is not pretrained, and every dropout.

    Returns:
        The classifier with everything trainable; see ``apply_freezing``.

    Raises:
        RequestError: If the backbone is unknown.
        ModelError: If the parts do not fit together.
        WeightsError: If the weights cannot be had or do not fit.
    """
    if classes < 2:
        raise ModelError(
            f"model: a classifier needs at least 2 classes, got {classes}; "
            "check data.source and data.classes"
        )
    spec = get_backbone(model.backbone)
    extractor = build_backbone(
        model.backbone, image_size, weights=model.weights, layers=model.layers, seed=seed
    )
    backbone = _join_preprocessing(spec, extractor, image_size)
    head = build_head(model.head, tuple(backbone.output_shape[1:]), classes, seed=seed)
    images = keras.Input((*image_size, 3), name="image")
    network = keras.Model(images, head(backbone(images)), name="classifier")
    return Classifier(network, backbone, head, extractor, spec, model.weights != "none")


def _join_preprocessing(
    spec: BackboneSpec, extractor: keras.Model, image_size: tuple[int, int]
) -> keras.Model:
    """Put the layers of the input contract before the backbone's own network."""
    images = keras.Input((*image_size, 3), name="image")
    x = images
    for layer in spec.contract.as_layers():
        x = layer(x)
    return keras.Model(images, extractor(x), name="backbone")
