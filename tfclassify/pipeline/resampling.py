"""Reading images through affine matrices.

Owns: the one resampling, and what lies beyond the border. Does not own: where a matrix
comes from (``augmentations.geometry``).

All in whole numbers, so that a pixel is the same on every machine and in every batch.
Positions have 13 binary places. The three channels of a pixel lie in one 64-bit word, 21
bits apart: four neighbours are multiplied by weights that sum to 2**13 and added, which
overflows no channel (255 * 2**13 + 2**12 < 2**21), so each operation serves all three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Fill = Literal["reflect", "constant", "nearest", "wrap"]
Interpolation = Literal["bilinear", "nearest"]
Pixels = npt.NDArray[np.uint8]
Whole = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]

#: Binary places of a position, and a pixel in that measure.
PLACES = 13
ONE = 1 << PLACES
#: Bits between two channels of a word.
LANE = 21
#: Half a level in each channel.
HALF = np.uint64((1 + (1 << LANE) + (1 << 2 * LANE)) * ONE // 2)
#: Pixels worked on at a time: few enough for a processor's cache.
CHUNK = 16_384
#: Pixels from the image beyond which a position is cut off, so that 32 bits hold a sum.
FARTHEST = 2**16


def warp(
    images: Pixels,
    matrices: npt.NDArray[np.floating],
    fill: Fill = "reflect",
    interpolation: Interpolation = "bilinear",
) -> Pixels:
    """Read each image of a batch through its matrix.

    Args:
        images: ``(b, height, width, 3)`` uint8.
        matrices: ``(b, 3, 3)`` floats, affine, from positions ``(x, y)`` in the output to
            positions in the input; the centre of the first pixel is at 0.
        fill: What is seen beyond the border. ``reflect`` repeats the border pixel.
        interpolation: How values between pixels are read.

    Returns:
        ``(b, height, width, 3)`` uint8. A position that falls on a pixel gives that pixel's
        value; a bilinear value is rounded to the nearest whole number.
    """
    _, height, width, _ = images.shape
    warped = np.empty(images.shape, np.uint8)
    rows = max(1, min(height, CHUNK // width))
    reader = _Reader(rows * width, interpolation)
    for image, matrix, target in zip(images, matrices.astype(np.float64), warped, strict=True):
        mirrored = _mirror(image, matrix)
        if mirrored is not None:
            target[...] = mirrored
            continue
        across = _Axis.lay(matrix[0], (height, width), width, fill)
        down = _Axis.lay(matrix[1], (height, width), height, fill)
        words = _pack(image, fill).take(across.sources, axis=1).take(down.sources, axis=0)
        for start in range(0, height, rows):
            reader.read(words, across, down, slice(start, start + rows), target)
    return warped


def _mirror(image: Pixels, matrix: npt.NDArray[np.float64]) -> Pixels | None:
    """Return the image as is, or flipped, if that is all the matrix does; else None."""
    height, width = image.shape[:2]
    (a, b, shift_x), (c, d, shift_y) = matrix[:2].tolist()
    is_mirror = b == c == 0.0 and abs(a) == abs(d) == 1.0
    origin = (0.0 if a > 0 else width - 1.0, 0.0 if d > 0 else height - 1.0)
    if not is_mirror or (shift_x, shift_y) != origin:
        return None
    return image[:: int(d), :: int(a)]


def _pack(image: Pixels, fill: Fill) -> Words:
    """Put the channels of each pixel into one word; ``constant`` adds a black border."""
    height, width = image.shape[:2]
    border = int(fill == "constant")
    words = np.zeros((height + border, width + border), np.uint64)
    inner = words[:height, :width]
    inner[...] = image[..., 2]
    for channel in (1, 0):
        np.left_shift(inner, np.uint64(LANE), out=inner)
        np.bitwise_or(inner, image[..., channel], out=inner)
    return words


@dataclass(frozen=True)
class _Axis:
    """Where one axis of the output is read in the input.

    Attributes:
        sources: Pixel of the input (its size: black) for each pixel of the canvas that is
            read; the canvas is the input and as much beyond its border as is needed.
        by_column: ``(width,)`` int32 positions on the canvas: the part of the columns.
        by_row: ``(height, 1)`` int32, the part of the rows; a position is the sum of both.
        limits: Lowest and highest position; None if all lie on the canvas.
        period: After how much the canvas repeats itself; None if it is never left.
    """

    sources: npt.NDArray[np.intp]
    by_column: Whole
    by_row: Whole
    limits: tuple[int, int] | None = None
    period: int | None = None

    @classmethod
    def lay(
        cls, row: npt.NDArray[np.float64], shape: tuple[int, int], size: int, fill: Fill
    ) -> _Axis:
        """Lay an axis of ``size`` pixels for one row of a matrix."""
        height, width = shape
        by_column, by_row = row[0] * np.arange(width), row[1] * np.arange(height)[:, None] + row[2]
        if fill in ("constant", "nearest"):
            # Beyond its first pixel the border goes on as it is.
            sources = np.clip(np.arange(-1, size + 2), 0, size - 1)
            if fill == "constant":
                sources[[0, -2, -1]] = size
            parts = (np.clip(part, -FARTHEST, FARTHEST) for part in (by_column, by_row + 1.0))
            column, line = (_fix(part) for part in parts)
            return cls(sources, column, line, limits=(0, (size + 1) * ONE))
        repeat = 2 * size if fill == "reflect" else size
        lowest = int(np.floor(by_column.min() + by_row.min())) - 1
        highest = int(np.ceil(by_column.max() + by_row.max())) + 1
        if highest - lowest < repeat:
            origin, length, period = lowest, highest - lowest + 2, None
        else:
            origin, length, period = 0, repeat + 1, repeat * ONE
            by_column, by_row = by_column % repeat, by_row % repeat
        sources = (origin + np.arange(length)) % repeat
        sources = np.minimum(sources, 2 * size - 1 - sources) if fill == "reflect" else sources
        return cls(sources, _fix(by_column), _fix(by_row - origin), period=period)

    def place(self, rows: slice, out: Whole) -> None:
        """Write the positions of some rows, ``(rows, width)``."""
        np.add(self.by_column, self.by_row[rows], out=out)
        if self.limits is not None:
            np.clip(out, *self.limits, out=out)
        if self.period is not None:
            np.remainder(out, self.period, out=out)


def _fix(positions: npt.NDArray[np.float64]) -> Whole:
    return np.rint(positions * ONE).astype(np.int32)


class _Reader:
    """Reads rows of an output, in memory that is used again and again.

    Args:
        count: Most pixels read at a time.
        interpolation: How values between pixels are read.
    """

    def __init__(self, count: int, interpolation: Interpolation) -> None:
        self._is_bilinear = interpolation == "bilinear"
        self._small = np.empty((5, count), np.int32)
        self._large = np.empty((4, count), np.uint64)

    def read(self, words: Words, across: _Axis, down: _Axis, rows: slice, target: Pixels) -> None:
        """Read some rows of ``target`` ``(height, width, 3)`` from the canvas ``words``."""
        shape = target[rows].shape[:2]
        count = shape[0] * shape[1]
        x, y, both, rest, index = (part[:count].reshape(shape) for part in self._small)
        across.place(rows, x)
        down.place(rows, y)
        total, word, weight, place = (part[:count].reshape(shape) for part in self._large)
        stride, table = words.shape[1], words.ravel()
        if not self._is_bilinear:
            x += ONE // 2
            y += ONE // 2
        np.right_shift(y, PLACES, out=index)
        index *= stride
        np.right_shift(x, PLACES, out=rest)
        index += rest
        places = place.view(np.int64)
        places[...] = index
        if not self._is_bilinear:
            table.take(places, out=total, mode="wrap")
            total <<= np.uint64(PLACES)
        else:
            x &= ONE - 1
            y &= ONE - 1
            np.multiply(x, y, out=both)
            both >>= PLACES
            np.subtract(ONE, x, out=rest)
            rest -= y
            rest += both
            x -= both
            y -= both
            total[...] = HALF
            for share, step in ((rest, 0), (x, 1), (y, stride - 1), (both, 1)):
                places += step
                table.take(places, out=word, mode="wrap")
                np.copyto(weight, share, casting="unsafe")
                word *= weight
                total += word
        for channel in range(3):
            np.right_shift(total, np.uint64(PLACES + channel * LANE), out=word)
            np.copyto(target[rows, :, channel], word, casting="unsafe")
