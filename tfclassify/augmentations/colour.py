"""Light and colour.

Owns: the entries that act on colours, the matrix of each, and equalising, which comes
before them. Does not own: scaling to what a network expects (the model does that).

Brightness, contrast, saturation, hue, greyscale and inversion are all affine in RGB, so
they compose into one matrix an image, and a value is cut to 0..255 once, at the end,
instead of after each. They act in the order of the entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from tfclassify.augmentations.entry import (
    Augmentation,
    Key,
    LayerContext,
    happens,
    say_chance,
    say_range,
    uniform,
    want_symmetric,
)
from tfclassify.augmentations.randomness import Numbers

Matrices = npt.NDArray[np.float64]
Mean = Callable[[], npt.NDArray[np.float64]]
Range = tuple[float, float]
Pixels = npt.NDArray[np.uint8]

#: Luma of RGB: ITU-R BT.601, as Pillow's and TensorFlow's greyscale.
LUMA = np.array([0.299, 0.587, 0.114])
FULL_SCALE = 255.0
#: Every row of it is the luma of a pixel.
TO_GREY = np.tile(LUMA, (3, 1))
#: Turns red to blue, blue to green and green to red, less the way back.
SKEW = np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3.0)


def colour_matrix(linear: npt.ArrayLike, offset: npt.ArrayLike = 0.0) -> Matrices:
    """Join matrices ``(b, 4, 4)`` of (R, G, B, 1) from ``(b, 3, 3)`` and an offset ``(b,)``."""
    linear = np.asarray(linear, np.float64)
    matrices = np.zeros((len(linear), 4, 4))
    matrices[:, :3, :3] = linear
    matrices[:, :3, 3] = np.asarray(offset)[..., None]
    matrices[:, 3, 3] = 1.0
    return matrices


def brighten(added: Numbers, mean: Mean) -> Matrices:
    """Add a share of full scale."""
    return colour_matrix(np.broadcast_to(np.eye(3), (len(added), 3, 3)), FULL_SCALE * added)


def change_contrast(more: Numbers, mean: Mean) -> Matrices:
    """Spread values about the mean luma of the image as it now is."""
    factor = 1.0 + more
    return colour_matrix(factor[:, None, None] * np.eye(3), (1.0 - factor) * (mean() @ LUMA))


def saturate(more: Numbers, mean: Mean) -> Matrices:
    """Move values away from their luma."""
    more = more[:, None, None]
    return colour_matrix((1.0 + more) * np.eye(3) - more * TO_GREY)


def turn_hue(turns: Numbers, mean: Mean | None = None) -> Matrices:
    """Turn RGB about the grey axis, by fractions of a full turn.

    A third of a turn takes red to green, green to blue and blue to red exactly; greys
    stay.
    """
    angle = 2.0 * np.pi * turns[:, None, None]
    cosine, sine = np.cos(angle), np.sin(angle)
    return colour_matrix(cosine * np.eye(3) + (1.0 - cosine) / 3.0 + sine * SKEW)


def make_grey(is_on: npt.NDArray[np.bool_], mean: Mean) -> Matrices:
    """Put its luma in place of each pixel, where it is on."""
    return colour_matrix(np.where(is_on[:, None, None], TO_GREY, np.eye(3)))


def invert(is_on: npt.NDArray[np.bool_], mean: Mean) -> Matrices:
    """Make a negative, where it is on."""
    sign = 1.0 - 2.0 * is_on
    return colour_matrix(sign[:, None, None] * np.eye(3), FULL_SCALE * is_on)


def equalise(image: Pixels, is_on: np.bool_) -> Pixels:
    """Spread each channel's histogram evenly over 0..255, where it is on."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.equalize(Image.fromarray(image))) if is_on else image


def _equalise_in_keras(context: LayerContext, chance: float) -> Any:
    return context.by_chance(context.layers.Equalization(value_range=(0, 255)), chance)


def _brighten_in_keras(context: LayerContext, value: Range) -> Any:
    return context.layers.RandomBrightness(value, value_range=(0, 255), **context.seed)


def _change_contrast_in_keras(context: LayerContext, value: Range) -> Any:
    # The layer takes (a, b) for factors from 1 - a to 1 + b.
    reach = (-value[0], value[1])
    return context.layers.RandomContrast(factor=reach, value_range=(0, 255), **context.seed)


def _saturate_in_keras(context: LayerContext, value: Range) -> Any:
    # The layer turns its factor x into x / (1 - x), so 0.5 changes nothing.
    low, high = ((1.0 + bound) / (2.0 + bound) for bound in value)
    return context.layers.RandomSaturation((low, high), **context.seed)


def _turn_hue_in_keras(context: LayerContext, value: Range) -> Any:
    reach = (0.0, 2.0 * want_symmetric(value))  # the layer's factor 1 is half a turn
    return context.layers.RandomHue(reach, value_range=(0, 255), **context.seed)


def _make_grey_in_keras(context: LayerContext, chance: float) -> Any:
    return context.layers.RandomGrayscale(chance, **context.seed)


def _make_grey_in_keras_cv(context: LayerContext, chance: float) -> Any:
    return context.by_chance(context.layers.Grayscale(output_channels=3), chance)


def _invert_in_keras(context: LayerContext, chance: float) -> Any:
    return context.layers.RandomInvert((chance, chance), value_range=(0, 255), **context.seed)


ENTRIES = (
    Augmentation(
        name="equalise",
        acts_on="pixels",
        key=Key("fraction", "Chance of histogram equalisation.", 0.0),
        draw=happens("equalise"),
        apply=equalise,
        words=say_chance("equalise"),
        layers={"keras": _equalise_in_keras, "keras_cv": _equalise_in_keras},
    ),
    Augmentation(
        name="brightness",
        acts_on="colours",
        key=Key("range", "Added, as a share of full scale.", (0.0, 0.0)),
        draw=uniform("brightness"),
        apply=brighten,
        words=say_range("brightness"),
        layers={"keras": _brighten_in_keras, "keras_cv": _brighten_in_keras},
    ),
    Augmentation(
        name="contrast",
        acts_on="colours",
        key=Key("range", "Contrast factor minus 1.", (0.0, 0.0)),
        draw=uniform("contrast"),
        apply=change_contrast,
        words=say_range("contrast"),
        layers={"keras": _change_contrast_in_keras, "keras_cv": _change_contrast_in_keras},
    ),
    Augmentation(
        name="saturation",
        acts_on="colours",
        key=Key("range", "Saturation factor minus 1.", (0.0, 0.0)),
        draw=uniform("saturation"),
        apply=saturate,
        words=say_range("saturation"),
        layers={"keras": _saturate_in_keras, "keras_cv": _saturate_in_keras},
    ),
    Augmentation(
        name="hue",
        acts_on="colours",
        key=Key("range", "Hue rotation as a fraction of a turn.", (0.0, 0.0)),
        draw=uniform("hue"),
        apply=turn_hue,
        words=say_range("hue", 360.0, "°"),
        layers={"keras": _turn_hue_in_keras, "keras_cv": _turn_hue_in_keras},
    ),
    Augmentation(
        name="greyscale",
        acts_on="colours",
        key=Key("fraction", "Chance of greyscale.", 0.0),
        draw=happens("greyscale"),
        apply=make_grey,
        words=say_chance("greyscale"),
        layers={"keras": _make_grey_in_keras, "keras_cv": _make_grey_in_keras_cv},
    ),
    Augmentation(
        name="invert",
        acts_on="colours",
        key=Key("fraction", "Chance of inverted colours.", 0.0),
        draw=happens("invert"),
        apply=invert,
        words=say_chance("invert"),
        layers={"keras": _invert_in_keras},
    ),
)
