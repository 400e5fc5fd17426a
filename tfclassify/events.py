"""What the work tells whoever is watching it.

Owns: the observer that every long piece of work reports to.
Does not own: how progress looks (``cli``), what is stored (``runs``).
"""

from __future__ import annotations

from collections.abc import Mapping

#: The signal that asked this process to stop, if one has; the command line notes it here,
#: since native code may make another error of the exception that a signal raises.
stop_signals: list[int] = []


class Observer:
    """Receives progress; this base class ignores all of it.

    The command line shows it on standard error, tests record it. No method
    may change the work or raise.
    """

    def on_note(self, message: str) -> None:
        """Receive one line that a user may want to know, in plain text."""

    def on_warning(self, message: str) -> None:
        """Receive one line that a user should know."""

    def on_task_start(self, task: str, total: int | None) -> None:
        """Start a countable task, such as reading images; ``total`` may be unknown."""

    def on_task_step(self, task: str, done: int) -> None:
        """Tell how many units of the task are done."""

    def on_task_end(self, task: str) -> None:
        """Finish the task."""

    def on_phase_start(
        self, phase: str, epochs: int, steps: int, images: int, watched: str = ""
    ) -> None:
        """Start a training phase of ``epochs`` epochs of ``steps`` steps each.

        ``watched`` names the value whose best epoch is kept, such as ``val_loss``; it is
        empty where the last epoch is.
        """

    def on_step(self, epoch: int, step: int, images_per_second: float, loss: float) -> None:
        """Finish one training step; epochs and steps count from 1."""

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Finish one epoch; ``values`` holds losses and metrics by name."""

    def on_phase_end(self, phase: str, reason: str) -> None:
        """Finish a phase; ``reason`` says why it ended."""

    def on_stop(self) -> None:
        """The work was broken off: take away what is on display."""


SILENT = Observer()
