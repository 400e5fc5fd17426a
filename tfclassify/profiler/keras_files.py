"""Loads a ``.keras`` file that anyone may have made, without running anything in it.

Owns: which classes such a file may hold. Does not own: bundles, whose list is shorter
(``model.safety``).

Keras' safe mode is on as well. What is refused on top are layers that call code, read
other files or load other models, and anything from outside Keras and this package.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from tfclassify.backbones import preprocessing
from tfclassify.errors import ProfileError

#: Layers that can run code or read files that the model names.
_REFUSED = frozenset(
    {
        *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
        *("StringLookup", "IntegerLookup", "TextVectorization", "IndexLookup"),
    }
)
_TRUSTED = ("keras", "tfclassify.backbones.")
_LARGEST_CONFIG = 64 << 20
# Keras finds this class by its module's having been imported.
_NEEDED = (preprocessing.ReverseChannels,)


def load_keras_file(path: Path) -> Any:
    """Load a model from a ``.keras`` file.

    Raises:
        ProfileError: If it is not such a file, holds what could run code, or needs
            classes that are not Keras' own.
    """
    for entry in _walk(_read_config(path)):
        _check_class(path, entry)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a file from anywhere makes Keras raise
        reason = " ".join(str(error).split())[:300]
        raise ProfileError(
            f"{path}: Keras cannot load it: {type(error).__name__}: {reason}; "
            "save the model anew with this version of Keras"
        ) from error


def _read_config(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > _LARGEST_CONFIG:
                raise ValueError(f"its description is over {_LARGEST_CONFIG} bytes")
            return json.loads(archive.read("config.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ProfileError(
            f"{path}: is not a Keras model: {reason}; save one with model.save('model.keras')"
        ) from error


def _check_class(path: Path, entry: dict[str, Any]) -> None:
    name, module = entry["class_name"], entry.get("module")
    if name in _REFUSED:
        raise ProfileError(
            f"{path}: holds a {name} layer, which can run code or read other files, and was not "
            "loaded; rebuild the model from plain layers, or profile it as a SavedModel"
        )
    is_plain = module in (None, "builtins")
    if not is_plain and not str(module).startswith(_TRUSTED):
        raise ProfileError(
            f"{path}: holds {name!r} of {module!r}, which is not part of Keras, and was not "
            "loaded; profile the model as a SavedModel: model.export('folder')"
        )


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object that the description would bring to life."""
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            if isinstance(part.get("class_name"), str):
                yield part
            pending.extend(part.values())
        elif isinstance(part, list):
            pending.extend(part)
