"""A reader that does everything that a reader must not do, to test who watches."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.hostile.cases import Case
from tfclassify.errors import TfclassifyError


def make_cases() -> list[Case]:
    """Make one case for each fault, between two that are well."""
    names = ("well", "wrong error", "no words", "memory", "time", "killed", "well again")
    return [Case("faults", name, b"") for name in names]


def read(case: Case, folder: Path) -> str:
    """Do what the case's name says."""
    if case.name == "wrong error":
        raise KeyError(folder)
    if case.name == "no words":
        raise TfclassifyError
    if case.name == "memory":
        bytearray(8 << 30)
    while case.name == "time":
        pass
    if case.name == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return "read"
