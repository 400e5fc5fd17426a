"""Progress on standard error: bars on a terminal, plain lines elsewhere.

Owns: how the work's events look. Does not own: results (standard output).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from tfclassify.events import SILENT, Observer
from tfclassify.pages.wording import count_of

#: What an epoch's line shows, where it was recorded: key, title.
SHOWN = (
    ("train_loss", "loss"),
    ("train_accuracy", "accuracy"),
    ("train_iou", "iou"),
    ("val_loss", "val_loss"),
    ("val_accuracy", "val_accuracy"),
    ("val_map", "val_map"),
    ("val_iou", "val_iou"),
    ("val_f1_macro", "val_f1_macro"),
)


def make_observer(*, quiet: bool, verbose: bool) -> Observer:
    """Choose the observer for this process's standard error."""
    if quiet:
        return SILENT
    return TerminalObserver(verbose) if sys.stderr.isatty() else PlainObserver(verbose)


def format_epoch(
    phase: str, epoch: int, epochs: int, seconds: float, values: Mapping[str, float], is_best: bool
) -> str:
    """Write one epoch as one line."""
    parts = [f"{title} {values[key]:.4f}" for key, title in SHOWN if key in values]
    mark = "  *" if is_best else ""
    return f"{phase} {epoch:>3}/{epochs}  {seconds:6.1f} s  " + "  ".join(parts) + mark


class PlainObserver(Observer):
    """Writes a line for everything that ended; nothing moves."""

    def __init__(self, is_verbose: bool = False) -> None:
        self._is_verbose = is_verbose
        self._phase, self._epochs = "", 0
        self._started = time.perf_counter()
        self._task_started: dict[str, float] = {}

    def _write(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def on_note(self, message: str) -> None:
        """Write a note."""
        self._write(message)

    def on_warning(self, message: str) -> None:
        """Write a warning."""
        self._write(f"warning: {message}")

    def on_task_start(self, task: str, total: int | None) -> None:
        """Remember when it started."""
        self._task_started[task] = time.perf_counter()
        if self._is_verbose:
            self._write(f"{task}: started" + (f", {total} steps" if total else ""))

    def on_task_end(self, task: str) -> None:
        """Write how long it took."""
        seconds = time.perf_counter() - self._task_started.pop(task, time.perf_counter())
        if self._is_verbose or seconds > 2:
            self._write(f"{task}: {seconds:.1f} s")

    def on_phase_start(self, phase: str, epochs: int, steps: int, images: int) -> None:
        """Write what starts."""
        self._phase, self._epochs = phase, epochs
        facts = (count_of(steps, "step"), count_of(images, "image"))
        self._write(f"phase {phase}: {count_of(epochs, 'epoch')} at most, {', '.join(facts)}")
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Write the epoch's line."""
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        self._write(format_epoch(self._phase, epoch, self._epochs, seconds, values, is_best))

    def on_phase_end(self, phase: str, reason: str) -> None:
        """Write why it ended."""
        self._write(f"phase {phase}: {reason}")


class TerminalObserver(PlainObserver):
    """Shows a bar for what is under way, and a line for what ended."""

    def __init__(self, is_verbose: bool = False, console: Console | None = None) -> None:
        super().__init__(is_verbose)
        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._bars: dict[str, TaskID] = {}
        self._steps = 0

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def on_task_start(self, task: str, total: int | None) -> None:
        """Show a bar."""
        super().on_task_start(task, total)
        self._open_bar(task, total)

    def on_task_step(self, task: str, done: int) -> None:
        """Move the bar."""
        if task in self._bars:
            self._progress.update(self._bars[task], completed=done)

    def on_task_end(self, task: str) -> None:
        """Take the bar away."""
        self._close_bar(task)
        super().on_task_end(task)

    def on_phase_start(self, phase: str, epochs: int, steps: int, images: int) -> None:
        """Write what starts and remember the length of a bar."""
        super().on_phase_start(phase, epochs, steps, images)
        self._steps = steps

    def on_step(self, epoch: int, step: int, images_per_second: float, loss: float) -> None:
        """Move the epoch's bar."""
        if "epoch" not in self._bars:
            self._open_bar("epoch", self._steps)
        self._progress.update(
            self._bars["epoch"],
            description=f"{self._phase} {epoch}/{self._epochs}",
            completed=step,
            detail=f"{images_per_second:.0f} images/s  loss {loss:.4f}",
        )

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Take the bar away and write the epoch's line."""
        self._close_bar("epoch")
        super().on_epoch_end(epoch, values, is_best)

    def _open_bar(self, task: str, total: int | None) -> None:
        if not self._bars:
            self._progress.start()
        self._bars[task] = self._progress.add_task(task, total=total, detail="")

    def _close_bar(self, task: str) -> None:
        bar = self._bars.pop(task, None)
        if bar is not None:
            self._progress.remove_task(bar)
        if not self._bars:
            self._progress.stop()
