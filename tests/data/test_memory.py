from __future__ import annotations

import os
from pathlib import Path

import pytest

from tfclassify.data.memory import available_memory, total_memory

TABLE = "MemTotal:  2000 kB\nMemFree:   100 kB\nMemAvailable:   1000 kB\n"


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text(TABLE)
    return path


def limit(tmp_path: Path, maximum: str, current: int) -> Path:
    (tmp_path / "memory.max").write_text(maximum + "\n")
    (tmp_path / "memory.current").write_text(f"{current}\n")
    return tmp_path


def test_reads_what_is_available(meminfo: Path, tmp_path: Path):
    assert available_memory(meminfo, tmp_path / "none") == 1_024_000


def test_a_lower_limit_of_the_container_counts(meminfo: Path, tmp_path: Path):
    assert available_memory(meminfo, limit(tmp_path, "500000", 200_000)) == 300_000


def test_a_container_without_limit_does_not(meminfo: Path, tmp_path: Path):
    assert available_memory(meminfo, limit(tmp_path, "max", 200_000)) == 1_024_000


def test_a_full_container_has_none(meminfo: Path, tmp_path: Path):
    assert available_memory(meminfo, limit(tmp_path, "500000", 600_000)) == 0


def test_a_system_without_the_table_has_half_its_memory(tmp_path: Path):
    assert available_memory(tmp_path / "none", tmp_path) > 2**20


def test_this_machine_has_some():
    assert available_memory() > 2**20


def test_the_whole_memory_is_the_containers_where_that_is_less(tmp_path: Path):
    machine = total_memory(tmp_path / "none")
    assert machine > 1 << 28
    assert total_memory(limit(tmp_path, "max", 0)) == machine
    assert total_memory(limit(tmp_path, "1000", 0)) == 1000


def test_a_system_that_does_not_tell_is_taken_for_a_small_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delattr(os, "sysconf")  # as on Windows
    assert total_memory(tmp_path) == 8 << 30
    assert available_memory(tmp_path / "meminfo", tmp_path) == 4 << 30
