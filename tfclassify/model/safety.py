"""Says what may be inside a saved model, before Keras reads it.

Owns: the allow-list of what a classifier is made of. Keras' own safe mode stays on as
well; this list is shorter, and is read from the file without running anything.
Does not own: checksums and the bundle's other parts (``bundle``).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
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
    "keras.src.ops.numpy": frozenset({"Add", "Multiply"}),
    "keras.src.applications.convnext": frozenset({"LayerScale", "StochasticDepth"}),
    "keras.src.applications.inception_resnet_v2": frozenset({"CustomScaleLayer"}),
    "tfclassify.backbones.preprocessing": frozenset({"ReverseChannels"}),
}
#: Modules all of whose classes hold plain numbers.
_HARMLESS = ("keras.initializers", "keras.regularizers")


def check_model_file(path: Path) -> None:
    """Refuse a saved model that holds anything a classifier is not made of.

    Args:
        path: A ``.keras`` file.

    Raises:
        BundleError: If it is no such file, or holds a class that is not allowed.
    """
    for entry in _walk(_read_config(path)):
        module, name = entry.get("module"), entry["class_name"]
        if module in _HARMLESS or name in _ALLOWED.get(module, ()):
            continue
        raise BundleError(
            f"{path}: holds {name!r} of {module!r}, which no classifier of tfclassify is made "
            "of; it was not loaded, since such an object can run code. Train the model again, "
            "or take the bundle from someone you trust"
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
