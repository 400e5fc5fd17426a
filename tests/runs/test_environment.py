from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tfclassify.runs import environment
from tfclassify.runs.documents import Environment
from tfclassify.runs.environment import (
    count_cores,
    describe_environment,
    describe_processor,
    has_byte_products,
    list_packages,
    measure_memory,
)


def test_the_facts_are_those_of_this_machine() -> None:
    facts = describe_environment()
    assert facts.python.endswith(platform.python_version())
    assert facts.packages["numpy"] == metadata.version("numpy")
    assert 1 <= facts.cores <= (os.cpu_count() or 1)
    assert Environment.model_validate_json(facts.model_dump_json()) == facts


def test_nothing_tells_who_or_where(monkeypatch: pytest.MonkeyPatch) -> None:
    # A container may have neither a user's name nor a home but "/".
    monkeypatch.setenv("HOME", "/home/lovelace")
    monkeypatch.setenv("LOGNAME", "lovelace")
    facts = describe_environment().model_dump()
    text = json.dumps(facts)
    assert "lovelace" not in text
    assert platform.node() not in text or len(platform.node()) < 3
    assert not {"user", "host", "node", "folder"} & set(facts)


def test_packages_that_are_not_installed_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "surely-not-installed"))
    assert list(list_packages()) == ["numpy"]


def test_the_processor_is_named_where_the_system_names_it(tmp_path: Path) -> None:
    facts = tmp_path / "cpuinfo"
    facts.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\n", "utf-8")
    assert describe_processor(facts) == "Fast CPU @ 3 GHz"
    facts.write_text("processor\t: 0\nmodel name\t:\n", "utf-8")
    assert describe_processor(facts) == (platform.processor() or platform.machine())
    assert describe_processor(tmp_path / "absent") == (platform.processor() or platform.machine())


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert measure_memory() is None
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert count_cores() == 1


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="Linux only")
def test_memory_agrees_with_the_kernel() -> None:
    line = Path("/proc/meminfo").read_text("utf-8").splitlines()[0]  # MemTotal: 123 kB
    memory = measure_memory()
    assert memory is not None
    assert memory == pytest.approx(int(line.split()[1]) / 2**20, abs=0.1)


def test_tensorflow_is_not_imported_for_it() -> None:
    probe = (
        "import sys; from tfclassify.runs.environment import describe_environment as f; f(); "
        "import tfclassify.runs.directory; "
        "print(sorted({'tensorflow', 'keras', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("machine", "flags", "is_there"),
    [
        ("x86_64", "flags : fpu avx512_vnni", True),
        ("x86_64", "flags : fpu avx2", False),
        ("AMD64", None, False),  # Windows, which has no such file
        ("arm64", None, True),
    ],
)
def test_products_of_bytes_are_looked_for(
    machine: str, flags: str | None, is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"model name : A\n{flags}\n", "utf-8")
    assert has_byte_products(tmp_path / "cpuinfo") is is_there
