"""How much memory there is, and how much is free.

Owns: asking the system, containers included. Does not own: what it is spent on.
"""

from __future__ import annotations

import os
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")

#: What a machine has whose system does not tell.
_ASSUMED = 8 << 30


def available_memory(meminfo: Path = MEMINFO, cgroup: Path = CGROUP) -> int:
    """Return the bytes of memory that can be taken without swapping.

    A container's limit counts where it is lower than what the machine has free. Where
    the system does not tell what is free, half of what it has is assumed.

    Args:
        meminfo: Linux' table of memory.
        cgroup: Folder of the container's limits, version 2.
    """
    try:
        lines = meminfo.read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        free = _count_installed() // 2
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return free
    return max(0, min(free, limit - used))


def total_memory(cgroup: Path = CGROUP) -> int:
    """Return the bytes of memory of the machine, or of the container that we are in."""
    total = _count_installed()
    try:
        return min(total, int((cgroup / "memory.max").read_text()))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return total


def _count_installed() -> int:
    """Return the bytes of memory that are built in."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no POSIX system
        return _ASSUMED
