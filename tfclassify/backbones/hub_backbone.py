"""Builds the backbone that a TensorFlow Hub module is.

Owns: the module's name, its feature shape, what is said where it does not fit the
images. Does not own: the layer (``hub_layer``), the input range (``outside``).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfclassify.backbones.hub_layer import HubFeatures, Module, load_module
from tfclassify.errors import ModelError
from tfclassify.files import hash_file

#: What a module consists of, besides its variables and assets.
_FILES = ("saved_model.pb", "fingerprint.pb")
_FOLDERS = ("variables", "assets")


def build_hub(folder: Path, image_size: tuple[int, int], name: str) -> keras.Model:
    """Build a network of one layer, which is the module.

    Args:
        folder: A TF2 SavedModel.
        image_size: ``(height, width)`` in pixels.
        name: The backbone's name, for messages.

    Returns:
        Float32 ``(batch, height, width, 3)`` in the module's own range to features
        ``(batch, h, w, c)``; a module that gives vectors has h and w of 1.

    Raises:
        ModelError: If the module is unsafe, cannot be used, or takes other images.
    """
    loaded, module = load_module(folder), name_module(folder)
    shape = _measure_features(loaded, image_size, name)
    layer = HubFeatures(module, shape, loaded, name=module)
    images = keras.Input((*image_size, 3), name="scaled_images")
    return keras.Model(images, layer(images), name="hub")


def list_module_files(folder: Path) -> list[str]:
    """List the files that make up a module, relative to its folder, sorted."""
    files = [name for name in _FILES if (folder / name).is_file()]
    for part in _FOLDERS:
        files += [
            path.relative_to(folder).as_posix()
            for path in (folder / part).rglob("*")
            if path.is_file()
        ]
    return sorted(files)


def name_module(folder: Path) -> str:
    """Name a module by its content: ``hub_`` and twelve hexadecimal digits."""
    digest = hashlib.sha256()
    for file in list_module_files(folder):
        digest.update(f"{file}\n{hash_file(folder / file)}\n".encode())
    return f"hub_{digest.hexdigest()[:12]}"


def _measure_features(
    module: Module, image_size: tuple[int, int], name: str
) -> tuple[int, int, int]:
    """Run a module on two blank images and return the ``(h, w, c)`` that it gives."""
    try:
        answer = module(tf.zeros((2, *image_size, 3)), False)
    except ModelError:
        raise
    except Exception as error:  # a module may raise anything on what it was not traced for
        raise ModelError(_explain(name, image_size, module.sizes, error)) from error
    return _read_shape(answer, name)


def _read_shape(answer: Any, name: str) -> tuple[int, int, int]:
    lengths = tuple(answer.shape)
    if len(lengths) == 2 and lengths[0] == 2:
        return (1, 1, lengths[1])
    if len(lengths) == 3 and lengths[0] == 2:
        return (lengths[1], 1, lengths[2])
    if len(lengths) == 4 and lengths[0] == 2:
        return (lengths[1], lengths[2], lengths[3])
    raise ModelError(
        f"model.backbone: {name!r} gives {lengths} for 2 images; features are (2, c) or "
        "(2, h, w, c). Take a module of feature vectors"
    )


def _explain(name: str, image_size: tuple[int, int], sizes: set[Any], error: Exception) -> str:
    """Say that a module does not take the images, and what it takes."""
    height, width = image_size
    fixed = sorted(f"{h}x{w}" for h, w in sizes if h is not None and w is not None)
    if fixed and f"{height}x{width}" not in fixed:
        return (
            f"data.image_size: {name!r} takes images of {' or '.join(fixed)} pixels, got "
            f"{height}x{width}; set data.image_size: {fixed[0].partition('x')[0]}"
        )
    reason = " ".join(str(error).split())[:300]
    return (
        f"model.backbone: {name!r} cannot be run on float32 images of {height}x{width}x3: "
        f"{reason}. Take a module of image features, or another data.image_size"
    )
