"""The hub modules that a bundle carries, so that it stands alone.

Owns: their place in the bundle, copying them there and checking them. Does not own: the
layer that runs them (``backbones.hub_layer``), the bundle's other parts (``bundle``).

    modules/<name>/   a SavedModel; its name is made of its content
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import keras

from tfclassify.backbones.hub_backbone import list_module_files
from tfclassify.backbones.hub_layer import HubFeatures
from tfclassify.backbones.saved_models import check_saved_model
from tfclassify.errors import BundleError

FOLDER = "modules"
#: A file of a module within a bundle: no way out, nothing hidden.
_PART = re.compile(rf"{FOLDER}/(hub_[0-9a-f]{{12}})(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+")


def list_hub_layers(model: keras.Model) -> Iterator[HubFeatures]:
    """Yield the layers of a model that run hub modules, nested models included."""
    for layer in model.layers:
        if isinstance(layer, HubFeatures):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from list_hub_layers(layer)


def copy_modules(model: keras.Model, bundle: Path) -> list[str]:
    """Copy the hub modules that a model runs into a bundle.

    Args:
        model: The model that the bundle is to hold.
        bundle: The bundle's folder.

    Returns:
        The files that were written, relative to the bundle, sorted; none for most models.
    """
    parts = []
    for name, folder in {layer.module: layer.folder for layer in list_hub_layers(model)}.items():
        for file in list_module_files(folder):
            target = bundle / FOLDER / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / file, target)
            parts.append(f"{FOLDER}/{name}/{file}")
    return sorted(parts)


def find_modules(bundle: Path, parts: Iterable[str]) -> dict[str, Path]:
    """Return the folder of each hub module of a bundle, by its name.

    Args:
        bundle: The bundle's folder.
        parts: The files that the bundle says it has.
    """
    found = (_PART.fullmatch(part) for part in sorted(parts))
    return {match[1]: bundle / FOLDER / match[1] for match in found if match}


def is_module_part(part: str) -> bool:
    """Say whether a part's name is that of a file of a hub module."""
    return _PART.fullmatch(part) is not None


def check_modules(bundle: Path, parts: Iterable[str]) -> None:
    """Refuse modules with files that the bundle does not name, or that are unsafe.

    Raises:
        BundleError: If there are such files.
        ModelError: If a module could do more than compute.
    """
    known = set(parts)
    present = [
        path.relative_to(bundle).as_posix()
        for path in (bundle / FOLDER).rglob("*")
        if not path.is_dir() or path.is_symlink()
    ]
    extra = sorted(set(present) - known)
    if extra:
        raise BundleError(
            f"{bundle}: holds files that bundle.json does not name, such as {extra[0]}; copy the "
            "bundle afresh, or train the model again"
        )
    for folder in find_modules(bundle, known).values():
        check_saved_model(folder)
