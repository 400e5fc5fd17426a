"""How far the work is: bars on a terminal, a live block in a notebook, lines elsewhere.

Owns: how the work's events look. Does not own: results.
"""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfclassify.events import SILENT, Observer
from tfclassify.pages.wording import count_of, format_seconds

if TYPE_CHECKING:
    from rich.console import Console

#: Columns that a table of epochs may take: those of the narrowest terminal.
WIDTH = 80
_BAR_LENGTH = 24
_REDRAWN_S = 0.2


def choose_observer(progress: bool | Observer, *, verbose: bool = False) -> Observer:
    """Return what shows the progress of a call.

    Args:
        progress: Whether to show any; or who is told instead.
        verbose: Whether to tell the time of every task.
    """
    if isinstance(progress, Observer):
        return progress
    if not progress:
        return SILENT
    if _is_notebook():
        return NotebookObserver(verbose)
    return TerminalObserver(verbose) if sys.stderr.isatty() else PlainObserver(verbose)


def _is_notebook() -> bool:
    """Say whether IPython runs this with a page to draw on, which a terminal's does not have."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


class EpochTable:
    """The epochs of one phase as lines of a table that fits a narrow terminal.

    Training values come first, then the value that the phase keeps its best epoch by,
    then as many others as there is room for.
    """

    def __init__(self, epochs: int, watched: str) -> None:
        self._epochs, self._watched = epochs, watched
        self._shown: tuple[str, ...] = ()
        self._place = max(len("epoch"), 2 * len(str(epochs)) + 1)

    def begin(self) -> list[str]:
        """Write what a ``*`` means."""
        return [f"* the best {self._watched} so far, whose weights are kept"] * bool(self._watched)

    def add(
        self, epoch: int, seconds: float, values: Mapping[str, float], is_best: bool
    ) -> list[str]:
        """Write one epoch, below the titles where it is the first."""
        lines = []
        if not self._shown:
            self._shown = self._choose(values)
            titles = "".join(f"  {name:>{self._width(name)}} " for name in self._shown)
            lines.append(f"{'epoch':>{self._place}}  {'time':>10}{titles}".rstrip())
        cells = ""
        for name in self._shown:
            text = f"{values[name]:.4f}" if name in values else ""
            mark = "*" if is_best and name == self._watched else " "
            cells += f"  {text:>{self._width(name)}}{mark}"
        place = f"{epoch}/{self._epochs}"
        return [*lines, f"{place:>{self._place}}  {format_seconds(seconds):>10}{cells}".rstrip()]

    def _choose(self, values: Mapping[str, float]) -> tuple[str, ...]:
        first = [name for name in values if name.startswith("train_")]
        first += [name for name in ("val_loss", self._watched) if name in values]
        room, shown = WIDTH - self._place - 12, []
        for name in dict.fromkeys([*first, *values]):
            room -= self._width(name) + 3
            if room >= 0:
                shown.append(name)
        order = [name for name in values if name in shown]
        return tuple(order)

    @staticmethod
    def _width(name: str) -> int:
        return max(6, len(name))


class PlainObserver(Observer):
    """Writes a line for everything that ended; nothing moves."""

    def __init__(self, is_verbose: bool = False) -> None:
        self._is_verbose = is_verbose
        self._phase, self._epochs, self._steps = "", 0, 0
        self._table = EpochTable(0, "")
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
            self._write(f"{task}: {format_seconds(seconds)}")

    def on_phase_start(
        self, phase: str, epochs: int, steps: int, images: int, watched: str = ""
    ) -> None:
        """Write what starts."""
        self._phase, self._epochs, self._steps = phase, epochs, steps
        self._table = EpochTable(epochs, watched)
        self._write(
            f"phase {phase}: {count_of(epochs, 'epoch')} at most, each of "
            f"{count_of(steps, 'step')} and {count_of(images, 'image')}"
        )
        for line in self._table.begin():
            self._write(line)
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Write the epoch's line."""
        now = time.perf_counter()
        seconds, self._started = now - self._started, now
        for line in self._table.add(epoch, seconds, values, is_best):
            self._write(line)

    def on_phase_end(self, phase: str, reason: str) -> None:
        """Write why it ended."""
        self._write(f"phase {phase}: {reason}")


class _LiveObserver(PlainObserver):
    """Also tells what is under way, to a subclass that draws it: one bar at a time."""

    def _show(self, title: str, done: int, total: int | None, detail: str = "") -> None:
        raise NotImplementedError

    def on_stop(self) -> None:
        """Take away what is under way."""
        raise NotImplementedError

    def __init__(self, is_verbose: bool = False) -> None:
        super().__init__(is_verbose)
        self._totals: dict[str, int | None] = {}

    def on_task_start(self, task: str, total: int | None) -> None:
        """Show the task."""
        super().on_task_start(task, total)
        self._totals[task] = total
        self._show(task, 0, total)

    def on_task_step(self, task: str, done: int) -> None:
        """Move the task's bar."""
        if task in self._totals:
            self._show(task, done, self._totals[task])

    def on_task_end(self, task: str) -> None:
        """Take the bar away."""
        self._totals.pop(task, None)
        self.on_stop()
        super().on_task_end(task)

    def on_step(self, epoch: int, step: int, images_per_second: float, loss: float) -> None:
        """Move the epoch's bar."""
        detail = f"{images_per_second:.0f} images/s  loss {loss:.4f}"
        self._show(f"{self._phase} {epoch}/{self._epochs}", step, self._steps, detail)

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Take the bar away and write the epoch's line."""
        self.on_stop()
        super().on_epoch_end(epoch, values, is_best)


class TerminalObserver(_LiveObserver):
    """Shows a bar for what is under way, and a line for what ended."""

    def __init__(self, is_verbose: bool = False, console: Console | None = None) -> None:
        super().__init__(is_verbose)
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TaskID,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = console or Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=_BAR_LENGTH),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
        )
        self._bar: TaskID | None = None

    def _write(self, line: str) -> None:
        self._console.print(line, markup=False, emoji=False)

    def _show(self, title: str, done: int, total: int | None, detail: str = "") -> None:
        if self._bar is None:
            self._bar = self._progress.add_task(title, total=total, completed=done, detail=detail)
            self._progress.start()
            return
        self._progress.update(
            self._bar, description=title, completed=done, total=total, detail=detail
        )

    def on_stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._progress.stop()
            self._bar = None


class NotebookObserver(_LiveObserver):
    """Keeps every line, and what is under way below them, in one block of a notebook."""

    def __init__(self, is_verbose: bool = False) -> None:
        super().__init__(is_verbose)
        self._lines: list[str] = []
        self._handle: Any = None
        self._drawn = 0.0

    def _write(self, line: str) -> None:
        self._lines.append(line)
        self._draw("")

    def _show(self, title: str, done: int, total: int | None, detail: str = "") -> None:
        if time.perf_counter() - self._drawn > _REDRAWN_S:
            share = done / total if total else 0.0
            bar = f"{'█' * round(share * _BAR_LENGTH):░<{_BAR_LENGTH}}"
            self._draw(f"{title}  {bar}  {done}/{total or '?'}  {detail}")

    def on_stop(self) -> None:
        """Take the bar away."""
        self._draw("")

    def _draw(self, moving: str) -> None:
        from IPython.display import HTML, display  # whoever gets here runs in it

        text = html.escape("\n".join([*self._lines, moving]).rstrip("\n"))
        block = HTML(f'<pre style="line-height: 1.3">{text}</pre>')
        if self._handle is None:
            self._handle = display(block, display_id=True)
        else:
            self._handle.update(block)
        self._drawn = time.perf_counter()
