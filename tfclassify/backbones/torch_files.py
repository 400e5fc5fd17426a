"""Reads the tensors of a torch file of either format with NumPy.

Owns: the zip format that torch writes since version 1.6, and telling the two apart.
Does not own: the pickle's allow-list and the older format (``tensor_reader``).
"""

from __future__ import annotations

import io
import zipfile

import numpy as np

from tfclassify.backbones.tensor_reader import (
    DAMAGE,
    Tensor,
    TensorUnpickler,
    check_instructions,
    check_tensors,
    item_size,
    read_numbers,
    read_tensors,
    refuse,
    view,
)

_ZIP_START = b"PK"
_PICKLE = "/data.pkl"
_LARGEST_PICKLE = 64 << 20  # bytes; ResNet152's takes under one hundred thousand


def read_torch_file(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Read the named tensors of a file that ``torch.save`` wrote, in either format.

    Args:
        data: The whole file.
        where: What to call the file in messages.

    Returns:
        Tensor by name, in file order.

    Raises:
        WeightsError: If it is no such file, is damaged, or asks for anything but
            tensors. Nothing of what it asked for has then been done.
    """
    if not data.startswith(_ZIP_START):
        return read_tensors(data, where)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read_archive(archive)
    except (*DAMAGE, zipfile.BadZipFile, NotImplementedError, OSError) as error:
        refuse(where, error)


def _read_archive(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Read the pickle of an archive, then the buffers that it names."""
    members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if name.endswith(_PICKLE)]
    if len(pickles) != 1 or any(info.compress_type for info in members.values()):
        raise ValueError("it is not a zip archive that torch wrote")
    root = pickles[0].removesuffix(_PICKLE)
    order = f"{root}/byteorder"
    if order in members and archive.read(order).strip() != b"little":
        raise ValueError("its numbers are not little-endian")
    if members[pickles[0]].file_size > _LARGEST_PICKLE:
        raise ValueError(f"its names take over {_LARGEST_PICKLE} bytes")
    program = archive.read(pickles[0])
    check_instructions(program, pickles=1)
    tensors = TensorUnpickler(io.BytesIO(program), encoding="utf-8").load()
    check_tensors(tensors)
    buffers = {}
    for tensor in tensors.values():
        if tensor.buffer.key not in buffers:
            buffers[tensor.buffer.key] = _read_buffer(archive, root, tensor)
    return {str(name): view(tensor, buffers) for name, tensor in tensors.items()}


def _read_buffer(archive: zipfile.ZipFile, root: str, tensor: Tensor) -> np.ndarray:
    """Read the buffer of a tensor, ``(length,)``."""
    buffer = tensor.buffer
    content = archive.read(f"{root}/data/{buffer.key}")
    if len(content) != buffer.length * item_size(buffer.dtype):
        raise ValueError(
            f"buffer {buffer.key} has {len(content)} bytes instead of "
            f"{buffer.length * item_size(buffer.dtype)}"
        )
    return read_numbers(content, buffer.dtype)
