"""Reads the tensors of a legacy torch file with NumPy, and can do nothing else.

Owns: the file format and its allow-list. A pickle is a program; this one may call
``OrderedDict`` and the rebuilding of a tensor, and name two kinds of number.
Does not own: which files are trusted, what a tensor is for (``lite_weights``).
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tfclassify.errors import WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
#: What torch calls a buffer of numbers -> its little-endian NumPy type.
_STORAGES = {"FloatStorage": "<f4", "LongStorage": "<i8"}
#: The instructions that torch writes, none of which makes an object by itself.
_INSTRUCTIONS = frozenset(
    [
        "PROTO",
        "STOP",
        "MARK",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINUNICODE",
        "EMPTY_DICT",
        "SETITEM",
        "SETITEMS",
        "EMPTY_LIST",
        "APPEND",
        "APPENDS",
        "EMPTY_TUPLE",
        "TUPLE",
        "TUPLE1",
        "TUPLE2",
        "TUPLE3",
        "BINPUT",
        "LONG_BINPUT",
        "BINGET",
        "LONG_BINGET",
        "BINPERSID",
        "GLOBAL",
        "REDUCE",
        "BUILD",
    ]
)
#: What a hostile or damaged pickle makes Python raise, apart from running code.
_DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class _Buffer:
    """A flat run of numbers that comes later in the file."""

    key: str
    dtype: str
    length: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A part of a buffer with a shape; strides count numbers, not bytes."""

    buffer: _Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Rebuilder:
    """Stands for ``torch._utils._rebuild_tensor_v2``; has no attribute to overwrite."""

    __slots__ = ()

    def __call__(
        self,
        buffer: _Buffer,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        requires_grad: bool,
        hooks: object,
    ) -> _Tensor:
        if not isinstance(buffer, _Buffer) or min((offset, *shape, *strides), default=0) < 0:
            raise ValueError("a tensor has no buffer or a negative size")
        steps = zip(shape, strides, strict=True)
        last = offset + sum((size - 1) * stride for size, stride in steps)
        # The second bound keeps strides of 0 from blowing a small file up.
        if last >= buffer.length or math.prod(shape) > buffer.length:
            raise ValueError(f"a tensor of shape {shape} does not lie within its buffer")
        return _Tensor(buffer, offset, tuple(shape), tuple(strides))


class _TensorUnpickler(pickle.Unpickler):
    """Knows four names and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the allow-list stands for."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuilder()
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]  # a plain string: nothing that could be called
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> _Buffer:
        """Return the buffer that a tensor refers to."""
        kind, dtype, key, _device, length, view = pid
        if kind != "storage" or dtype not in _STORAGES.values() or view is not None:
            raise pickle.UnpicklingError(f"it refers to {kind!r}, which is not allowed")
        if not isinstance(key, str) or not isinstance(length, int) or length < 0:
            raise pickle.UnpicklingError("it refers to a buffer without a key or a length")
        return _Buffer(key, dtype, length)


def read_tensors(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Read the named tensors of a file that ``torch.save`` wrote before torch 1.6.

    The file is five pickles (magic number, format version, machine, the tensors'
    names and shapes, the order of the buffers) and then the buffers, each an int64
    length and its little-endian numbers.

    Args:
        data: The whole file.
        where: What to call the file in messages.

    Returns:
        Tensor by name, in file order.

    Raises:
        WeightsError: If it is no such file, is damaged, or asks for anything but
            tensors. Nothing of what it asked for has then been done.
    """
    try:
        _check_instructions(data)
        stream = io.BytesIO(data)
        magic, version, machine, tensors, order = (
            _TensorUnpickler(stream, encoding="utf-8").load() for _ in range(5)
        )
        if magic != _MAGIC or version != _PROTOCOL or machine["little_endian"] is not True:
            raise ValueError("it is not in torch's legacy format of little-endian machines")
        if not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
            raise ValueError("it holds something that is not a tensor")
        buffers = _read_buffers(data, stream.tell(), order, tensors)
        return {str(name): _view(tensor, buffers) for name, tensor in tensors.items()}
    except _DAMAGE as error:
        _refuse(where, error)


def _check_instructions(data: bytes) -> None:
    """Go through the five pickles without running them, looking at each instruction."""
    stream = io.BytesIO(data)
    for _ in range(5):
        for instruction, argument, _position in pickletools.genops(stream):
            if instruction.name not in _INSTRUCTIONS:
                raise pickle.UnpicklingError(f"it uses {instruction.name}, which is not allowed")
            # Python sets memory aside for every number up to the one that is named.
            if instruction.name == "LONG_BINPUT" and (argument or 0) > len(data):
                raise pickle.UnpicklingError(f"it numbers an object {argument}")


def _read_buffers(
    data: bytes, position: int, order: list[str], tensors: dict[str, _Tensor]
) -> dict[str, np.ndarray]:
    """Read every buffer, ``(length,)`` each, by its key."""
    declared = {tensor.buffer.key: tensor.buffer for tensor in tensors.values()}
    buffers = {}
    for key in order:
        buffer = declared[key]
        (length,) = struct.unpack_from("<q", data, position)
        if length != buffer.length:
            raise ValueError(f"buffer {key} has {length} numbers instead of {buffer.length}")
        buffers[key] = np.frombuffer(data, buffer.dtype, length, position + 8)
        position += 8 + buffers[key].nbytes
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes follow the last buffer")
    return buffers


def _view(tensor: _Tensor, buffers: dict[str, np.ndarray]) -> np.ndarray:
    """Copy the part of a buffer that is the tensor; its bounds were checked."""
    flat = buffers[tensor.buffer.key][tensor.offset :]
    strides = [stride * flat.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides).copy()


def _refuse(where: str, error: Exception) -> NoReturn:
    """Say that the file is not a tensor file, and why."""
    raise WeightsError(
        f"{where}: not a readable tensor file: {error}; nothing in it was run. "
        "Install the package that holds it again"
    ) from error
