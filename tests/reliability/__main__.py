"""Prints what was survived: ``python -m tests.reliability [--kills N] [--faults STEP]``.

``--kills 20 --only tune --faults 0`` kills a search.

``--contracts`` prints the table of predictions that agree instead.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.reliability.fault_trial import Trial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


_NAMES = {"tune": "trials"}


def main() -> int:
    """Try everything and print the table, then each fault; return 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability")
    parser.add_argument("--kills", type=int, default=20, help="processes to kill, of both kinds")
    parser.add_argument("--only", choices=("train", "crossval", "tune"), help="kill these alone")
    parser.add_argument("--faults", type=int, default=1, help="let every n-th operation fail")
    parser.add_argument("--contracts", action="store_true", help="print agreeing predictions")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.contracts:
            from tests.reliability.contracts import show_contracts

            return show_contracts(Path(folder))
        faults = (
            [*show_kills(Path(folder), arguments.kills, arguments.only)] if arguments.kills else []
        )
        faults += show_faults(Path(folder), arguments.faults) if arguments.faults else []
    for fault in faults:
        print(f"  {fault}")
    return bool(faults)


def show_kills(home: Path, kills: int, only: str | None = None) -> list[str]:
    """Kill works of each kind; print a row of each, return what went wrong."""
    from tests.reliability.kills import kill_often
    from tests.reliability.scene import make_scene

    recipe, faults = make_scene(home / "kills"), []
    shares = [("train", kills - kills // 2), ("crossval", kills // 2)]
    for seed, (kind, count) in enumerate(shares if only is None else [(only, kills)]):
        started = time.monotonic()
        report = kill_often(kind, recipe, home, kills=count, seed=seed)
        unit = _NAMES.get(kind, "epochs")
        found = ", ".join(f"{epochs}: {n}" for epochs, n in sorted(_count(report.resumed_with)))
        print(
            f"kill -9, {kind:<9} {report.kills:>4} kills, {len(report.faults)} faults, "
            f"{report.finished} times ended bit for bit as unbroken, "
            f"{time.monotonic() - started:.0f} s; finished {unit} at the kills: {found}",
            flush=True,
        )
        faults += report.faults
    return faults


def show_faults(home: Path, step: int) -> list[str]:
    """Let operations of the disk fail; print a row for each way, return what went wrong."""
    from tests.reliability.fault_trial import list_ends, train_unbroken, try_error, try_power_cut
    from tests.reliability.faults import make_full_disk_error
    from tests.reliability.scene import make_scene

    work = train_unbroken(make_scene(home / "faults"), home / "faults")
    numbers, ends = range(1, len(work.operations) + 1), list_ends(work.operations)
    started = time.monotonic()
    cuts = [try_power_cut(work, number, is_resumed=number in ends) for number in numbers]
    _show_trials("power cut", cuts, started)
    started, run = time.monotonic(), home / "faults" / "run"
    full = [
        try_error(work, number, run, make_full_disk_error, is_resumed=number in ends)
        for number in numbers[::step]
    ]
    _show_trials("disk full", full, started)
    return [
        f"{name} at {trial.operation}: {fault}"
        for name, trials in (("power cut", cuts), ("disk full", full))
        for trial in trials
        for fault in trial.faults
    ]


def _show_trials(name: str, trials: Sequence[Trial], started: float) -> None:
    kinds = Counter(trial.operation.kind for trial in trials)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(
        f"{name}, {len(trials):>4} injected ({listed}), "
        f"{sum(not trial.faults for trial in trials)} survived, "
        f"{sum(trial.is_resumed for trial in trials)} gone on with to the same end, "
        f"{time.monotonic() - started:.0f} s",
        flush=True,
    )


def _count(values: Sequence[int]) -> list[tuple[int, int]]:
    return list(Counter(values).items())


if __name__ == "__main__":
    sys.exit(main())
