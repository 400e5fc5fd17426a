"""Builds the backbone of a KerasHub preset.

Owns: the optional dependency, its errors, and reading a preset's input contract.
Does not own: which presets there are, which is KerasHub's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfclassify.backbones.contracts import InputContract
from tfclassify.errors import MissingExtraError, ModelError, WeightsError

_CHANNELS = 3


def import_keras_hub() -> Any:
    """Import KerasHub.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import keras_hub
    except ImportError as error:
        raise MissingExtraError(
            "model.backbone: keras_hub: needs KerasHub, which is not installed "
            f"({error}); pip install 'tfclassify[keras_hub]'"
        ) from error
    return keras_hub


def read_contract(preset: str) -> InputContract:
    """Read how a preset scales its images.

    Returns:
        The contract for RGB in 0..255.

    Raises:
        MissingExtraError: If KerasHub is not installed.
        WeightsError: If the preset cannot be had.
        ModelError: If it does not say how it scales images.
    """
    hub = import_keras_hub()
    converter = _load(preset, lambda name: hub.layers.ImageConverter.from_preset(name))
    scale, offset = (_widen(getattr(converter, key, None)) for key in ("scale", "offset"))
    if scale is None and offset is None:
        raise ModelError(
            f"model.input_range: the preset {preset!r} does not say what it takes for black and "
            "white; write input_range: [0, 1], [-1, 1] or what its page says"
        )
    return InputContract(
        "preset", "as its ImageConverter", scale or (1.0,) * 3, offset or (0.0,) * 3
    )


def _widen(value: Any) -> tuple[float, float, float] | None:
    """Give one number for all channels to each of them."""
    if value is None:
        return None
    first, second, third = np.broadcast_to(np.asarray(value, np.float64).ravel(), (_CHANNELS,))
    return (float(first), float(second), float(third))


def build_preset(preset: str, image_size: tuple[int, int], *, has_weights: bool) -> keras.Model:
    """Build a preset's backbone.

    Args:
        preset: Its name in KerasHub, or a folder.
        image_size: ``(height, width)`` in pixels.
        has_weights: Whether its weights are loaded.

    Returns:
        Float32 ``(batch, height, width, 3)`` to features ``(batch, h, w, c)``; tokens
        ``(batch, n, c)`` become ``(batch, n, 1, c)``.

    Raises:
        MissingExtraError: If KerasHub is not installed.
        WeightsError: If the preset cannot be had.
        ModelError: If it takes no such images or gives no such features.
    """
    hub = import_keras_hub()

    def load(name: str) -> Any:
        return hub.models.Backbone.from_preset(
            name, load_weights=has_weights, image_shape=(*image_size, 3)
        )

    backbone = _load(preset, load)
    images = keras.Input((*image_size, 3), name="scaled_images")
    try:
        features = backbone(images)
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(
            f"model.backbone: the preset {preset!r} cannot be run on images of "
            f"{image_size[0]}x{image_size[1]}: {reason}; use the data.image_size that it was "
            "trained at"
        ) from error
    return keras.Model(images, _shape_features(features, preset), name="preset")


def _shape_features(features: Any, preset: str) -> Any:
    """Give features a height and a width."""
    shape = getattr(features, "shape", None)
    if shape is not None and len(shape) == 4:
        return features
    if shape is not None and len(shape) in (2, 3) and None not in shape[1:]:
        tokens = shape[1] if len(shape) == 3 else 1
        return keras.layers.Reshape((tokens, 1, shape[-1]), name="as_map")(features)
    raise ModelError(
        f"model.backbone: the preset {preset!r} gives {features!r}, not one tensor of image "
        "features; take a backbone of images"
    )


def _load(preset: str, load: Callable[[str], Any]) -> Any:
    """Load a part of a preset, wording what goes wrong."""
    folder = Path(preset).expanduser()
    name = str(folder) if folder.is_dir() else preset
    try:
        return load(name)
    except Exception as error:  # Kaggle's and KerasHub's clients raise whatever they like
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise WeightsError(
            f"model.backbone: the preset {preset!r} of KerasHub cannot be loaded: {reason}. Ways "
            "out: go online, where it is downloaded once; or name the folder of a preset that "
            "was saved with backbone.save_to_preset('folder'); or take a backbone of the catalog"
        ) from error
