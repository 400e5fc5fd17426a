"""Decoded images, wherever they are kept.

Owns: decoding many files in parallel, the choice between memory, disk and decoding again,
what decoded pixels depend on. Does not own: how one file is decoded (``data.images``),
batches (``stream``).

A file of decoded images ends with the SHA-256 of what comes before, which is checked when
it is opened: what changed on the disk is decoded anew. Where images are decoded at each
read, a file that was replaced meanwhile is an error that names it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import PIL

from tfclassify.data.images import decode_image
from tfclassify.data.memory import available_memory
from tfclassify.data.places import hash_image, stat_image
from tfclassify.errors import DataError, ImageError
from tfclassify.events import SILENT, Observer
from tfclassify.files import cache_folder, open_replacing
from tfclassify.recipe.wording import format_bytes

Mode = Literal["memory", "disk", "none"]
Pixels = npt.NDArray[np.uint8]

#: Share of the memory now free that decoded images may take; the rest is the network's.
MEMORY_SHARE = 0.4
#: Share of the disk now free that decoded images may take without being asked for.
DISK_SHARE = 0.25
#: Raised whenever the decoder gives other pixels for the same file.
DECODER_VERSION = 2
#: Bytes of the SHA-256 at the end of a file of decoded images.
SEAL = 32
#: Images decoded between two reports of progress and two writes.
CHUNK = 256
#: Decoding waits for files as much as for the processor.
WORKERS = min(32, (os.cpu_count() or 1) + 1)


class Decoding(Protocol):
    """How images are decoded and kept; a recipe's ``data`` section is one."""

    @property
    def image_size(self) -> tuple[int, int]:
        """``(height, width)`` in pixels."""

    @property
    def resize(self) -> Literal["stretch", "crop", "letterbox"]:
        """How another shape is brought to ``image_size``."""

    @property
    def max_pixels(self) -> int:
        """Images of more pixels are refused."""

    @property
    def cache(self) -> Literal["auto", "memory", "disk", "none"]:
        """Where decoded images are kept."""

    @property
    def cache_gb(self) -> float | None:
        """Gigabytes that ``auto`` keeps in memory; None: a share of what is free."""


class ImageStore:
    """Images by position, decoded now or before; safe to read from many threads.

    Attributes:
        mode: Where decoded images are kept: memory, disk, or none (decoded at each read).
        image_size: ``(height, width)`` in pixels.
        failure: The first image that could not be decoded by ``read``, or None.
    """

    def __init__(
        self,
        paths: Sequence[str],
        decoding: Decoding,
        mode: Mode,
        pixels: Pixels | None = None,
        place: Path | None = None,
    ) -> None:
        self.mode: Mode = mode
        self.image_size = decoding.image_size
        self.failure: ImageError | None = None
        self._paths, self._decoding = list(paths), decoding
        self._pixels, self._place = pixels, place
        self._pool = ThreadPoolExecutor(WORKERS, "decode") if pixels is None else None
        self._marks = np.array([_mark(path) for path in self._paths], np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._paths)

    def describe(self) -> str:
        """Say in one sentence how many images are kept where."""
        height, width = self.image_size
        images = f"{len(self):,} image{'' if len(self) == 1 else 's'} of {height}x{width}"
        size = format_bytes(_count_bytes(len(self), self.image_size))
        if self.mode == "memory":
            return f"{images} decoded once and kept in memory ({size})"
        if self.mode == "disk":
            return f"{images} decoded once and kept on disk ({size}, {self._place})"
        return f"{images} decoded again in every epoch ({size} decoded)"

    def read(self, positions: Sequence[int] | npt.NDArray[np.integer]) -> Pixels:
        """Read images by position.

        Args:
            positions: ``(b,)`` row numbers, in any order, repeated or not.

        Returns:
            ``(b, height, width, 3)`` uint8 RGB, in the order of ``positions``.

        Raises:
            ImageError: If an image cannot be decoded, or was replaced since the images were
                opened (mode none); names its path.
        """
        rows = np.asarray(positions, dtype=np.int64)
        if self._pixels is not None:
            return np.take(self._pixels, rows, axis=0)
        assert self._pool is not None  # made where there are no pixels
        batch = np.empty((len(rows), *self.image_size, 3), np.uint8)
        try:
            for row in rows:
                self._check_mark(row)
            _decode_into(batch, [self._paths[row] for row in rows], self._decoding, self._pool)
        except ImageError as error:
            self.failure = self.failure or error
            raise
        return batch

    def decoded_as(self, decoding: Decoding, observer: Observer = SILENT) -> ImageStore:
        """Open the same images for another size; itself where the size is the same.

        Args:
            decoding: Size, resizing, limits and cache.
            observer: Hears about progress.

        Raises:
            ImageError: If an image was replaced since these were opened; names its path.
        """
        if tuple(decoding.image_size) == tuple(self.image_size):
            return self
        for row in range(len(self)):
            self._check_mark(row)
        return open_images(self._paths, decoding, observer=observer)

    def _check_mark(self, row: int) -> None:
        path = self._paths[row]
        before, now = tuple(self._marks[row].tolist()), _mark(path)
        # A file that is not there is the decoder's to tell.
        if now != before and -1 not in (before[0], now[0]):
            raise ImageError(
                f"{path}: the image was changed while it was in use ({before[0]:,} bytes before, "
                f"{now[0]:,} now); put it back and use --resume, or start a new run"
            )


def open_images(paths: Sequence[str], data: Decoding, *, observer: Observer = SILENT) -> ImageStore:
    """Decode images and keep them where the recipe says, or make ready to decode.

    ``auto`` takes the first that fits: memory (the recipe's budget, or a share of what is
    free now), disk (a share of what is free under the cache folder), none.

    Args:
        paths: Image files in row order.
        data: Size, resizing, limits and cache, as a recipe's ``data`` section.
        observer: Hears about progress; ``describe`` of the result says where the images are.

    Returns:
        The images in the order of ``paths``.

    Raises:
        ImageError: If an image cannot be decoded; names its path.
        DataError: If ``disk`` was asked for and the images do not fit.
    """
    size = _count_bytes(len(paths), data.image_size)
    mode = _choose_mode(size, data, observer) if data.cache == "auto" else data.cache
    if mode == "disk":
        return _open_on_disk(paths, data, size, observer)
    if mode == "none":
        return ImageStore(paths, data, "none")
    free = available_memory()
    if size > free:
        observer.on_warning(
            f"data.cache: memory needs {format_bytes(size)} for decoded images and "
            f"{format_bytes(free)} are free; cache: disk or none would not"
        )
    pixels = np.empty((len(paths), *data.image_size, 3), np.uint8)
    for start, chunk in _decode_chunks(paths, data, observer):
        pixels[start : start + len(chunk)] = chunk
    return ImageStore(paths, data, "memory", pixels)


@contextmanager
def naming_broken_images(images: ImageStore) -> Iterator[None]:
    """Raise the ``ImageError`` behind a failure of a stream, which hides its type.

    TensorFlow wraps what a reader raises into an error of its own; around the reading of
    a stream over ``images`` this gives back the error that names the file.
    """
    try:
        yield
    except Exception as error:
        if images.failure is not None and error is not images.failure:
            raise images.failure from error
        raise


def find_budget(cache_gb: float | None) -> int:
    """Return the bytes of memory that may be taken now.

    Args:
        cache_gb: Gigabytes that the recipe allows; None: a share of what is free.
    """
    free = available_memory()
    return int(MEMORY_SHARE * free if cache_gb is None else min(cache_gb * 1e9, free))


def _choose_mode(size: int, data: Decoding, observer: Observer) -> Mode:
    budget = find_budget(data.cache_gb)
    if size <= budget:
        return "memory"
    mode: Mode = "disk" if size <= DISK_SHARE * free_disk(cache_folder()) else "none"
    if size and data.cache_gb is not None:
        where = "kept in a memory-mapped file" if mode == "disk" else "decoded again in every epoch"
        observer.on_note(
            f"data.cache_gb: decoded images need {format_bytes(size)}, allowed are "
            f"{format_bytes(budget)} of memory; they are {where}"
        )
    return mode


def _open_on_disk(
    paths: Sequence[str], data: Decoding, size: int, observer: Observer
) -> ImageStore:
    """Map the one file that holds the decoded images, and write it first if it is new."""
    place = cache_folder() / "images" / f"{hash_content(paths, data)}.uint8"
    shape = (len(paths), *data.image_size, 3)
    is_there = place.is_file() and place.stat().st_size == size + SEAL
    if is_there and not _is_sealed(place, size):
        observer.on_warning(f"{place}: changed since it was written; its images are decoded anew")
        is_there = False
    if not is_there:
        free = free_disk(place)
        if size > free:
            raise DataError(
                f"{place.parent}: decoded images need {format_bytes(size)} on disk and "
                f"{format_bytes(free)} are free; make room, set TFCLASSIFY_CACHE to a larger "
                "disk, or use data.cache: none"
            )
        with open_replacing(place) as stream:
            seal = hashlib.sha256()
            for _, chunk in _decode_chunks(paths, data, observer):
                stream.write(chunk.data)
                seal.update(chunk.data)
            stream.write(seal.digest())
    # An empty file cannot be mapped.
    pixels = np.memmap(place, np.uint8, "r", shape=shape) if size else np.empty(shape, np.uint8)
    return ImageStore(paths, data, "disk", pixels, place)


def _is_sealed(place: Path, size: int) -> bool:
    """Tell whether a file of decoded images still holds what was written."""
    seal, left = hashlib.sha256(), size
    with place.open("rb") as stream:
        while left:
            part = stream.read(min(left, 1 << 22))
            if not part:
                return False
            seal.update(part)
            left -= len(part)
        return stream.read() == seal.digest()


def hash_content(paths: Sequence[str], data: Decoding) -> str:
    """Hash all that decoded pixels depend on: the files' bytes, their order, the decoder.

    Neither where the files lie nor their names enter, so a copied data set finds the
    cache of the first.

    Args:
        paths: Image files in row order.
        data: Size, resizing and limits.

    Returns:
        64 hexadecimal digits.

    Raises:
        ImageError: If a file cannot be read; names its path.
    """
    settings = (DECODER_VERSION, PIL.__version__, data.image_size, data.resize, data.max_pixels)
    whole = hashlib.sha256(repr(settings).encode())
    with ThreadPoolExecutor() as pool:
        for digest in pool.map(_hash_image, paths):
            whole.update(bytes.fromhex(digest))
    return whole.hexdigest()


def _hash_image(path: str) -> str:
    try:
        return hash_image(path)
    except OSError as error:
        raise ImageError(
            f"{path}: the image cannot be read ({error.strerror}); it was there when the data "
            "was scanned: put it back or start a new run"
        ) from error


def _mark(path: str) -> tuple[int, int]:
    """Return by what a change is noticed; (-1, 0) if the file is not there."""
    return stat_image(path) or (-1, 0)


def _decode_chunks(
    paths: Sequence[str], data: Decoding, observer: Observer
) -> Iterator[tuple[int, Pixels]]:
    """Yield (first position, ``(b, height, width, 3)`` uint8) in row order."""
    task = "decode images"
    observer.on_task_start(task, len(paths))
    with ThreadPoolExecutor(WORKERS, "decode") as pool:
        for start in range(0, len(paths), CHUNK):
            part = paths[start : start + CHUNK]
            chunk = np.empty((len(part), *data.image_size, 3), np.uint8)
            _decode_into(chunk, part, data, pool)
            yield start, chunk
            observer.on_task_step(task, start + len(part))
    observer.on_task_end(task)


def _decode_into(
    batch: Pixels, paths: Sequence[str], data: Decoding, pool: ThreadPoolExecutor
) -> None:
    def decode(number: int) -> None:
        batch[number] = decode_image(
            paths[number], data.image_size, data.resize, max_pixels=data.max_pixels
        )

    # Reading every result raises what a thread raised; the first in row order wins.
    for _ in pool.map(decode, range(len(paths))):
        pass


def _count_bytes(images: int, image_size: tuple[int, int]) -> int:
    return images * image_size[0] * image_size[1] * 3


def free_disk(place: Path) -> int:
    """Return the bytes free where ``place`` is or would be."""
    existing = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free
