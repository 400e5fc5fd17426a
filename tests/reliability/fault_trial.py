"""Breaks a training off at each operation of its disk, and goes on with what is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.reliability.faults import Disk, Operation, fail_at, keep_copies
from tests.reliability.outcome import count_epochs, find_differing, read_outcome
from tests.reliability.scene import train_on
from tfclassify.errors import TfclassifyError
from tfclassify.runs.directory import is_run


@dataclass(frozen=True)
class Trial:
    """What became of one fault.

    Attributes:
        operation: Where it was.
        epochs: Epochs that were kept.
        faults: What was wrong; empty where everything promised was kept.
        is_resumed: Whether the training was ended from there.
    """

    operation: Operation
    epochs: int
    faults: tuple[str, ...]
    is_resumed: bool


@dataclass(frozen=True)
class Unbroken:
    """A training that nothing befell, with a copy of its folder at every operation.

    Attributes:
        recipe: The recipe's path.
        outcome: What it ended with.
        operations: Of its disk.
        finished: Epochs whose state was whole before each operation.
        copies: Folder of the copies.
    """

    recipe: Path
    outcome: dict[str, Any]
    operations: tuple[Operation, ...]
    finished: tuple[int, ...]
    copies: Path


def train_unbroken(recipe: Path, home: Path) -> Unbroken:
    """Train once, keeping a copy of the run at every operation."""
    run, copies = home / "unbroken", home / "copies"
    with Disk(keep_copies(run, copies)).installed() as disk:
        train_on(recipe, run)
    finished, epochs = [], 0
    for operation in disk.operations:
        finished.append(epochs)
        # Ahead of it, all that the epoch left is on its way to the disk.
        epochs += operation.kind == "replace" and operation.what == "last.npz"
    return Unbroken(recipe, read_outcome(run), tuple(disk.operations), tuple(finished), copies)


def list_ends(operations: Iterable[Operation]) -> list[int]:
    """Return the numbers of the last operations before each file that is made whole.

    All operations between two such files leave the same whole files, beside more or less
    of a hidden unfinished one; these leave the most.
    """
    last = {operation.files: operation.number for operation in operations}
    return sorted(last.values())


def try_power_cut(work: Unbroken, number: int, *, is_resumed: bool) -> Trial:
    """Look at what a cut at an operation leaves, and end the training from there if asked."""
    left = work.copies / str(number)
    return _judge(work, number, left, [], is_resumed)


def try_error(
    work: Unbroken,
    number: int,
    folder: Path,
    make_error: Callable[[], BaseException],
    *,
    is_resumed: bool = True,
) -> Trial:
    """Let an operation raise, look at what is left, and end the training from there if asked."""
    faults = []
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Disk(fail_at(number, make_error)).installed():
            train_on(work.recipe, folder)
    except TfclassifyError as error:
        message = str(error)
        is_told = "resume " in message.lower() or not is_run(folder)
        faults += [] if is_told and "\n" not in message else [f"the error is {message!r}"]
    except type(make_error()) as error:
        faults += [f"the error came through: {error!r}"] if isinstance(error, Exception) else []
    return _judge(work, number, folder, faults, is_resumed)


def _judge(work: Unbroken, number: int, left: Path, faults: list[str], is_resumed: bool) -> Trial:
    operation, finished = work.operations[number - 1], work.finished[number - 1]
    epochs = 0
    try:
        epochs = count_epochs(left)
        # What was replaced last may or may not count as finished by then.
        faults += [] if epochs >= finished else [f"{epochs} of {finished} epochs are left"]
        if is_resumed:
            train_on(work.recipe, left)
            differing = find_differing(work.outcome, read_outcome(left))
            faults += [f"differs: {', '.join(differing)}"] if differing else []
    except (AssertionError, TfclassifyError) as error:
        faults.append(f"{type(error).__name__}: {error}")
    return Trial(operation, epochs, tuple(faults), is_resumed)
