"""What benchmarks share: the spread of repeated measurements, and the machine's name."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median and the range of repeated measurements."""
    return {"median": median(values), "min": min(values), "max": max(values), "n": len(values)}


def describe_machine() -> dict[str, object]:
    """Name the machine and the versions that a measurement was made with."""
    import tensorflow as tf

    return {
        "processor": read_processor(),
        "cores": os.cpu_count(),
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "python": platform.python_version(),
        **{name: version(name) for name in ("tensorflow", "keras", "numpy")},
    }


def read_processor() -> str:
    """Return the processor's own name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:  # noqa: PTH123
            names = [line.partition(":")[2].strip() for line in stream if "model name" in line]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
