"""Kills real processes at random times, and goes on until the work is done.

The children are forked from a process that has imported everything and run nothing, so that
each begins in milliseconds: ``multiprocessing`` calls that a fork server.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from tests.reliability.outcome import count_epochs, find_differing, read_outcome
from tests.reliability.scene import cross_on, search_on, train_on

WORKS: dict[str, Callable[[Path, Path], None]] = {
    "train": train_on,
    "crossval": cross_on,
    "tune": search_on,
}
#: What the fork server imports; nothing of it starts TensorFlow's threads.
_IMPORTED = (
    "tensorflow",
    "keras",
    "pandas",
    "matplotlib.pyplot",
    "sklearn.metrics",
    "tfclassify.workflows.crossval",
    "tfclassify.workflows.tune",
    "optuna",
    "tfclassify.training.trainer",
    "tfclassify.training.tensorboard",
    "tfclassify.inference.prediction",
    "tfclassify.model.prediction",
    "tfclassify.pages.drawing",
    "tfclassify.pages.run_page",
    "tests.reliability.kills",
)


@dataclass
class KillReport:
    """What became of all kills of one kind of work.

    Attributes:
        kind: ``train``, ``crossval`` or ``tune``.
        kills: Processes that were killed at work.
        finished: Times that the work was ended after kills, and compared.
        resumed_with: Epochs, of a search trials, found at each kill.
        faults: What was not as promised.
        seconds: Wall time of one unbroken work.
    """

    kind: str
    kills: int = 0
    finished: int = 0
    resumed_with: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def start_server() -> ForkServerContext:
    """Return the context whose processes are forked from a prepared one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_IMPORTED))
    return context


def kill_often(kind: str, recipe: Path, home: Path, *, kills: int, seed: int = 0) -> KillReport:
    """Kill a work at random times until it was killed so often, each time going on with it.

    Args:
        kind: ``train``, ``crossval`` or ``tune``.
        recipe: The recipe's path.
        home: Folder for the runs.
        kills: How many processes to kill.
        seed: Of the times.
    """
    context, report, generator = start_server(), KillReport(kind), random.Random(seed)
    unbroken = home / f"{kind}-unbroken"
    warm_up = context.Process(target=time.sleep, args=(0,))
    warm_up.start()  # the first one waits for the imports
    warm_up.join()
    started = time.monotonic()
    _run(context, kind, recipe, unbroken)
    report.seconds = time.monotonic() - started
    expected = read_outcome(unbroken)
    while report.kills < kills:
        _break_one(context, report, recipe, home, generator, kills)
        _end_one(context, report, recipe, home / f"{kind}-broken", expected)
    return report


def _break_one(
    context: ForkServerContext,
    report: KillReport,
    recipe: Path,
    home: Path,
    generator: random.Random,
    kills: int,
) -> None:
    """Kill the work again and again, until it ends by itself or was killed often enough."""
    place, epochs = home / f"{report.kind}-broken", 0
    shutil.rmtree(place, ignore_errors=True)
    while report.kills < kills:
        delay = generator.uniform(0.0, report.seconds)
        if not _run(context, report.kind, recipe, place, delay):
            return
        report.kills += 1
        where = f"{report.kind}, kill {report.kills} after {delay:.2f} s"
        try:
            found = count_epochs(place)
        except Exception as error:  # whatever a damaged folder makes the reader raise
            report.faults.append(f"{where}: {type(error).__name__}: {error}")
            return
        report.resumed_with.append(found)
        if found < epochs:
            report.faults.append(f"{where}: {epochs} epochs before it, {found} after")
        epochs = found


def _end_one(
    context: ForkServerContext,
    report: KillReport,
    recipe: Path,
    place: Path,
    expected: dict[str, Any],
) -> None:
    """Go on until the work is done, and compare."""
    try:
        _run(context, report.kind, recipe, place)
        differing = find_differing(expected, read_outcome(place))
    except Exception as error:  # as above
        report.faults.append(f"{report.kind}: {type(error).__name__}: {error}")
        return
    report.finished += 1
    report.faults += [f"{report.kind}: {name} differs" for name in differing]


def _run(
    context: ForkServerContext, kind: str, recipe: Path, place: Path, delay: float | None = None
) -> bool:
    """Work in a process of its own; return whether it was killed after ``delay`` seconds."""
    process = context.Process(target=_work, args=(kind, str(recipe), str(place)))
    process.start()
    process.join(delay)
    is_killed = process.is_alive()
    if is_killed:
        process.kill()
    process.join()
    if not is_killed and process.exitcode != 0:
        log = place.with_suffix(".log")
        told = log.read_text("utf-8")[-800:] if log.exists() else ""
        raise RuntimeError(f"{kind} ended with {process.exitcode}: {told}")
    return is_killed


def _work(kind: str, recipe: str, place: str) -> None:
    """Do the work in a child, whose output goes to a file."""
    with Path(place).with_suffix(".log").open("w", encoding="utf-8") as log:
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            WORKS[kind](Path(recipe), Path(place))
