"""Weight files that are programs, or claim more than they hold."""

from __future__ import annotations

import io
import os
import pickle
import pty
import runpy
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.backbones.safetensors_files import write_safetensors
from tests.backbones.torch_files import Call, Storage, write_file, write_zip_file
from tests.hostile.cases import Case, flip_bits, overwrite

_VALUES = np.arange(24, dtype=np.float32)
_RAN = "ran"


def make_cases() -> list[Case]:
    """Make every hostile weight file."""
    storage = Storage("0", _VALUES)
    tensors = {"w": (storage, 0, (4, 6), (6, 1)), "b": (storage, 6, (6,), (1,))}
    bases = {
        "legacy torch": write_file(tensors),
        "torch": write_zip_file(tensors),
        "safetensors": write_safetensors({"w": _VALUES.reshape(4, 6), "b": _VALUES[:6]}),
    }
    cases = [Case("as it is", name, data) for name, data in bases.items()]
    for name, data in bases.items():
        for share in (0.0, 0.01, 0.1, 0.3, 0.5, 0.8, 0.99):
            cases.append(Case("truncation", f"{name} {share:.0%}", data[: int(len(data) * share)]))
        for seed in range(30):
            cases.append(Case("bit flips", f"{name} {seed}", flip_bits(data, seed, 1 + seed % 4)))
        for seed in range(5):
            cases.append(Case("noise", f"{name} {seed}", overwrite(data, seed, 0.1)))
    return [*cases, *_call(), *_write_by_hand(), *_claim()]


def _call() -> list[Case]:
    """Have the pickle call what runs code, reads files or fills the memory."""
    calls: dict[str, Call] = {
        "os.system": Call(os.system, f"touch {_RAN}"),
        "subprocess": Call(subprocess.Popen, ["touch", _RAN]),
        "a terminal": Call(pty.spawn, ["touch", _RAN]),
        "eval": Call(eval, f"open('{_RAN}', 'w')"),
        "exec": Call(exec, f"open('{_RAN}', 'w')"),
        "a file": Call(open, _RAN, "w"),
        "an import": Call(__import__, "antigravity"),
        "a module": Call(runpy.run_module, "antigravity"),
        "getattr": Call(getattr, Path, "touch"),
        "setattr": Call(setattr, Storage, "key", "x"),
        "another pickle": Call(pickle.loads, b"cos\nsystem\n(S'touch ran'\ntR."),
        "bytes": Call(bytearray, 1 << 34),
        "numpy": Call(np.zeros, 1 << 34),
        "a NumPy file": Call(np.load, "x.npy"),
    }
    return [
        Case("calls", f"{name} by {write.__name__}", write([call]))
        for name, call in calls.items()
        for write in (write_file, write_zip_file)
    ]


def _write_by_hand() -> list[Case]:
    """Write pickles that no pickler writes."""
    bodies = {
        "global": b"cos\nsystem\nX\x09\0\0\0touch ran\x85R.",
        "inst": b"(S'touch ran'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'touch ran'\no.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R.",
        "new object": b"\x80\x02cpathlib\nPath\nX\x03\0\0\0ran\x85\x81.",
        "new object with names": b"\x80\x04\x8c\x07pathlib\x8c\x04Path\x93)}\x92.",
        "extension": b"\x82\x01.",
        "build": b"ccollections\nOrderedDict\n)R}X\x09\0\0\0__class__Ncos\nsystem\nsb.",
        "attribute of a module": b"cos\npath.join\n)R.",
        "builtins": b"cbuiltins\neval\nX\x01\0\0\x001\x85R.",
        "old builtins": b"c__builtin__\neval\nX\x01\0\0\x001\x85R.",
        "torch load": b"ctorch\nload\nX\x01\0\0\0x\x85R.",
        "a name with a dot": b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        "a reference to a file": b"Px\n.",
        "a large number": b"\x8b\xff\xff\xff\x7f.",
        "a large text": b"X\xff\xff\xff\x7fx.",
        "a large text of 8 bytes": b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx.",
        "a large frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "a large buffer": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "a large memo": b"Nr\xff\xff\xff\x7f.",
        "no stop": b"N" * 100,
        "nothing on the stack": b"0R.",
        "marks": b"(" * 100_000 + b".",
        "lists in lists": b"]" * 100_000 + b"a" * 99_999 + b".",
        "doubling": b"]q\0" + b"(h\0h\0e" * 50_000 + b".",
        "a circle": b"]q\0h\0a.",
        "a million duplicates": b"K\x01" + b"2" * 1_000_000 + b".",
    }
    cases = []
    for name, body in bodies.items():
        before = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001))
        before += pickle.dumps({"little_endian": True}, 2)
        cases.append(Case("pickles", f"legacy {name}", before + body + pickle.dumps([], 2)))
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("net/data.pkl", body)
        cases.append(Case("pickles", f"torch {name}", stream.getvalue()))
    return cases


def _claim() -> list[Case]:
    """Claim shapes, offsets and sizes that the file does not hold."""
    storage = Storage("0", _VALUES)
    shapes = {
        "beyond the end": (0, (25,), (1,)),
        "before the start": (-1, (2,), (1,)),
        "backwards": (23, (4,), (-1,)),
        "a trillion times one number": (0, (1 << 40,), (0,)),
        "sizes whose product wraps": (0, (1 << 32, 1 << 32), (0, 0)),
        "less than nothing": (0, (-1,), (1,)),
        "of many axes": (0, (1,) * 70, (1,) * 70),
    }
    cases = []
    for name, (offset, shape, strides) in shapes.items():
        for write in (write_file, write_zip_file):
            content = write({"w": (storage, offset, shape, strides)})
            cases.append(Case("claims", f"{write.__name__} {name}", content))
    for write in (write_file, write_zip_file):
        short = Storage("0", _VALUES[:1])
        twice = {"w": (storage, 0, (24,), (1,)), "b": (short, 0, (1,), (1,))}
        cases.append(Case("claims", f"{write.__name__} of two lengths", write(twice)))
    changes: dict[str, Any] = {
        "beyond the end": {"data_offsets": [0, 1 << 40]},
        "backwards": {"data_offsets": [96, 0]},
        "negative": {"data_offsets": [-96, 0]},
        "not the shape's": {"shape": [5, 6]},
        "a trillion": {"shape": [1 << 40]},
        "product wraps": {"shape": [1 << 32, 1 << 32]},
        "shape of text": {"shape": ["4", "6"]},
        "unknown numbers": {"dtype": "O"},
        "no numbers": {"dtype": None},
        "of many axes": {"shape": [1] * 70 + [24]},
    }
    for name, change in changes.items():
        content = write_safetensors({"w": _VALUES.reshape(4, 6)}, w=change)
        cases.append(Case("claims", f"safetensors {name}", content))
    for length in (0, 1 << 20, 1 << 62, (1 << 64) - 1):
        content = length.to_bytes(8, "little") + b"{}"
        cases.append(Case("claims", f"safetensors header of {length}", content))
    nested = b'{"a":' * 100_000
    return [*cases, Case("claims", "nested header", len(nested).to_bytes(8, "little") + nested)]


def read(case: Case, folder: Path) -> str:
    """Read a weight file as every format that it may be; say what came of it."""
    from tfclassify.backbones.tensor_files import read_tensors

    os.chdir(folder)
    is_other = case.name.startswith("safetensors") or case.name == "nested header"
    try:
        tensors = read_tensors(case.content, f"weights{'.safetensors' * is_other}")
    finally:
        assert not list(folder.iterdir()), "something was run"
    assert all(type(value) is np.ndarray and value.dtype != object for value in tensors.values())
    assert sum(value.nbytes for value in tensors.values()) <= 8 * len(case.content) + 4096
    return "read"
