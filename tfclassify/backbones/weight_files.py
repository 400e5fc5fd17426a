"""Puts the weights of an HDF5 file into a network: ``weights: <path>``.

Owns: reading arrays out of HDF5 and matching them to layers by their order. Nothing
else of the file is used: no model is rebuilt from it and no object comes to life.
Does not own: where ImageNet weights come from (``building``).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from tfclassify.errors import WeightsError, explain_unread

#: Bytes that the arrays may take for each byte of the file; weights hardly compress.
_LARGEST_RATIO = 8
#: Layers with weights in the largest top, which is VGG's.
_LARGEST_TOP = 3
#: What h5py raises at a damaged file, apart from OSError.
_DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


#: A layer's name in a file, and its arrays, unread.
_StoredLayer = tuple[str, list[h5py.Dataset]]


def load_weight_file(network: keras.Model, path: Path) -> None:
    """Set every weight of a backbone from a file of the same architecture.

    Reads the two kinds that Keras writes: ``.weights.h5`` and the older ``.h5`` that
    ``keras.applications`` is published in. The file may be of the network with its top
    or without; the top is left aside. Layers are matched in their order, since their
    names differ from one Keras to the next.

    Args:
        network: A network that ``build_backbone`` made.
        path: The file.

    Raises:
        WeightsError: If the file is missing, is a whole model, is damaged or unsafe,
            or belongs to another network.
    """
    if not path.is_file():
        raise WeightsError(
            f"model.weights: there is no file {str(path)!r}; give imagenet, none, "
            "or the path of a .weights.h5 or .h5 file, relative to the working folder"
        )
    try:
        with h5py.File(path, "r") as file:
            _check_contents(file, path)
            if _read_names(file, "layer_names"):
                _load_ordered(network, _list_layers(file), path)
                _correct_normalization(network)
                return
    except _DAMAGE as error:
        reason = explain_unread(error, "give a .weights.h5 or .h5 file")
        raise WeightsError(f"{path}: not a readable HDF5 file: {reason}") from error
    _load_nested(network, path)
    _correct_normalization(network)


def _check_contents(file: h5py.File, path: Path) -> None:
    """Refuse whole models, links out of the file, and arrays that are not numbers."""
    if "model_config" in file.attrs or "model_weights" in file:
        raise WeightsError(
            f"{path}: a whole model in HDF5, which is not loaded for safety; "
            "save its weights alone with model.save_weights('name.weights.h5')"
        )
    try:
        total = sum(array.nbytes for array in list_arrays(file))
    except ValueError as error:
        raise WeightsError(f"{path}: {error}; a weight file holds nothing else") from error
    if total > _LARGEST_RATIO * path.stat().st_size:
        raise WeightsError(
            f"{path}: declares {total} bytes of arrays in {path.stat().st_size} bytes of file; "
            "it is damaged or hostile"
        )


def list_arrays(file: h5py.File) -> Iterator[h5py.Dataset]:
    """Yield every array of a file, each once however many hard links lead to it.

    Raises:
        ValueError: If something is a link, or no array of numbers that lie in the file.
    """
    pending, seen = [file["/"]], set()
    while pending:
        group = pending.pop()
        for name in group:
            # A link could name another file; what it points to is not even opened.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{group.name.rstrip('/')}/{name} is a link")
            part = group[name]
            place = h5py.h5o.get_info(part.id).addr
            is_new = place not in seen
            seen.add(place)
            is_array = isinstance(part, h5py.Dataset) and part.dtype.kind in "fiub"
            if is_new and isinstance(part, h5py.Group):
                pending.append(part)
            elif is_new and is_array and not (part.external or part.is_virtual):
                yield part
            elif is_new:
                raise ValueError(f"{group.name.rstrip('/')}/{name} is not a plain array of numbers")


def _read_names(group: h5py.Group, key: str) -> list[str]:
    """Read a list of names, which Keras cuts into numbered pieces when it is long."""
    pieces = [key] if key in group.attrs else []
    while f"{key}{len(pieces)}" in group.attrs and key not in group.attrs:
        pieces.append(f"{key}{len(pieces)}")
    names = [name for piece in pieces for name in group.attrs[piece]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _list_layers(file: h5py.File) -> list[_StoredLayer]:
    """List the layers of an older file that have weights, in their order."""
    layers = []
    for name in _read_names(file, "layer_names"):
        arrays = [file[name][array] for array in _read_names(file[name], "weight_names")]
        if arrays:
            layers.append((name, arrays))
    return layers


def _load_ordered(network: keras.Model, stored: list[_StoredLayer], path: Path) -> None:
    """Match layers by order; every shape is checked before anything is changed."""
    layers = [layer for layer in network.layers if layer.weights]
    if not len(layers) <= len(stored) <= len(layers) + _LARGEST_TOP:
        raise _mismatch(
            network, path, f"it has {len(stored)} layers with weights, the network {len(layers)}"
        )
    pairs = []
    for layer, (name, arrays) in zip(layers, stored, strict=False):
        # The older files' order: what is trained, then statistics.
        variables = [*layer.trainable_weights, *layer.non_trainable_weights]
        wanted = [tuple(variable.shape) for variable in variables]
        got = [array.shape for array in arrays]
        if wanted != got:
            detail = f"its layer {name!r} has the shapes {got}, the network's {layer.name!r}"
            raise _mismatch(network, path, f"{detail} has {wanted}")
        pairs.append((layer, variables, arrays))
    for layer, variables, arrays in pairs:
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array[()])
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def _load_nested(network: keras.Model, path: Path) -> None:
    """Let Keras read a file in its present format, arrays only."""
    if not path.name.endswith(".weights.h5"):
        raise WeightsError(
            f"{path}: no layer names in it; if Keras 3 wrote it, name it *.weights.h5"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns of layers that a file lacks
            network.load_weights(path)
    except (UserWarning, *_DAMAGE) as error:
        reason = " ".join(str(error).split())
        raise _mismatch(network, path, f"Keras says: {reason[:300]}") from error


def _mismatch(network: keras.Model, path: Path, detail: str) -> WeightsError:
    """Make the error of a file that belongs to another network."""
    return WeightsError(
        f"{path}: not the weights of {network.name}: {detail}; "
        "give a file of the same backbone, or name the backbone that it belongs to"
    )


def _correct_normalization(network: keras.Model) -> None:
    """Undo a quirk of EfficientNet's published files.

    Their normalisation stores the deviation in place of the variance; Keras makes up
    for it with one more layer, but only for ``weights="imagenet"``. Storing the true
    variance gives the same numbers for a file that is given by its path.
    """
    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            variance = np.asarray(layer.adapt_variance)
            if np.allclose(variance, _IMAGENET_DEVIATION, atol=1e-3):
                layer.adapt_variance.assign(variance**2)
                layer.finalize_state()
