"""Arrays that a run keeps beside its tables, in one file without pickle.

Owns: writing ``.npz`` files atomically, and reading back no more than was asked for: names,
shapes and types are compared before memory is taken. Does not own: what the arrays say.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from tfclassify.errors import RunError, explain_unread
from tfclassify.files import open_regular, open_replacing

#: What NumPy and zipfile raise on a file that is absent, damaged or made by somebody else.
_DAMAGES = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays of numbers to one file, atomically and compressed."""
    whole = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    with open_replacing(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **whole)


def list_arrays(path: Path) -> set[str]:
    """Return the names of the arrays in a file of ``save_arrays``.

    Raises:
        RunError: If it cannot be read.
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as stored:
            return {name.removesuffix(".npy") for name in stored.namelist()}
    except _DAMAGES as error:
        raise _refuse(path, error) from error


def load_arrays(
    path: Path, expected: Mapping[str, tuple[Sequence[int], str]]
) -> dict[str, np.ndarray]:
    """Read some arrays of a file of ``save_arrays``.

    Args:
        path: The file.
        expected: For each name its shape and type, such as ``((3, 2), "float32")``.

    Raises:
        RunError: If the file cannot be read, or an array is not what is expected.
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as stored:
            return {
                name: _read_one(stored, name, tuple(shape), np.dtype(kind))
                for name, (shape, kind) in expected.items()
            }
    except _DAMAGES as error:
        raise _refuse(path, error) from error


def _read_one(
    stored: zipfile.ZipFile, name: str, shape: tuple[int, ...], kind: np.dtype[Any]
) -> np.ndarray:
    with stored.open(f"{name}.npy") as stream:
        found = _read_header(stream)
        if found != (shape, False, kind):
            raise ValueError(f"{name} has the shape and type {found[0]} {found[2]}, not {shape}")
        size = int(np.prod(shape)) * kind.itemsize
        # One byte more than there may be, so that what is too long is seen too.
        content = stream.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name} holds {len(content)} bytes or more, not {size}")
    return np.frombuffer(content, kind).reshape(shape)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("an array is not of NumPy's format 1.0")
    return npy.read_array_header_1_0(stream)


def _refuse(path: Path, error: Exception) -> RunError:
    way_out = f"judge the run again by `tfclassify train --resume {path.parent}`"
    return RunError(f"{path}: cannot be read: {explain_unread(error, way_out)}")
