"""Says what may be inside a saved model, before Keras reads it.

Owns: the allow-list of what a classifier is made of. Keras' own safe mode stays on as
well; this list is shorter, and is read from the file without running anything.
Does not own: checksums and the bundle's other parts (``bundle``).
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tfclassify.errors import BundleError

_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
_LARGEST_CONFIG = 64 << 20  # bytes; ConvNeXtXLarge's takes under one million

#: Module -> the classes that may come from it. A layer that can run code or read
#: other files (Lambda, TFSMLayer, TorchModuleWrapper and their like) is not among them.
_ALLOWED: dict[str | None, frozenset[str]] = {
    None: frozenset({"__keras_tensor__"}),
    "keras": frozenset({"DTypePolicy", "Functional", "Sequential"}),
    "keras.layers": frozenset(
        {
            "Activation",
            "Add",
            "AveragePooling2D",
            "BatchNormalization",
            "Concatenate",
            "Conv2D",
            "Cropping2D",
            "Dense",
            "DepthwiseConv2D",
            "Dropout",
            "Flatten",
            "GlobalAveragePooling2D",
            "GlobalMaxPooling2D",
            "InputLayer",
            "LayerNormalization",
            "MaxPooling2D",
            "Multiply",
            "Normalization",
            "ReLU",
            "Rescaling",
            "Reshape",
            "SeparableConv2D",
            "ZeroPadding2D",
        }
    ),
    "keras.src.models.functional": frozenset({"Functional"}),
    "keras.src.ops.image": frozenset({"Resize"}),
    "keras.src.ops.numpy": frozenset({"Add", "Multiply"}),
    "keras.src.applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
    "tfclassify.backbones.preprocessing": frozenset({"ReverseChannels"}),
}
#: The layer that runs a SavedModel, which must lie in the bundle itself.
_HUB_LAYER = ("tfclassify.backbones.hub_layer", "HubFeatures")
#: The backbones and layers of KerasHub; what reads files or text is left out.
_KERAS_HUB = re.compile(r"keras_hub\.src\.(models\.\w+\.\w+|layers\.modeling\.\w+)")
_NO_LAYER = re.compile(r"(Tokenizer|Preprocessor|Converter|Segmenter|LM)$")
#: Modules all of whose classes hold plain numbers.
_HARMLESS = ("keras.initializers", "keras.regularizers")


def check_model_file(path: Path, modules: Collection[str] = ()) -> frozenset[str]:
    """Refuse a saved model that holds anything a classifier is not made of.

    Args:
        path: A ``.keras`` file.
        modules: The hub modules that lie beside it in its bundle.

    Returns:
        The names of the packages that its objects come from.

    Raises:
        BundleError: If it is no such file, or holds a class that is not allowed, or runs
            a hub module from elsewhere.
    """
    packages = set()
    for entry in list_objects(path):
        module, name = entry.get("module"), entry["class_name"]
        packages.add(str(module).partition(".")[0])
        if (module, name) == _HUB_LAYER:
            _check_hub_layer(path, entry, modules)
        elif not _is_allowed(module, name):
            raise BundleError(
                f"{path}: holds {name!r} of {module!r}, which no classifier of tfclassify is made "
                "of; it was not loaded, since such an object can run code. Train the model again, "
                "or take the bundle from someone you trust"
            )
    return frozenset(packages)


def list_objects(path: Path) -> list[dict[str, Any]]:
    """Return the description of every object that a saved model would bring to life.

    Raises:
        BundleError: If it is no saved model.
    """
    return list(_walk(_read_config(path)))


def _is_allowed(module: Any, name: Any) -> bool:
    """Say whether a class may be part of a classifier."""
    if not isinstance(name, str) or not (module is None or isinstance(module, str)):
        return False
    if module in _HARMLESS or name in _ALLOWED.get(module, ()):
        return True
    is_preset = module is not None and _KERAS_HUB.fullmatch(module) is not None
    return is_preset and _NO_LAYER.search(name) is None


def _check_hub_layer(path: Path, entry: dict[str, Any], modules: Collection[str]) -> None:
    """Refuse a hub layer whose module does not lie in the bundle."""
    config = entry.get("config")
    module = config.get("module") if isinstance(config, dict) else None
    if not isinstance(module, str) or module not in modules:
        raise BundleError(
            f"{path}: runs the hub module {module!r}, which is not in its bundle; it was not "
            "loaded. Copy the bundle afresh, or train the model again"
        )


def _read_config(path: Path) -> Any:
    """Read the description of the model's layers."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if sorted(members) != sorted(_MEMBERS):
                raise BundleError(
                    f"{path}: holds {sorted(members)} instead of {sorted(_MEMBERS)}; "
                    "it is damaged or was changed"
                )
            if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
                raise BundleError(
                    f"{path}: its description is over {_LARGEST_CONFIG} bytes; it was changed"
                )
            return json.loads(archive.read("config.json"))
    except (OSError, zipfile.BadZipFile, ValueError, RecursionError) as error:
        raise BundleError(
            f"{path}: not a readable Keras model: {error}; train the model again"
        ) from error


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object that the description would bring to life."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield part
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
