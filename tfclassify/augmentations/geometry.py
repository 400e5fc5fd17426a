"""Crop, flip, rotation, shear, zoom and shift, which compose into one resampling.

Owns: the entries that act on positions, and the matrix of each. Does not own: reading
pixels between the grid (``pipeline.resampling``).

A matrix maps where a pixel of the output is to where it is read in the input. Positions
are ``(x, y)`` in pixels with the centre of the first pixel at 0, so the middle of an image
is ``((width - 1) / 2, (height - 1) / 2)``. The matrices are multiplied in the order of the
entries: the first is what an image undergoes first.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tfclassify.augmentations.entry import (
    Augmentation,
    Key,
    LayerContext,
    say_range,
    uniform,
    want_symmetric,
)
from tfclassify.augmentations.randomness import Draws, Numbers

Matrices = npt.NDArray[np.float64]
Size = tuple[int, int]
Range = tuple[float, float]

#: Largest ratio of a crop's sides to those of the image, and its inverse.
CROP_ASPECT = 4.0 / 3.0


def affine(
    xx: float | Numbers = 1.0,
    xy: float | Numbers = 0.0,
    x: float | Numbers = 0.0,
    yx: float | Numbers = 0.0,
    yy: float | Numbers = 1.0,
    y: float | Numbers = 0.0,
) -> Matrices:
    """Join affine matrices ``(b, 3, 3)`` from their entries, each ``(b,)`` or a number."""
    entries = np.broadcast_arrays(*np.atleast_1d(xx, xy, x, yx, yy, y))
    matrices = np.zeros((len(entries[0]), 3, 3))
    matrices[:, :2] = np.stack(entries, axis=-1).reshape(-1, 2, 3)
    matrices[:, 2, 2] = 1.0
    return matrices


def about_middle(matrices: Matrices, image_size: Size) -> Matrices:
    """Let matrices act about the middle of the image instead of its first pixel."""
    height, width = image_size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    moved = matrices.copy()
    moved[:, :2, 2] += middle - matrices[:, :2, :2] @ middle
    return moved


def draw_crop(value: Range, draws: Draws, image_size: Size) -> tuple[Numbers, ...]:
    """Draw windows: their width and height as shares, and their place, 0 to 1 each."""
    height, width = image_size
    area = np.maximum(draws.uniform("crop.area", *value), 1.0 / (height * width))
    # A side longer than the image would lose area, so the aspect stays within 1 / area.
    reach = np.minimum(math.log(CROP_ASPECT), -np.log(area))
    aspect = np.exp(reach * draws.uniform("crop.aspect", -1.0, 1.0))
    place = (draws.uniform("crop.x"), draws.uniform("crop.y"))
    return (np.sqrt(area * aspect), np.sqrt(area / aspect), *place)


def crop(part_x: Numbers, part_y: Numbers, x: Numbers, y: Numbers, image_size: Size) -> Matrices:
    """Show a window of the image in full size."""
    height, width = image_size
    left, top = (1.0 - part_x) * width * x, (1.0 - part_y) * height * y
    # Pixels are squares: the edge of the output, at -0.5, falls on the window's edge.
    return affine(xx=part_x, x=left - 0.5 + 0.5 * part_x, yy=part_y, y=top - 0.5 + 0.5 * part_y)


def draw_flip(axes: tuple[str, ...], draws: Draws, image_size: Size) -> tuple[Any, ...]:
    """Draw whether an image is mirrored along x, and along y."""
    names = ("horizontal", "vertical")
    return tuple(draws.happens(f"flip.{name}", 0.5 * (name in axes)) for name in names)


def flip(is_x: npt.NDArray[np.bool_], is_y: npt.NDArray[np.bool_], image_size: Size) -> Matrices:
    """Mirror an image."""
    return about_middle(affine(xx=1.0 - 2.0 * is_x, yy=1.0 - 2.0 * is_y), image_size)


def rotate(turns: Numbers, image_size: Size) -> Matrices:
    """Turn an image counter-clockwise by fractions of a full turn."""
    cosine, sine = np.cos(2.0 * np.pi * turns), np.sin(2.0 * np.pi * turns)
    return about_middle(affine(xx=cosine, xy=-sine, yx=sine, yy=cosine), image_size)


def draw_shear(value: Range, draws: Draws, image_size: Size) -> tuple[Numbers, ...]:
    """Draw the shear of the rows, and of the columns."""
    return draws.uniform("shear.x", *value), draws.uniform("shear.y", *value)


def shear(x: Numbers, y: Numbers, image_size: Size) -> Matrices:
    """Slide rows by ``x`` and columns by ``y`` a pixel of distance from the middle."""
    return about_middle(affine(xy=x, yx=y), image_size)


def zoom(more: Numbers, image_size: Size) -> Matrices:
    """Show ``more`` of the scene than the image holds, each thing smaller."""
    return about_middle(affine(xx=1.0 + more, yy=1.0 + more), image_size)


def draw_shift(value: Range, draws: Draws, image_size: Size) -> tuple[Numbers, ...]:
    """Draw how far an image moves to the right, and down."""
    return draws.uniform("shift.x", *value), draws.uniform("shift.y", *value)


def shift(right: Numbers, down: Numbers, image_size: Size) -> Matrices:
    """Move an image by fractions of its width and height."""
    height, width = image_size
    return affine(x=-width * right, y=-height * down)


def _crop_in_keras_cv(context: LayerContext, value: Range) -> Any:
    return context.layers.RandomCropAndResize(
        context.image_size,
        value,
        (1.0 / CROP_ASPECT, CROP_ASPECT),
        context.read["interpolation"],
        **context.seed,
    )


def _flip_in_keras(context: LayerContext, axes: tuple[str, ...]) -> Any:
    return context.layers.RandomFlip("_and_".join(sorted(set(axes))), **context.seed)


def _rotate_in_keras(context: LayerContext, value: Range) -> Any:
    return context.layers.RandomRotation(value, **context.read, **context.seed)


def _shear_in_keras(context: LayerContext, value: Range) -> Any:
    reach = (0.0, want_symmetric(value))  # the layer draws the side
    return context.layers.RandomShear(reach, reach, **context.read, **context.seed)


def _zoom_in_keras(context: LayerContext, value: Range) -> Any:
    return context.layers.RandomZoom(value, **context.read, **context.seed)


def _shift_in_keras(context: LayerContext, value: Range) -> Any:
    return context.layers.RandomTranslation(value, value, **context.read, **context.seed)


ENTRIES = (
    Augmentation(
        name="crop",
        acts_on="positions",
        key=Key("fractions", "Random resized crop: range of the area kept.", None),
        draw=draw_crop,
        apply=crop,
        words=lambda value: f"crop to {100 * value[0]:g}–{100 * value[1]:g} % of the area",
        layers={"keras_cv": _crop_in_keras_cv},
    ),
    Augmentation(
        name="flip",
        acts_on="positions",
        key=Key("axes", "Axes flipped, each with chance 0.5.", ()),
        draw=draw_flip,
        apply=flip,
        words=lambda axes: ", ".join(f"{axis} flip" for axis in axes),
        layers={"keras": _flip_in_keras, "keras_cv": _flip_in_keras},
    ),
    Augmentation(
        name="rotate",
        acts_on="positions",
        key=Key(
            "range",
            "Rotation as a fraction of a full turn, as keras.RandomRotation.",
            (0.0, 0.0),
            most=1.0,
        ),
        draw=uniform("rotate"),
        apply=rotate,
        words=say_range("rotation", 360.0, "°"),
        layers={"keras": _rotate_in_keras, "keras_cv": _rotate_in_keras},
    ),
    Augmentation(
        name="shear",
        acts_on="positions",
        key=Key("range", "Shear, as the tangent of the angle.", (0.0, 0.0), most=4.0),
        draw=draw_shear,
        apply=shear,
        words=say_range("shear"),
        layers={"keras": _shear_in_keras, "keras_cv": _shear_in_keras},
    ),
    Augmentation(
        name="zoom",
        acts_on="positions",
        key=Key(
            "range",
            "Zoom as keras.RandomZoom: 0.15 shows 15 % more, -0.15 less.",
            (0.0, 0.0),
            most=10.0,
            above=-1.0,
        ),
        draw=uniform("zoom"),
        apply=zoom,
        words=say_range("zoom"),
        layers={"keras": _zoom_in_keras, "keras_cv": _zoom_in_keras},
    ),
    Augmentation(
        name="shift",
        acts_on="positions",
        key=Key("range", "Shift as a fraction of height and width.", (0.0, 0.0), most=1.0),
        draw=draw_shift,
        apply=shift,
        words=say_range("shift"),
        layers={"keras": _shift_in_keras, "keras_cv": _shift_in_keras},
    ),
)
