"""Loads a ``.keras`` file that anyone may have made, after a look at all of it.

Owns: what may be in such a file, and loading one that holds nothing else. Does not own:
what a network may need of memory (``backbones.footprint``), checksums (``bundle``).

A ``.keras`` file describes objects that Keras brings to life by their names, and Keras'
safe mode lets it name any function of Keras itself. Here a name must be on a list: layers
and operations that compute, what they are set up with, and the activations. Neither code
nor files nor another model can then be reached. The arrays beside the description must lie
in the file as they are, and be as many as the network has weights.
"""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import keras
from keras.src.saving import saving_lib
from keras.src.saving.serialization_lib import ObjectSharingScope

from tfclassify.backbones import preprocessing
from tfclassify.backbones.footprint import check_need, check_size, measure
from tfclassify.backbones.hub_layer import HubFeatures, module_folders
from tfclassify.backbones.presets import import_keras_hub
from tfclassify.backbones.weight_files import list_arrays
from tfclassify.errors import ModelError, explain_unread

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = sorted(("metadata.json", _CONFIG, _WEIGHTS))
#: Bytes and objects of a description; NASNetLarge's takes under a million and 8,000.
_LARGEST_CONFIG, _MOST_OBJECTS = 4 << 20, 40_000
#: Numbers that a network may have and a file not, such as the states of random numbers.
_UNSTORED = 1 << 16
_ADVICE = "it was not loaded; save the model anew, or take it from someone you trust"

#: Module of Keras -> what its classes must be for a file to name them.
_KINDS: dict[str, type] = {
    "keras.layers": keras.Layer,
    "keras.initializers": keras.Initializer,
    "keras.regularizers": keras.Regularizer,
    "keras.constraints": keras.constraints.Constraint,
    "keras.dtype_policies": keras.DTypePolicy,
    **{f"keras.src.ops.{name}": keras.Operation for name in ("numpy", "nn", "math", "image")},
}
#: Layers and operations that call what the file hands them, or read what it names.
_REFUSED = frozenset(
    {
        *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Vectorize"),
        *("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"),
    }
)
_NAMES: dict[str | None, frozenset[str]] = {
    None: frozenset({"__keras_tensor__", "__slice__", "__ellipsis__"}),
    "builtins": frozenset({"__keras_tensor__", "__slice__", "__ellipsis__"}),
    "keras": frozenset({"DTypePolicy", "Functional", "Sequential"}),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.models.sequential": frozenset({"Sequential"}),
    "keras.src.ops.core": frozenset({"Cast", "Slice", "StopGradient", "Unstack"}),
    "keras.src.applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
    preprocessing.__name__: frozenset({"ReverseChannels"}),
    HubFeatures.__module__: frozenset({"HubFeatures"}),
}
#: Types of the constants that operations are given; another could be of any size.
_ARRAYS = ("int32", "float32")
_FUNCTION_MODULES = ("builtins", "keras.activations", "keras.ops")
_NO_ACTIVATIONS = {"get", "serialize", "deserialize"}
#: The backbones and layers of KerasHub; what reads files or text is left out.
_KERAS_HUB = re.compile(r"keras_hub\.src\.(models\.\w+\.\w+|layers\.modeling\.\w+)")
_NO_LAYER = re.compile(r"(Tokenizer|Preprocessor|Converter|Segmenter|LM)$")
#: The name that a class of another package is registered by; Keras looks for it first.
_REGISTERED = re.compile(r"[A-Za-z_]\w*>\w+")

Modules = Mapping[str, Path]
_NO_MODULES: Modules = MappingProxyType({})


def load_keras_file(path: Path, modules: Modules = _NO_MODULES) -> keras.Model:
    """Load a model that is made of nothing but what computes.

    Args:
        path: A ``.keras`` file.
        modules: The folder of each hub module that it may run, by name.

    Raises:
        ModelError: If it is no such file, holds what is not allowed, would fill the
            memory, or Keras cannot load it.
    """
    config = check_keras_file(path, modules)
    if any(str(entry.get("module")).startswith("keras_hub.") for entry in _walk(config)):
        import_keras_hub()  # Keras finds its classes by their having been imported
    try:
        with module_folders(modules):
            weights, stored = _read_weights(path)
            _check_size(path, config, stored)
            return _load(config, weights)
    except ModelError:
        raise
    except Exception as error:  # whatever a description that nobody wrote makes Keras raise
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"{path}: Keras cannot load it: {type(error).__name__}: {reason}; save the model anew "
            "with this version of Keras"
        ) from error


def check_keras_file(path: Path, modules: Modules = _NO_MODULES) -> dict[str, Any]:
    """Refuse a file that describes anything but what computes; arguments as ``load_keras_file``.

    Returns:
        The description, without what compiled models were compiled with.
    """
    config = _read_config(path)
    for entry in _walk(config):
        entry.pop("compile_config", None)
    entries = list(_walk(config))
    if len(entries) > _MOST_OBJECTS:
        raise ModelError(f"{path}: describes more than {_MOST_OBJECTS:,} objects; {_ADVICE}")
    for entry in entries:
        _check_entry(path, entry, modules)
    texts = (part for key, part in _visit(config) if key != "registered_name")
    if any(isinstance(text, str) and _REGISTERED.fullmatch(text) for text in texts):
        raise ModelError(f"{path}: names a registered class where a plain text belongs; {_ADVICE}")
    return config


def _read_config(path: Path) -> dict[str, Any]:
    """Read the description of the model's layers."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.namelist())
            if members != _MEMBERS:
                raise ModelError(f"{path}: holds {members} instead of {_MEMBERS}; {_ADVICE}")
            if archive.getinfo(_CONFIG).file_size > _LARGEST_CONFIG:
                raise ModelError(
                    f"{path}: its description is over {_LARGEST_CONFIG} bytes; {_ADVICE}"
                )
            config = json.loads(archive.read(_CONFIG))
            if not isinstance(config, dict):
                raise ValueError("its description is no object")
            return config
    except (OSError, zipfile.BadZipFile, ValueError, RecursionError, RuntimeError) as error:
        reason = explain_unread(error, "save one with model.save('model.keras')")
        raise ModelError(f"{path}: is not a readable Keras model: {reason}") from error


def _visit(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every part of a description with the key that it stands under."""
    pending = [("", value)]
    while pending:
        key, part = pending.pop()
        yield key, part
        if isinstance(part, dict):
            pending.extend(part.items())
        elif isinstance(part, list):
            pending.extend((key, item) for item in part)


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object that a description would bring to life."""
    return (part for _, part in _visit(value) if isinstance(part, dict) and "class_name" in part)


def _check_entry(path: Path, entry: dict[str, Any], modules: Modules) -> None:
    """Refuse an object that is not on the list."""
    module, name = entry.get("module"), entry["class_name"]
    config, registered = entry.get("config"), entry.get("registered_name")
    if name == "__numpy__":
        is_allowed = module is None and isinstance(config, dict) and config.get("dtype") in _ARRAYS
    elif name == "function":
        name = config
        is_allowed = module in _FUNCTION_MODULES and _is_activation(name)
        is_allowed = is_allowed and registered in (None, name)
    else:
        package = str(module).partition(".")[0]
        is_allowed = _is_allowed(module, name)
        is_allowed = is_allowed and registered in (None, name, f"{package}>{name}")
    if not is_allowed:
        raise ModelError(
            f"{path}: holds {name!r} of {module!r} (registered as {registered!r}), which is no "
            "layer or setting of a network; it was not loaded, since such an object can run code "
            "or read files. Rebuild the model from Keras' own layers, or profile its SavedModel"
        )
    wanted = config.get("module") if isinstance(config, dict) else None
    if module == HubFeatures.__module__ and wanted not in modules:
        raise ModelError(
            f"{path}: runs the hub module {wanted!r}, which is not in its bundle; it was not "
            "loaded. Load the bundle's folder, not its model alone, or train the model again"
        )


def _is_activation(name: Any) -> bool:
    found = getattr(keras.activations, name, None) if isinstance(name, str) else None
    return callable(found) and name not in _NO_ACTIVATIONS


def _is_allowed(module: Any, name: Any) -> bool:
    """Say whether a class may be part of a network."""
    if not isinstance(name, str) or not (module is None or isinstance(module, str)):
        return False
    if name in _NAMES.get(module, ()):
        return True
    if module in _KINDS and name not in _REFUSED:
        found = vars(import_module(module)).get(name)
        return isinstance(found, type) and issubclass(found, _KINDS[module])
    is_preset = module is not None and _KERAS_HUB.fullmatch(module) is not None
    return is_preset and _NO_LAYER.search(name) is None


def _read_weights(path: Path) -> tuple[io.BytesIO, int]:
    """Read a file's arrays, and count their numbers after a look at each.

    Raises:
        ModelError: If an array is packed, leads elsewhere, or is not numbers in the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(_WEIGHTS)
            if entry.compress_type != zipfile.ZIP_STORED:
                raise ModelError(f"{path}: its weights are packed, as Keras does not; {_ADVICE}")
            check_size(str(path), entry.file_size, "take a smaller network")
            content = io.BytesIO(archive.read(entry))
        with h5py.File(content, "r") as file:
            arrays = [(each.nbytes, each.size, each.chunks) for each in list_arrays(file)]
    except (OSError, KeyError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: its weights cannot be read ({error}); {_ADVICE}") from error
    total = sum(nbytes for nbytes, _, _ in arrays)
    if total > entry.file_size or any(chunks for _, _, chunks in arrays):
        raise ModelError(
            f"{path}: its weights are packed, or claim {total:,} bytes in {entry.file_size:,} "
            f"bytes of file; {_ADVICE}"
        )
    return content, sum(size for _, size, _ in arrays)


def _build(config: dict[str, Any]) -> keras.Model:
    with ObjectSharingScope():
        return keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)


def _check_size(path: Path, config: dict[str, Any], stored: int) -> None:
    """Refuse a network of more weights than the file holds, or than the machine could run."""
    footprint = measure(lambda: _build(config))
    if footprint.parameters > stored + _UNSTORED:
        raise ModelError(
            f"{path}: describes {footprint.parameters:,} weights, but holds {stored:,}; {_ADVICE}"
        )
    check_need(str(path), footprint.to_run(), footprint, "take a smaller network")


def _load(config: dict[str, Any], weights: io.BytesIO) -> keras.Model:
    """Make the network by the very description and arrays that were looked at."""
    model, failed, reasons = _build(config), set[int](), dict[int, Any]()
    saving_lib._load_state(
        model,
        weights_store=saving_lib.H5IOStore(weights, mode="r"),
        assets_store=None,
        inner_path="",
        visited_saveables=set(),
        failed_saveables=failed,
        error_msgs=reasons,
    )
    if failed:
        saving_lib._raise_loading_failure(reasons)
    return model
