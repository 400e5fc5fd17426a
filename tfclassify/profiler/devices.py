"""The device that a network is profiled on.

Owns: choosing it and naming it. Does not own: timing (``latency``).
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import tensorflow as tf

from tfclassify.errors import RequestError


def choose_device(wanted: str | None) -> str:
    """Return the device to use: the one asked for, else a GPU if there is one.

    Args:
        wanted: ``cpu``, ``cpu:0``, ``gpu``, ``gpu:0`` and so on, or None.

    Raises:
        RequestError: If TensorFlow does not see the device.
    """
    seen = list_devices()
    if wanted is None:
        return next((name for name in seen if name.startswith("gpu")), "cpu:0")
    name = wanted.lower()
    name = name if ":" in name else f"{name}:0"
    if name not in seen:
        raise RequestError(
            f"--device: TensorFlow sees no {wanted!r} here, only {', '.join(seen)}; name one of "
            "these, or install the GPU build: pip install 'tfclassify[gpu]'"
        )
    return name


def list_devices() -> list[str]:
    """Return the processors and GPUs that TensorFlow sees, such as ``cpu:0``."""
    kinds = ("CPU", "GPU")
    return [
        f"{kind.lower()}:{number}"
        for kind in kinds
        for number, _ in enumerate(tf.config.list_logical_devices(kind))
    ]


def name_device(device: str) -> str:
    """Return the name that the device's maker gave it."""
    kind, _, number = device.partition(":")
    if kind == "gpu":
        found = tf.config.list_physical_devices("GPU")[int(number)]
        details = tf.config.experimental.get_device_details(found)
        return str(details.get("device_name", "GPU"))
    return _name_processor()


def _name_processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine() or "unknown processor"


def count_cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
