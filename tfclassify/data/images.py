"""The one decoder: a file's bytes to upright RGB pixels of the wanted size.

Owns: which formats are read, what makes a file unusable, resizing. Training,
evaluation, prediction and previews all decode here, so they see the same pixels.
Does not own: colour modes and orientation (``pixels``), reports (``scan``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tfclassify.data.formats import describe_stranger, find_excess, is_cut_short, recognise
from tfclassify.data.memory import total_memory
from tfclassify.data.pixels import (
    count_bytes,
    find_colour_remarks,
    make_upright,
    read_orientation,
    to_rgb,
)
from tfclassify.data.places import read_image_file
from tfclassify.errors import ImageError
from tfclassify.recipe.wording import format_bytes

Resize = Literal["stretch", "crop", "letterbox"]
Box = tuple[float, float, float, float]

MAX_PIXELS = 100_000_000
#: Share of the machine's memory that decoding one image may take.
DECODING_SHARE = 0.25
#: Images that take more bytes than this are decoded one at a time, however many threads.
LARGE_BYTES = 128 << 20
_LARGE_ONES = threading.Lock()
READ_FORMATS = "JPEG, PNG, BMP, GIF and WebP are read"
#: A bilinear resize that starts from at least this many times the wanted size cannot be
#: told from one that starts from all pixels, and JPEG decodes smaller for less.
_DRAFT_MARGIN = 2


class _QuietJpeg(JpegImageFile):
    """A JPEG whose resolution is not looked up in EXIF, where a fault would warn."""

    def _read_dpi_from_exif(self) -> None:
        pass


@dataclass(frozen=True)
class ImageFormat:
    """One file format that is read.

    Attributes:
        name: As people write it.
        endings: File name endings that announce it.
        plugin: Pillow's class for it. Used directly, since ``Image.open`` guesses among
            all formats and has a process-wide pixel cap of its own.
    """

    name: str
    endings: tuple[str, ...]
    plugin: Callable[[BytesIO], ImageFile.ImageFile]


FORMATS = {
    "JPEG": ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), _QuietJpeg),
    "PNG": ImageFormat("PNG", (".png", ".apng"), PngImageFile),
    "BMP": ImageFormat("BMP", (".bmp", ".dib"), BmpImageFile),
    "GIF": ImageFormat("GIF", (".gif",), GifImageFile),
    "WebP": ImageFormat("WebP", (".webp",), WebPImageFile),
}
#: Every ending of a format that is read.
ENDINGS = tuple(ending for form in FORMATS.values() for ending in form.endings)


@dataclass(frozen=True)
class ImageFacts:
    """What a file says about its image.

    Attributes:
        width: Pixels, after EXIF rotation.
        height: Pixels, after EXIF rotation.
        format: A key of ``FORMATS``.
        mode: Pillow's name of the stored colours, such as ``CMYK``.
        remarks: Names of unusual things, by ``data.integrity.KINDS``.
    """

    width: int
    height: int
    format: str
    mode: str
    remarks: tuple[str, ...]


def open_image(
    source: Path | str | bytes, max_pixels: int = MAX_PIXELS
) -> tuple[ImageFacts, Image.Image]:
    """Decode a whole image.

    Args:
        source: A file's path, or its bytes.
        max_pixels: Images of more pixels are refused before they are decoded.

    Returns:
        What the file says, and an upright RGB image; the first frame if animated.

    Raises:
        ImageError: If there is no such file, or it is empty, truncated, too large, or
            no image that can be read.
    """
    opened = _open(source, max_pixels)
    facts = opened.load()
    return facts, make_upright(opened.pixels, opened.orientation)


def shrink_image(
    source: Path | str | bytes, longest: int, *, max_pixels: int = MAX_PIXELS
) -> tuple[ImageFacts, Image.Image]:
    """Decode an image for people to look at: whole, and no larger than asked for.

    Args:
        source: A file's path, or its bytes.
        longest: Longest side of the result, in pixels; a smaller image keeps its size.
        max_pixels: Images of more pixels are refused before they are decoded.

    Returns:
        What the file says, and an upright RGB image; the first frame if animated.

    Raises:
        ImageError: As ``open_image``.
    """
    opened = _open(source, max_pixels)
    width, height = opened.size
    scale = min(1.0, longest / max(width, height))
    inner = (max(1, round(scale * width)), max(1, round(scale * height)))
    place = Place((0.0, 0.0, width, height), inner)
    facts = opened.load(place)
    small = opened.pixels
    if small.size != inner:
        box = opened.to_loaded(place.box)
        small = small.resize(inner, Image.Resampling.BILINEAR, box=box)
    return facts, make_upright(small, opened.orientation)


def decode_image(
    source: Path | str | bytes,
    image_size: tuple[int, int],
    resize: Resize = "stretch",
    *,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Decode an image at the size that a model takes.

    Pillow's bilinear filter, antialiased when it shrinks. Runs without the interpreter
    lock for most of its time, so threads help.

    Args:
        source: A file's path, or its bytes.
        image_size: ``(height, width)`` wanted, in pixels.
        resize: ``stretch`` changes the shape, ``crop`` keeps the centre, ``letterbox``
            keeps all and adds black bars.
        max_pixels: Images of more pixels are refused before they are decoded.

    Returns:
        RGB, uint8, ``(height, width, 3)``.

    Raises:
        ImageError: As ``open_image``.
    """
    return decode_with_facts(source, image_size, resize, max_pixels=max_pixels)[1]


def decode_with_facts(
    source: Path | str | bytes,
    image_size: tuple[int, int],
    resize: Resize = "stretch",
    *,
    max_pixels: int = MAX_PIXELS,
    where: str = "",
) -> tuple[ImageFacts, np.ndarray]:
    """Decode an image as ``decode_image`` does, and say what its file says.

    ``where`` names the file in errors when ``source`` is its bytes.
    """
    opened = _open(source, max_pixels, where)
    is_turned = opened.orientation >= 5
    wanted = image_size if is_turned else (image_size[1], image_size[0])
    facts = opened.load(place_image(opened.size, wanted, resize))
    if (opened.orientation >= 5) != is_turned:  # a PNG may tell its orientation at its end
        wanted = wanted[::-1]
    place = place_image(opened.size, wanted, resize)
    small = opened.pixels.resize(
        place.inner, Image.Resampling.BILINEAR, box=opened.to_loaded(place.box)
    )
    upright = np.array(make_upright(small, opened.orientation))
    return facts, _pad(upright, image_size)


@dataclass(frozen=True)
class Place:
    """Which part of an image is shown, and at which size.

    Attributes:
        box: ``(left, top, right, bottom)`` of the part, in pixels of the image.
        inner: ``(width, height)`` it is brought to; smaller than what a model takes where
            black bars are added, as much on either side.
    """

    box: Box
    inner: tuple[int, int]


def place_image(size: tuple[int, int], wanted: tuple[int, int], resize: Resize) -> Place:
    """Work out which part of an image a model is shown, and at which size.

    Args:
        size: ``(width, height)`` of the image.
        wanted: ``(width, height)`` that the model takes.
        resize: As ``decode_image``.
    """
    width, height = size
    ratios = (wanted[0] / width, wanted[1] / height)
    if resize == "crop":
        kept = (wanted[0] / max(ratios), wanted[1] / max(ratios))
        left, top = (width - kept[0]) / 2, (height - kept[1]) / 2
        box = (
            max(left, 0.0),
            max(top, 0.0),
            min(left + kept[0], width),
            min(top + kept[1], height),
        )
        return Place(box, wanted)
    if resize == "letterbox":
        scale = min(ratios)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        return Place((0.0, 0.0, width, height), inner)
    return Place((0.0, 0.0, width, height), wanted)


def _pad(pixels: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Centre ``(h, w, 3)`` pixels on black of ``image_size``, where they are smaller."""
    height, width = pixels.shape[:2]
    if (height, width) == image_size:
        return pixels
    canvas = np.zeros((*image_size, 3), dtype=np.uint8)
    top, left = (image_size[0] - height) // 2, (image_size[1] - width) // 2
    canvas[top : top + height, left : left + width] = pixels
    return canvas


class _Opened:
    """An image whose header was read and found good, and whose pixels were not."""

    def __init__(self, image: ImageFile.ImageFile, form: ImageFormat, where: str, data: bytes):
        self.image, self.form, self.where, self.data = image, form, where, data
        self.size = image.size
        self.orientation = read_orientation(image.info)
        self.pixels: Image.Image = image
        self.shrink = 1.0

    def load(self, place: Place | None = None) -> ImageFacts:
        """Decode the pixels, to no less than ``place`` needs, and make them RGB."""
        try:
            remarks = list(find_colour_remarks(self.image))
            if getattr(self.image, "is_animated", False):
                remarks.append("animated")
            if place is not None and isinstance(self.image, JpegImageFile):
                drafted = self.image.draft(None, _draft_size(self.size, place))
                # The last block may reach beyond the image, so the ratio of the sizes
                # is not the factor; the box that Pillow returns tells it.
                self.shrink = self.size[0] / drafted[1][2] if drafted else 1.0
            with self._take_turn():
                self.image.load()
                self.pixels = to_rgb(self.image)
        except (MemoryError, ImageError):  # says nothing about this file, or all of it
            raise
        except Exception as error:  # whatever a decoder raises is a fact about the file
            raise _explain(self.where, self.form, self.data, error) from error
        self.orientation = read_orientation(self.image.info)
        ending = Path(self.where).suffix.lower()
        if ending in ENDINGS and ending not in self.form.endings:
            remarks.append("wrong_extension")
        width, height = self.size[::-1] if self.orientation >= 5 else self.size
        return ImageFacts(width, height, self.form.name, self.image.mode, tuple(remarks))

    def _take_turn(self) -> AbstractContextManager[object]:
        """Refuse an image that is too large to decode here; let large ones wait in line.

        Raises:
            ImageError: If decoding would take more than a stated share of the memory.
        """
        need = count_bytes(self.image, self.orientation != 1)
        allowed = int(DECODING_SHARE * total_memory())
        if need > allowed:
            width, height = self.size
            raise ImageError(
                f"{self.where}: decoding its {width}x{height} pixels takes about "
                f"{format_bytes(need)}, allowed is {DECODING_SHARE:.0%} of this machine's memory, "
                f"{format_bytes(allowed)}; shrink the image",
                "too_large",
            )
        return _LARGE_ONES if need > LARGE_BYTES else nullcontext()

    def to_loaded(self, box: Box) -> Box:
        """Express a box of the stored image in pixels of the loaded one."""
        left, top, right, bottom = box
        return (left / self.shrink, top / self.shrink, right / self.shrink, bottom / self.shrink)


def _draft_size(size: tuple[int, int], place: Place) -> tuple[int, int]:
    """Return the least ``(width, height)`` that a JPEG may be decoded at."""
    left, top, right, bottom = place.box
    return (
        max(1, round(_DRAFT_MARGIN * place.inner[0] * size[0] / (right - left))),
        max(1, round(_DRAFT_MARGIN * place.inner[1] * size[1] / (bottom - top))),
    )


def _open(source: Path | str | bytes, max_pixels: int, where: str = "") -> _Opened:
    """Read a file and its header, refusing what must not be decoded."""
    where = where or ("image" if isinstance(source, bytes) else str(source))
    data = source if isinstance(source, bytes) else read_image_file(source, max_pixels)
    if not data:
        raise ImageError(f"{where}: the file is empty, got 0 bytes", "empty")
    form = FORMATS.get(recognise(data) or "")
    if form is None:
        raise ImageError(f"{where}: {describe_stranger(data)}; {READ_FORMATS}", "not_an_image")
    excess = find_excess(data, form.name)
    if excess:
        raise ImageError(f"{where}: the {form.name} asks for too much work: {excess}; save it anew")
    try:
        image = form.plugin(BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder raises is a fact about the file
        raise _explain(where, form, data, error) from error
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{where}: the image has {width * height:,} pixels ({width}x{height}), allowed are "
            f"{max_pixels:,}; shrink it or raise data.max_pixels",
            "too_large",
        )
    return _Opened(image, form, where, data)


def _explain(where: str, form: ImageFormat, data: bytes, error: Exception) -> ImageError:
    """Word what a decoder said about a damaged file."""
    if is_cut_short(data, form.name) or "truncated" in str(error).lower():
        return ImageError(
            f"{where}: the {form.name} is truncated, got {len(data):,} bytes and no end; "
            "fetch the file again",
            "truncated",
        )
    reason = str(error) or type(error).__name__
    return ImageError(f"{where}: the {form.name} is damaged ({reason}); fetch the file again")
