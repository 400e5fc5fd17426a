"""Writes files as torch did before version 1.6, without torch; honest and hostile ones."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import types
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


class Storage:
    """Stands for a torch storage while it is pickled."""

    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class Call:
    """Pickles as a call of any function on any arguments: what an attacker writes."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


@contextmanager
def torch_names() -> Iterator[types.ModuleType]:
    """Let the names that torch's files mention exist, for pickle to write them."""
    kept = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for module, name in ((utils, "_rebuild_tensor_v2"), (torch, "LongStorage")):
        setattr(module, name, _named(module.__name__, name))
    torch.FloatStorage = _named("torch", "FloatStorage")  # type: ignore[attr-defined]
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
    def __init__(self, stream: io.BytesIO, torch: types.ModuleType) -> None:
        super().__init__(stream, protocol=2)
        self.torch = torch

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        is_float = value.values.dtype == np.float32
        kind = self.torch.FloatStorage if is_float else self.torch.LongStorage
        return ("storage", kind, value.key, "cpu", len(value.values), None)


def write_file(
    tensors: dict[str, tuple[Storage, int, tuple[int, ...], tuple[int, ...]]] | Any,
    *,
    magic: int = MAGIC,
    version: int = 1001,
    little_endian: bool = True,
    lengths: dict[str, int] | None = None,
    tail: bytes = b"",
) -> bytes:
    """Write tensors given as (storage, offset, shape, strides), or any object at all."""
    stream = io.BytesIO()
    with torch_names() as torch:
        content = tensors
        storages = {}
        if isinstance(tensors, dict):
            content = OrderedDict()
            for name, (storage, offset, shape, strides) in tensors.items():
                storages[storage.key] = storage
                rebuild = torch._utils._rebuild_tensor_v2
                content[name] = Call(rebuild, storage, offset, shape, strides, False, OrderedDict())
        machine = {"protocol_version": 1001, "little_endian": little_endian, "type_sizes": {}}
        for part in (magic, version, machine, content, list(storages)):
            _Pickler(stream, torch).dump(part)
    for key, storage in storages.items():
        stream.write(struct.pack("<q", (lengths or {}).get(key, len(storage.values))))
        stream.write(storage.values.tobytes())
    return stream.getvalue() + tail
