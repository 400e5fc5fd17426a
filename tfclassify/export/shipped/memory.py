"""Measures the memory that loading and running a model takes, under limits.

Run by its path as ``python -I memory.py PROGRAM FILE OUTPUT MEMORY SECONDS SIDES...``, never
imported.
"""

from __future__ import annotations

import importlib.util
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np


def main(program: str, file: str, target: str, memory: str, seconds: str, *sides: str) -> None:
    """Load a model by a network program, run it on black images, and write the bytes.

    Args:
        program: Defines ``Network``.
        file: The model.
        target: JSON to write.
        memory: Bytes of address space that it may take; 0 for any number.
        seconds: Processor time that it may take from now on.
        sides: Shape of a batch.
    """
    spec = importlib.util.spec_from_file_location("network", program)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _limit(resource.RLIMIT_AS, int(memory))
    _limit(resource.RLIMIT_CPU, int(time.process_time()) + int(seconds))
    before = _peak()
    network = module.Network(Path(file))
    images = np.zeros([int(side) for side in sides], np.float32)
    for _ in range(3):
        network(images)
    Path(target).write_text(json.dumps({"bytes": _peak() - before}), encoding="utf-8")


def _limit(which: int, least: int) -> None:
    """Lower one of this process's limits; 0 leaves it."""
    _, most = resource.getrlimit(which)
    if least and (most == resource.RLIM_INFINITY or least < most):
        resource.setrlimit(which, (least, most))


def _peak() -> int:
    """Return the most bytes that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells is the parent's where that was larger
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    unit = 1 if sys.platform == "darwin" else 1024  # kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main(*sys.argv[1:])
