"""Writes files as torch does, in both formats, without torch; honest and hostile ones."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

#: NumPy's type of number -> torch's name for a run of them; uint16 stands for bfloat16.
STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "uint16": "BFloat16Storage",
    "int64": "LongStorage",
}
MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """Stands for a torch storage while it is pickled."""

    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class Call:
    """Pickles as a call of any function on any arguments: what an attacker writes.

    With a state, the result is told to take that on.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.function, self.arguments, self.state = function, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        call = (self.function, self.arguments)
        return call if self.state is None else (*call, self.state)


@contextmanager
def torch_names() -> Iterator[types.ModuleType]:
    """Let the names that torch's files mention exist, for pickle to write them."""
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    names = [(utils, "_rebuild_tensor_v2"), (utils, "_rebuild_parameter")]
    names += [(torch, name) for name in STORAGES.values()]
    for module, name in names:
        setattr(module, name, _named(module.__name__, name))
    torch._utils = utils  # type: ignore[attr-defined]
    sys.modules.update({"torch": torch, "torch._utils": utils})
    try:
        yield torch
    finally:
        for name, module in kept.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def _named(module: str, name: str) -> Callable[..., Any]:
    def stand_in(*_: Any) -> None:
        raise AssertionError("pickle writes this function's name and must not call it")

    stand_in.__module__, stand_in.__qualname__, stand_in.__name__ = module, name, name
    return stand_in


class _Pickler(pickle.Pickler):
    def __init__(
        self, stream: io.BytesIO, torch: types.ModuleType, *, has_views: bool = True
    ) -> None:
        super().__init__(stream, protocol=2)
        self.torch, self.has_views = torch, has_views

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        kind = getattr(self.torch, STORAGES[value.values.dtype.name])
        reference = ("storage", kind, value.key, "cpu", len(value.values))
        return (*reference, None) if self.has_views else reference


def write_file(
    tensors: dict[str, tuple[Storage, int, tuple[int, ...], tuple[int, ...]]] | Any,
    *,
    magic: int = MAGIC,
    version: int = 1001,
    little_endian: bool = True,
    lengths: dict[str, int] | None = None,
    tail: bytes = b"",
    state: Any = None,
) -> bytes:
    """Write tensors given as (storage, offset, shape, strides), or any object at all."""
    stream = io.BytesIO()
    with torch_names() as torch:
        content, storages = _describe(tensors, torch, state=state)
        machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
        for part in (magic, version, machine, content, list(storages)):
            _Pickler(stream, torch).dump(part)
    for key, storage in storages.items():
        stream.write(struct.pack("<q", (lengths or {}).get(key, len(storage.values))))
        stream.write(storage.values.tobytes())
    return stream.getvalue() + tail


def _describe(
    tensors: Any, torch: types.ModuleType, is_parameter: bool = False, state: Any = None
) -> Any:
    """Return what torch pickles for some tensors, and their storages."""
    if not isinstance(tensors, dict):
        return tensors, {}
    content, storages = OrderedDict(), {}
    for name, (storage, offset, shape, strides) in tensors.items():
        storages[storage.key] = storage
        rebuild = torch._utils._rebuild_tensor_v2
        arguments = (storage, offset, shape, strides, False, OrderedDict())
        tensor = Call(rebuild, *arguments, state=state)
        if is_parameter:
            tensor = Call(torch._utils._rebuild_parameter, tensor, True, OrderedDict())
        content[name] = tensor
    return content, storages


def write_zip_file(
    tensors: Any,
    *,
    compression: int = zipfile.ZIP_STORED,
    byteorder: bytes | None = b"little",
    pickles: int = 1,
    cut: int = 0,
    is_parameter: bool = False,
    state: Any = None,
) -> bytes:
    """Write a file as torch does since version 1.6; arguments as of ``write_file``."""
    stream, program = io.BytesIO(), io.BytesIO()
    with torch_names() as torch:
        content, storages = _describe(tensors, torch, is_parameter, state)
        _Pickler(program, torch, has_views=False).dump(content)
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for number in range(pickles):
            archive.writestr(f"net{number or ''}/data.pkl", program.getvalue())
        if byteorder is not None:
            archive.writestr("net/byteorder", byteorder)
        for key, storage in storages.items():
            content = storage.values.tobytes()
            archive.writestr(f"net/data/{key}", content[: len(content) - cut])
        archive.writestr("net/version", b"3\n")
    return stream.getvalue()


def write_state(values: dict[str, np.ndarray], **options: Any) -> bytes:
    """Write named arrays as torch's newer format, each in a storage of its own."""
    tensors = {}
    for key, (name, value) in enumerate(values.items()):
        whole = np.array(value, order="C")
        strides = tuple(stride // whole.itemsize for stride in whole.strides)
        tensors[name] = (Storage(str(key), whole.ravel()), 0, whole.shape, strides)
    return write_zip_file(tensors, **options)
