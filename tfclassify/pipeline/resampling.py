"""Reading an image through an affine matrix.

Owns: the one resampling, and what lies beyond the border. Does not own: where the matrix
comes from (``geometry``).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from tfclassify.pipeline.stages import Pixels

Fill = Literal["reflect", "constant", "nearest", "wrap"]
Interpolation = Literal["bilinear", "nearest"]
Matrix = npt.NDArray[np.floating]

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
#: Our names of fills are those of keras; NumPy calls "reflect" what repeats no border pixel.
SCIPY_MODES = {"reflect": "reflect", "nearest": "nearest", "wrap": "grid-wrap"}
PAD_MODES = {"reflect": "symmetric", "constant": "constant", "nearest": "edge", "wrap": "wrap"}

#: Images' areas that a padded image may take; beyond this it is not padded at all.
LARGEST_CANVAS = 64


def warp(image: Pixels, matrix: Matrix, fill: Fill, interpolation: Interpolation) -> Pixels:
    """Read an image through a matrix.

    Args:
        image: ``(height, width, 3)`` uint8.
        matrix: ``(3, 3)`` floats, affine, from positions ``(x, y)`` in the output to
            positions in the input; the centre of the first pixel is at 0.
        fill: What is seen beyond the border. ``reflect`` repeats the border pixel.
        interpolation: How values between pixels are read.

    Returns:
        ``(height, width, 3)`` uint8. A position that falls on a pixel gives that pixel's
        value; a bilinear value between pixels is cut off to a whole number.
    """
    matrix = matrix.astype(np.float64)
    mirrored = _mirror(image, matrix)
    if mirrored is not None:
        return mirrored
    height, width = image.shape[:2]
    left, top, right, bottom = _measure_margins(matrix, height, width)
    if fill == "constant":
        # Black stays black however far out: one pixel to blend the border with is enough.
        left, top, right, bottom = (min(margin, 1) for margin in (left, top, right, bottom))
    elif (left + width + right) * (top + height + bottom) > LARGEST_CANVAS * height * width:
        return _warp_far(image, matrix, fill, interpolation)
    canvas = _pad(image, (top, bottom), (left, right), fill)
    (a, b, shift_x), (c, d, shift_y) = matrix[:2]
    # Pillow measures positions from the corner of the first pixel.
    corner_x = shift_x + left + 0.5 - 0.5 * (a + b)
    corner_y = shift_y + top + 0.5 - 0.5 * (c + d)
    warped = canvas.transform(
        (width, height),
        Image.Transform.AFFINE,
        (a, b, corner_x, c, d, corner_y),
        FILTERS[interpolation],
    )
    return np.asarray(warped)


def _mirror(image: Pixels, matrix: Matrix) -> Pixels | None:
    """Return the image as is, or flipped, if that is all the matrix does; else None."""
    height, width = image.shape[:2]
    (a, b, shift_x), (c, d, shift_y) = matrix[:2].tolist()
    is_mirror = b == c == 0.0 and abs(a) == abs(d) == 1.0
    origin = (0.0 if a > 0 else width - 1.0, 0.0 if d > 0 else height - 1.0)
    if not is_mirror or (shift_x, shift_y) != origin:
        return None
    return image[:: int(d), :: int(a)]


def _warp_far(image: Pixels, matrix: Matrix, fill: Fill, interpolation: Interpolation) -> Pixels:
    """Do what ``warp`` does, slowly but without padding, for matrices that read far out."""
    from scipy.ndimage import affine_transform

    # SciPy's axes are (y, x).
    linear, offset = matrix[1::-1, 1::-1], matrix[1::-1, 2]
    order, mode = int(interpolation == "bilinear"), SCIPY_MODES[fill]
    channels = [
        affine_transform(image[..., channel], linear, offset, output=float, order=order, mode=mode)
        for channel in range(3)
    ]
    # SciPy would round; Pillow cuts off, but a whole number short of itself by an error of
    # rounding is meant whole.
    return (np.stack(channels, axis=-1) + 1e-6).astype(np.uint8)


def _measure_margins(matrix: Matrix, height: int, width: int) -> tuple[int, int, int, int]:
    """Return how many pixels beyond (left, top, right, bottom) a matrix reads."""
    corners_x = np.array([0, width - 1, 0, width - 1])
    corners_y = np.array([0, 0, height - 1, height - 1])
    x = matrix[0, 0] * corners_x + matrix[0, 1] * corners_y + matrix[0, 2]
    y = matrix[1, 0] * corners_x + matrix[1, 1] * corners_y + matrix[1, 2]
    # Bilinear reads one pixel on from where it stands; one more covers rounding.
    return (
        max(0, 1 - math.floor(x.min())),
        max(0, 1 - math.floor(y.min())),
        max(0, math.ceil(x.max()) + 2 - width),
        max(0, math.ceil(y.max()) + 2 - height),
    )


def _pad(image: Pixels, rows: tuple[int, int], columns: tuple[int, int], fill: Fill) -> Image.Image:
    """Add pixels around an image: (above, below) and (left, right)."""
    height, width = image.shape[:2]
    if fill != "reflect" or max(rows) > height or max(columns) > width:
        padding = (rows, columns, (0, 0))
        return Image.fromarray(np.pad(image, padding, mode=PAD_MODES[fill]))  # type: ignore[call-overload]
    # The same as the line above for the one case that is common, in a third of the time.
    (top, bottom), (left, right) = rows, columns
    tile = Image.fromarray(image)
    mirrored = tile.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    padded = Image.new("RGB", (left + width + right, top + height + bottom), None)
    for part, y in ((tile, top), (mirrored, top - height), (mirrored, top + height)):
        padded.paste(part, (left, y))
    for start, length, x in ((left, left, 0), (left + width - right, right, left + width)):
        strip = padded.crop((start, 0, start + length, padded.height))
        padded.paste(strip.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (x, 0))
    return padded
