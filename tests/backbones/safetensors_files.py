"""Writes safetensors files without the library."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

_NAMES = {"float32": "F32", "float64": "F64", "float16": "F16", "uint16": "BF16", "int64": "I64"}


def write_safetensors(values: dict[str, np.ndarray], **changes: Any) -> bytes:
    """Write named arrays; ``changes`` overwrite entries of the header."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, value in values.items():
        start = len(content)
        content += np.ascontiguousarray(value).tobytes()
        header[name] = {
            "dtype": _NAMES[value.dtype.name],
            "shape": list(value.shape),
            "data_offsets": [start, len(content)],
        }
    for name, change in changes.items():
        header[name] = {**header[name], **change}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content
