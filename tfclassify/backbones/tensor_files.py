"""Reads the tensors of torch's and safetensors' files with NumPy alone.

Owns: both formats, torch's old and new one, and a pickle reader that can make nothing but
tensors. Does not own: which tensor belongs to which layer (``torch_weights``).
"""

from __future__ import annotations

import io
import json
import math
import pickle
import pickletools
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfclassify.errors import WeightsError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: Torch's and safetensors' word for a kind of number, and its little-endian NumPy type.
_KINDS = (
    ("DoubleStorage", "F64", "<f8"),
    ("FloatStorage", "F32", "<f4"),
    ("HalfStorage", "F16", "<f2"),
    ("BFloat16Storage", "BF16", "bfloat16"),
    ("LongStorage", "I64", "<i8"),
    ("IntStorage", "I32", "<i4"),
    ("ShortStorage", "I16", "<i2"),
    ("CharStorage", "I8", "|i1"),
    ("ByteStorage", "U8", "|u1"),
    ("BoolStorage", "BOOL", "|b1"),
)
_STORAGES = {storage: dtype for storage, _, dtype in _KINDS}
_TYPES = {word: dtype for _, word, dtype in _KINDS}
#: The instructions that torch writes, none of which makes an object by itself.
_INSTRUCTIONS = frozenset(
    {
        *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT", "BININT"),
        *("BININT1", "BININT2", "LONG1", "BINUNICODE", "EMPTY_DICT", "SETITEM", "SETITEMS"),
        *("EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2"),
        *("TUPLE3", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "BINPERSID", "GLOBAL"),
        *("REDUCE", "BUILD"),
    }
)
_PICKLE, _LARGEST_PICKLE = "/data.pkl", 64 << 20  # bytes; ResNet152's takes under 100,000
_NOTES, _LARGEST_HEADER = "__metadata__", 100_000_000  # the format's own limit


@dataclass(frozen=True, slots=True)
class Buffer:
    """A flat run of numbers that comes later in the file."""

    key: str
    dtype: str
    length: int

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it changes a buffer, which is not allowed")

    def read(self, content: bytes) -> np.ndarray:
        """Return its numbers, ``(length,)``."""
        size = self.length * _item_size(self.dtype)
        if len(content) != size:
            raise ValueError(f"buffer {self.key} has {len(content)} bytes instead of {size}")
        return _read_numbers(content, self.dtype)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A part of a buffer with a shape; strides count numbers, not bytes."""

    buffer: Buffer
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, state: object) -> None:
        """Leave aside what torch notes of a parameter: gradients and hooks."""

    def check(self) -> None:
        """Raise ValueError unless all of it lies within its buffer."""
        if not isinstance(self.buffer, Buffer):
            raise ValueError("a tensor has no buffer")
        if min((self.offset, *self.shape, *self.strides), default=0) < 0:
            raise ValueError("a tensor has a negative size")
        steps = zip(self.shape, self.strides, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        # The second bound keeps strides of 0 from blowing a small file up.
        if last >= self.buffer.length or math.prod(self.shape) > self.buffer.length:
            raise ValueError(f"a tensor of shape {self.shape} does not lie within its buffer")

    def cut(self, buffers: dict[str, np.ndarray]) -> np.ndarray:
        """Copy it out of its buffer, within the bounds that were checked."""
        flat = buffers[self.buffer.key][self.offset :]
        strides = [stride * flat.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides).copy()


class _Rebuilder:
    """Stands for ``torch._utils._rebuild_tensor_v2``; has no attribute to overwrite."""

    __slots__ = ()

    def __call__(
        self, buffer: Buffer, offset: int, shape: Any, strides: Any, *notes: object
    ) -> Tensor:
        return Tensor(buffer, offset, tuple(shape), tuple(strides))


class _Wrapper:
    """Stands for a parameter, which wraps a tensor and is nothing else here."""

    __slots__ = ()

    def __call__(self, tensor: object, *notes: object) -> object:
        return tensor


#: The callables that a file of tensors names.
_CALLS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): lambda: OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _Rebuilder,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuilder,
    ("torch._utils", "_rebuild_parameter"): _Wrapper,
    ("torch.nn.parameter", "Parameter"): _Wrapper,
}


class TensorUnpickler(pickle.Unpickler):
    """Knows a handful of names and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the allow-list stands for."""
        if (module, name) in _CALLS:
            return _CALLS[module, name]()
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]  # a plain string: nothing that could be called
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> Buffer:
        """Return the buffer that a tensor refers to."""
        kind, dtype, key, _device, length, *views = pid  # the newer format has no views
        if kind != "storage" or dtype not in _STORAGES.values() or views not in ([], [None]):
            raise pickle.UnpicklingError(f"it refers to {kind!r}, which is not allowed")
        if not isinstance(key, str) or not isinstance(length, int) or length < 0:
            raise pickle.UnpicklingError("it refers to a buffer without a key or a length")
        return Buffer(key, dtype, length)


def read_tensors(data: bytes, where: str) -> dict[str, np.ndarray]:
    """Read the named tensors of a file.

    Args:
        data: The whole file: of safetensors, or of ``torch.save``, before torch 1.6 or since.
        where: What to call the file in messages; ``.safetensors`` at its end says that it is one.

    Returns:
        Tensor by name, in file order; bfloat16 becomes float32.

    Raises:
        WeightsError: If it is no such file, is damaged, or asks for anything but
            tensors. Nothing of what it asked for has then been done.
    """
    read = _read_archive if data.startswith(b"PK") else _read_legacy
    if where.endswith(".safetensors"):
        read = _read_safetensors
    try:
        return read(data)
    except Exception as error:  # a hostile or damaged pickle makes Python raise anything
        raise WeightsError(
            f"{where}: not a readable tensor file: {error}; nothing in it was run. "
            "Give a file of tensors alone, as torch.save(model.state_dict(), path) writes it, or "
            "download or install it again"
        ) from error


def _read_legacy(data: bytes) -> dict[str, np.ndarray]:
    """Read torch's older format.

    It is five pickles (magic number, format version, machine, the tensors' names and shapes,
    the order of the buffers) and then the buffers, each an int64 length and its numbers.
    """
    magic, version, machine, tensors, order, position = _load(data, pickles=5)
    if magic != _MAGIC or version != _PROTOCOL or machine["little_endian"] is not True:
        raise ValueError("it is not in torch's legacy format of little-endian machines")
    declared = _list_buffers(tensors)
    buffers = {}
    for buffer in (declared[key] for key in order):
        (length,) = struct.unpack_from("<q", data, position)
        if length != buffer.length:
            raise ValueError(f"buffer {buffer.key} has {length} numbers, not {buffer.length}")
        start, position = position + 8, position + 8 + length * _item_size(buffer.dtype)
        buffers[buffer.key] = buffer.read(data[start:position])
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes follow the last buffer")
    return {str(name): tensor.cut(buffers) for name, tensor in tensors.items()}


def _read_archive(data: bytes) -> dict[str, np.ndarray]:
    """Read torch's newer format: a zip with a pickle, and a file for each buffer."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
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
        tensors, _ = _load(archive.read(pickles[0]), pickles=1)
        buffers = {
            key: buffer.read(archive.read(f"{root}/data/{key}"))
            for key, buffer in _list_buffers(tensors).items()
        }
    return {str(name): tensor.cut(buffers) for name, tensor in tensors.items()}


def _load(data: bytes, *, pickles: int) -> tuple[Any, ...]:
    """Load pickles after a look at each of their instructions; last comes where they end."""
    looked = io.BytesIO(data)
    for _ in range(pickles):
        for instruction, argument, _position in pickletools.genops(looked):
            if instruction.name not in _INSTRUCTIONS:
                raise pickle.UnpicklingError(f"it uses {instruction.name}, which is not allowed")
            # Python sets memory aside for every number up to the one that is named.
            if instruction.name == "LONG_BINPUT" and (argument or 0) > len(data):
                raise pickle.UnpicklingError(f"it numbers an object {argument}")
    stream = io.BytesIO(data)
    loaded = [TensorUnpickler(stream, encoding="utf-8").load() for _ in range(pickles)]
    return (*loaded, stream.tell())


def _list_buffers(tensors: Any) -> dict[str, Buffer]:
    """Return the buffers by their keys, after a look at each of the tensors."""
    if not isinstance(tensors, dict):
        raise ValueError(f"it holds a {type(tensors).__name__} instead of named tensors")
    buffers: dict[str, Buffer] = {}
    for tensor in tensors.values():
        if not isinstance(tensor, Tensor):
            raise ValueError("it holds something that is not a tensor")
        tensor.check()
        # Of two lengths one would let a tensor read beyond the end.
        if buffers.setdefault(tensor.buffer.key, tensor.buffer) != tensor.buffer:
            raise ValueError(f"buffer {tensor.buffer.key} has two lengths or two types")
    return buffers


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _read_numbers(data: bytes, dtype: str) -> np.ndarray:
    """Read a run of little-endian numbers; bfloat16 becomes float32, of which it is a half."""
    if dtype != "bfloat16":
        return np.frombuffer(data, dtype)
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")


def _read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """Read a header of JSON, and the numbers that it says follow it without gap or overlap."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(_LARGEST_HEADER, len(data) - 8):
        raise ValueError("its header is longer than the file")
    header: Any = json.loads(data[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("its header is not a mapping of tensors")
    numbers, end = memoryview(data)[8 + length :], 0
    entries = {name: entry for name, entry in header.items() if name != _NOTES}
    for start, stop in sorted(entry["data_offsets"] for entry in entries.values()):
        if start != end or stop < start:
            raise ValueError(f"a tensor starts at byte {start} instead of {end}")
        end = stop
    if end != len(numbers):
        raise ValueError(f"its tensors end at byte {end} of {len(numbers)}")
    return {name: _read_entry(name, entry, numbers) for name, entry in entries.items()}


def _read_entry(name: str, entry: dict[str, Any], numbers: memoryview) -> np.ndarray:
    dtype = _TYPES.get(entry["dtype"])
    if dtype is None:
        raise ValueError(f"{name} holds {entry['dtype']!r}, known are {', '.join(_TYPES)}")
    shape, (start, stop) = entry["shape"], entry["data_offsets"]
    if min(shape, default=0) < 0 or math.prod(shape) * _item_size(dtype) != stop - start:
        raise ValueError(f"{name} has {stop - start} bytes, which are not {shape} of {dtype}")
    return _read_numbers(bytes(numbers[start:stop]), dtype).reshape(shape).copy()
