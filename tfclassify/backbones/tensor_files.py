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
from typing import Any, NoReturn

import numpy as np

from tfclassify.errors import WeightsError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
#: What torch calls a buffer of numbers -> its little-endian NumPy type.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
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


@dataclass(frozen=True, slots=True)
class Buffer:
    """A flat run of numbers that comes later in the file."""

    key: str
    dtype: str
    length: int

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it changes a buffer, which is not allowed")


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


class _Rebuilder:
    """Stands for ``torch._utils._rebuild_tensor_v2``; has no attribute to overwrite."""

    __slots__ = ()

    def __call__(
        self,
        buffer: Buffer,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *notes: object,  # gradients and hooks, which are nobody's business here
    ) -> Tensor:
        tensor = Tensor(buffer, offset, tuple(shape), tuple(strides))
        tensor.check()
        return tensor


class _Wrapper:
    """Stands for a parameter, which wraps a tensor and is nothing else here."""

    __slots__ = ()

    def __call__(self, tensor: Tensor, *notes: object) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise ValueError("a parameter holds something that is not a tensor")
        return tensor


#: The callables of torch that a file of tensors names.
_CALLS: dict[tuple[str, str], type[_Rebuilder] | type[_Wrapper]] = {
    ("torch._utils", "_rebuild_tensor"): _Rebuilder,
    ("torch._utils", "_rebuild_tensor_v2"): _Rebuilder,
    ("torch._utils", "_rebuild_parameter"): _Wrapper,
    ("torch.nn.parameter", "Parameter"): _Wrapper,
}


class TensorUnpickler(pickle.Unpickler):
    """Knows a handful of names and refuses every other."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the allow-list stands for."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) in _CALLS:
            return _CALLS[module, name]()
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]  # a plain string: nothing that could be called
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is not allowed")

    def persistent_load(self, pid: Any) -> Buffer:
        """Return the buffer that a tensor refers to."""
        kind, dtype, key, _device, length, *views = pid  # the newer format has no views
        view = views[0] if len(views) == 1 else views or None
        if kind != "storage" or dtype not in _STORAGES.values() or view is not None:
            raise pickle.UnpicklingError(f"it refers to {kind!r}, which is not allowed")
        if not isinstance(key, str) or not isinstance(length, int) or length < 0:
            raise pickle.UnpicklingError("it refers to a buffer without a key or a length")
        return Buffer(key, dtype, length)


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
        check_instructions(data, pickles=5)
        stream = io.BytesIO(data)
        magic, version, machine, tensors, order = (
            TensorUnpickler(stream, encoding="utf-8").load() for _ in range(5)
        )
        if magic != _MAGIC or version != _PROTOCOL or machine["little_endian"] is not True:
            raise ValueError("it is not in torch's legacy format of little-endian machines")
        check_tensors(tensors)
        buffers = _read_buffers(data, stream.tell(), order, tensors)
        return {str(name): view(tensor, buffers) for name, tensor in tensors.items()}
    except Exception as error:  # a hostile or damaged pickle makes Python raise anything
        refuse(where, error)


def check_tensors(tensors: Any) -> None:
    """Raise ValueError unless this is a mapping of tensors that lie within their buffers."""
    if not isinstance(tensors, dict):
        raise ValueError(f"it holds a {type(tensors).__name__} instead of named tensors")
    for tensor in tensors.values():
        if not isinstance(tensor, Tensor):
            raise ValueError("it holds something that is not a tensor")
        tensor.check()


def check_instructions(data: bytes, *, pickles: int) -> None:
    """Go through pickles without running them, looking at each instruction.

    Raises:
        UnpicklingError: If one is not allowed.
    """
    stream = io.BytesIO(data)
    for _ in range(pickles):
        for instruction, argument, _position in pickletools.genops(stream):
            if instruction.name not in _INSTRUCTIONS:
                raise pickle.UnpicklingError(f"it uses {instruction.name}, which is not allowed")
            # Python sets memory aside for every number up to the one that is named.
            if instruction.name == "LONG_BINPUT" and (argument or 0) > len(data):
                raise pickle.UnpicklingError(f"it numbers an object {argument}")


def _read_buffers(
    data: bytes, position: int, order: list[str], tensors: dict[str, Tensor]
) -> dict[str, np.ndarray]:
    """Read every buffer, ``(length,)`` each, by its key."""
    declared = {tensor.buffer.key: tensor.buffer for tensor in tensors.values()}
    buffers = {}
    for key in order:
        buffer = declared[key]
        (length,) = struct.unpack_from("<q", data, position)
        if length != buffer.length:
            raise ValueError(f"buffer {key} has {length} numbers instead of {buffer.length}")
        size = 8 + length * item_size(buffer.dtype)
        if position + size > len(data):
            raise ValueError(f"buffer {key} ends behind the file's end")
        buffers[key] = read_numbers(data[position + 8 : position + size], buffer.dtype)
        position += size
    if position != len(data):
        raise ValueError(f"{len(data) - position} bytes follow the last buffer")
    return buffers


def item_size(dtype: str) -> int:
    """Return the bytes of one number of a buffer."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def read_numbers(data: bytes, dtype: str) -> np.ndarray:
    """Read a run of little-endian numbers; bfloat16 becomes float32, of which it is a half."""
    if dtype != "bfloat16":
        return np.frombuffer(data, dtype)
    return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")


def view(tensor: Tensor, buffers: dict[str, np.ndarray]) -> np.ndarray:
    """Copy the part of a buffer that is the tensor; its bounds were checked."""
    flat = buffers[tensor.buffer.key][tensor.offset :]
    strides = [stride * flat.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat, tensor.shape, strides).copy()


def refuse(where: str, error: Exception) -> NoReturn:
    """Say that the file is not a tensor file, and why.

    Raises:
        WeightsError: Always.
    """
    raise WeightsError(
        f"{where}: not a readable tensor file: {error}; nothing in it was run. "
        "Give a file of tensors alone, as torch.save(model.state_dict(), path) writes it, or "
        "download or install it again"
    ) from error


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
    except Exception as error:  # as above
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
