"""Says what the arrays inside a saved model may be, before Keras reads them.

Owns: links out of the file, arrays that lie elsewhere or are larger than the file, layers
that are larger than their arrays. Does not own: the layers' kinds (``safety``).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py

from tfclassify.errors import BundleError

_WEIGHTS = "model.weights.h5"
#: Bytes that arrays may take for each byte of their file; weights hardly compress.
_LARGEST_RATIO = 8
_SMALLEST_FILE = 1 << 20  # bytes that a small file counts as, since formats have overheads
_LARGEST_SIDE = 4096  # pixels, as in the recipe
#: Layer -> the keys of its description that are sides of its arrays.
_SIZES = {
    "Dense": ("units",),
    "Conv2D": ("filters", "kernel_size"),
    "DepthwiseConv2D": ("kernel_size",),
    "SeparableConv2D": ("filters", "kernel_size"),
}


def check_stored_arrays(path: Path, layers: Iterable[dict[str, Any]]) -> None:
    """Refuse a saved model whose arrays lead elsewhere or would fill the memory.

    Each size that a layer's description names must be a side of some array in the file,
    so that no layer is made that the file does not hold.

    Args:
        path: A ``.keras`` file.
        layers: Descriptions of its objects, as in its ``config.json``.

    Raises:
        BundleError: If its weights are unreadable, link to anything, are larger than the
            file, or do not belong to the layers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(_WEIGHTS)
            if entry.compress_type != zipfile.ZIP_STORED:
                raise BundleError(f"{path}: its weights are packed, as Keras does not; {_ADVICE}")
            with archive.open(entry):  # checks the entry's own header
                pass
        with _Window(path, entry) as stream:
            sides = _check_file(path, stream, entry.file_size)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path}: its weights cannot be read ({error}); {_ADVICE}") from error
    for layer in layers:
        _check_layer(path, layer, sides)


_ADVICE = "train the model again, or take the bundle from someone you trust"


class _Window(io.RawIOBase):
    """The bytes of an entry that lies unpacked in a zip; ``zipfile`` seeks by reading."""

    def __init__(self, path: Path, entry: zipfile.ZipInfo) -> None:
        self._stream = path.open("rb")
        self._stream.seek(entry.header_offset + 26)
        lengths = self._stream.read(4)
        self._start = entry.header_offset + 30
        self._start += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        self._size, self._at = entry.file_size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes."""
        self._stream.seek(self._start + self._at)
        count = max(0, min(len(buffer), self._size - self._at))
        got = self._stream.readinto(memoryview(buffer)[:count])
        self._at += got
        return got

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place that is counted from the start, from here or from the end."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """Return the place of the next byte."""
        return self._at

    def close(self) -> None:
        """Close the file that holds the entry."""
        self._stream.close()
        super().close()


def _check_file(path: Path, stream: _Window, size: int) -> set[int]:
    """Return the sides of all arrays in an HDF5 file, after a look at each."""
    sides: set[int] = set()
    total = 0
    with h5py.File(stream, "r") as file:
        for name, array in _list_arrays(file, path):
            if array.dtype.kind not in "fiub" or array.external or array.is_virtual:
                raise BundleError(
                    f"{path}: its array {name!r} is not plain numbers in the file; {_ADVICE}"
                )
            sides.update(array.shape)
            total += array.nbytes
    if total > _LARGEST_RATIO * max(size, _SMALLEST_FILE):
        raise BundleError(
            f"{path}: its weights claim {total:,} bytes in {size:,} bytes of file; {_ADVICE}"
        )
    return sides


def _list_arrays(group: h5py.Group, path: Path) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield every array under a group by name, following no link."""
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise BundleError(f"{path}: {name!r} is a link out of its weights; {_ADVICE}")
        part = group[name]
        if isinstance(part, h5py.Group):
            yield from _list_arrays(part, path)
        else:
            yield part.name, part


def _check_layer(path: Path, layer: dict[str, Any], sides: set[int]) -> None:
    """Refuse a layer of other sizes than the arrays have, or an input beyond reason."""
    kind, config = layer.get("class_name"), layer.get("config")
    if not isinstance(config, dict):
        return
    if kind == "InputLayer" and max(_numbers(config.get("batch_shape")), default=0) > _LARGEST_SIDE:
        raise BundleError(
            f"{path}: takes images of {config['batch_shape']}, allowed are {_LARGEST_SIDE} pixels "
            f"a side; {_ADVICE}"
        )
    for key in _SIZES.get(str(kind), ()):
        strange = [number for number in _numbers(config.get(key)) if number not in sides]
        if strange:
            raise BundleError(
                f"{path}: its layer {config.get('name')!r} has {key} {config[key]}, but no array "
                f"of that size; {_ADVICE}"
            )


def _numbers(value: Any) -> list[int]:
    """Return the whole numbers of a value that is one, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, int)]
