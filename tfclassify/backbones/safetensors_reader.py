"""Reads the tensors of a safetensors file with NumPy.

Owns: the file format: the length of a JSON header, the header, the numbers.
Does not own: what a tensor is for (``torch_weights``).
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from tfclassify.backbones.tensor_reader import item_size, read_numbers
from tfclassify.errors import WeightsError

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "bfloat16",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U8": "|u1",
    "BOOL": "|b1",
}
_LARGEST_HEADER = 100_000_000  # the format's own limit
_NOTES = "__metadata__"


def read_safetensors(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Read the named tensors of a safetensors file.

    Args:
        data: The whole file.
        where: What to call the file in messages.

    Returns:
        Tensor by name, in file order; bfloat16 becomes float32.

    Raises:
        WeightsError: If it is no such file or is damaged.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        if len(data) < 8 or length > min(_LARGEST_HEADER, len(data) - 8):
            raise ValueError("its header is longer than the file")
        header: Any = json.loads(data[8 : 8 + length])
        if not isinstance(header, dict):
            raise ValueError("its header is not a mapping of tensors")
        numbers = memoryview(data)[8 + length :]
        entries = {name: entry for name, entry in header.items() if name != _NOTES}
        _check_places([entry["data_offsets"] for entry in entries.values()], len(numbers))
        return {name: _read_tensor(name, entry, numbers) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(
            f"{where}: not a readable safetensors file: {error}; download it again"
        ) from error


def _check_places(places: list[list[int]], size: int) -> None:
    """Check that the tensors fill the file without gaps or overlaps, as the format says."""
    end = 0
    for start, stop in sorted(places):
        if start != end or stop < start:
            raise ValueError(f"a tensor starts at byte {start} instead of {end}")
        end = stop
    if end != size:
        raise ValueError(f"its tensors end at byte {end} of {size}")


def _read_tensor(name: str, entry: dict[str, Any], numbers: memoryview) -> np.ndarray:
    dtype = _TYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(f"{name} holds {entry['dtype']!r}, known are {', '.join(_TYPES)}")
    shape, (start, stop) = entry["shape"], entry["data_offsets"]
    if min(shape, default=0) < 0 or math.prod(shape) * item_size(dtype) != stop - start:
        raise ValueError(f"{name} has {stop - start} bytes, which are not {shape} of {dtype}")
    return read_numbers(bytes(numbers[start:stop]), dtype).reshape(shape).copy()
