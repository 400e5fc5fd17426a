"""Puts every input of a kind before its reader, and gathers what came of it.

Owns: the child process, its watch, the table. Does not own: the inputs (``images``,
and its neighbours).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.hostile.worker import CLOCK_S

KINDS = (
    "images",
    "archives",
    "recipes",
    "tables",
    "annotations",
    "weights",
    "run_folders",
    "models",
    "modules",
    "artefacts",
    "sessions",
    "published",
)
#: Kinds of which only every so-many-th input is read, unless all are asked for.
STEPS = {"run_folders": 12, "modules": 10, "artefacts": 8, "published": 4}
ROOT = Path(__file__).parents[2]
#: Seconds without a line after which the child is taken for stuck beyond its own alarm.
_STUCK_S = CLOCK_S + 15
#: The same before its first line, while it makes the inputs, on a busy machine.
_START_S = 1200.0


@dataclass(frozen=True)
class Tried:
    """What became of one input.

    Attributes:
        kind: One of ``KINDS``.
        group: What was done to the input.
        name: Which of the group it is.
        outcome: How it was read, the name of our error, or ``FAULT: …``.
        detail: The error's message, or the traceback of a fault.
        seconds: Processor time that it took.
        peak_mib: Largest resident memory of the process so far, MiB.
    """

    kind: str
    group: str
    name: str
    outcome: str
    detail: str
    seconds: float
    peak_mib: int

    @property
    def is_fault(self) -> bool:
        """Whether it is none of what may become of an input."""
        return self.outcome.startswith("FAULT")


def try_kind(kind: str, home: Path, step: int = 1) -> list[Tried]:
    """Read every ``step``-th input of a kind, in as many processes as it kills."""
    tried: list[Tried] = []
    expected = 1
    while len(tried) < expected:
        folder = home / f"{kind}-from-{len(tried)}"
        folder.mkdir(parents=True)
        expected, more = _run(kind, folder, len(tried), step)
        tried += more
    return tried


def _run(kind: str, folder: Path, start: int, step: int) -> tuple[int, list[Tried]]:
    """Read inputs from ``start`` on in one process; return how many there are in all."""
    command = [
        sys.executable,
        "-m",
        "tests.hostile.worker",
        kind,
        str(folder),
        str(start),
        str(step),
    ]
    temporary = folder / "temporary"  # what a process that is killed leaves goes with the rest
    temporary.mkdir()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment["TMPDIR"] = str(temporary)
    errors = folder / "stderr.txt"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=stderr
        ) as child,
    ):
        lines = list(_read_lines(child))
        is_stuck = _is_silent(child)
        if is_stuck:
            child.kill()
        code = child.wait()
    said = errors.read_text("utf-8", "replace")[-4000:]
    if not lines:
        raise RuntimeError(f"{kind}: the reading process did not start: {said}")
    tried = [Tried(kind, **line) for line in lines[2::2]]
    if code != 0:
        last = lines[-1] if len(lines) % 2 == 0 else {"group": "after", "name": lines[-1]["name"]}
        outcome = "FAULT: hangs" if is_stuck else f"FAULT: ends the process ({code})"
        tried.append(Tried(kind, last["group"], last["name"], outcome, said, _STUCK_S, 0))
    return lines[0], tried


def _read_lines(child: subprocess.Popen[bytes]) -> Iterator[Any]:
    """Yield what the child writes, until it ends or is silent for too long."""
    assert child.stdout is not None
    # One line at a time and no buffer, since ``select`` does not see what is buffered.
    pending, patience = b"", _START_S
    while select.select([child.stdout], [], [], patience)[0]:
        patience = _STUCK_S
        part = os.read(child.stdout.fileno(), 1 << 16)
        if not part:
            return
        *whole, pending = (pending + part).split(b"\n")
        yield from map(json.loads, whole)


def _is_silent(child: subprocess.Popen[bytes]) -> bool:
    """Say whether a child that says no more does not end either; a busy machine takes long."""
    try:
        child.wait(timeout=_STUCK_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def render_table(tried: Iterable[Tried]) -> str:
    """Write the numbers of inputs by kind and group, with their outcomes."""
    listed = list(tried)
    lines = [f"{'kind':<12} {'done to it':<26} {'tried':>5}  {'slowest':>8}  outcomes"]
    for kind in dict.fromkeys(each.kind for each in listed):
        of_kind = [each for each in listed if each.kind == kind]
        for group in dict.fromkeys(each.group for each in of_kind):
            lines.append(_render_row(kind, group, [e for e in of_kind if e.group == group]))
        lines.append(_render_row(kind, "all", of_kind))
        peak = max(each.peak_mib for each in of_kind)
        lines.append(f"{'':<12} the process that read them held at most {peak} MiB\n")
    faults = sum(each.is_fault for each in listed)
    lines.append(f"{len(listed)} inputs tried, {faults} faults")
    return "\n".join(lines)


def _render_row(kind: str, group: str, tried: list[Tried]) -> str:
    counts = Counter(each.outcome for each in tried)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    slowest = max(each.seconds for each in tried)
    return f"{kind:<12} {group:<26} {len(tried):>5}  {slowest:>6.2f} s  {outcomes}"
