from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from tfclassify.cli.progress import (
    PlainObserver,
    TerminalObserver,
    format_epoch,
    make_observer,
)
from tfclassify.events import SILENT, Observer

VALUES = {"train_loss": 0.51234, "train_accuracy": 0.75, "val_loss": 0.4, "val_accuracy": 0.875}


def play_training(observer: Observer) -> None:
    """Tell an observer all that a short training tells."""
    observer.on_note("run reports/tiny/001")
    observer.on_warning("photos: 1 image is empty [bold]")
    observer.on_task_start("images", 2)
    observer.on_task_step("images", 2)
    observer.on_task_end("images")
    observer.on_phase_start("head", 2, 5, 40)
    observer.on_step(1, 1, 123.4, 0.9)
    observer.on_step(1, 2, 120.0, 0.8)
    if isinstance(observer, TerminalObserver):
        observer._progress.refresh()  # else its thread draws it some time later
    observer.on_epoch_end(1, VALUES, True)
    observer.on_phase_end("head", "all 2 epochs done")


def test_an_epoch_is_one_line() -> None:
    line = format_epoch("head", 3, 20, 1.26, VALUES, is_best=True)
    assert " ".join(line.split()) == (
        "head 3/20 1.3 s loss 0.5123 accuracy 0.7500 val_loss 0.4000 val_accuracy 0.8750 *"
    )
    assert "*" not in format_epoch("head", 3, 20, 1.26, {}, is_best=False)


def test_plain_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    play_training(PlainObserver())
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:3] == [
        "run reports/tiny/001",
        "warning: photos: 1 image is empty [bold]",
        "phase head: 2 epochs at most, 5 steps, 40 images",
    ]
    assert lines[3].startswith("head   1/2")
    assert lines[4:] == ["phase head: all 2 epochs done"]
    assert "\x1b" not in err


def test_verbose_lines_name_each_task(capsys: pytest.CaptureFixture[str]) -> None:
    play_training(PlainObserver(is_verbose=True))
    err = capsys.readouterr().err
    assert "images: started, 2 steps" in err
    assert "images: 0.0 s" in err


def test_a_terminal_shows_bars_and_keeps_the_lines() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, highlight=False)
    play_training(TerminalObserver(console=console))
    shown = screen.getvalue()
    assert "\x1b[" in shown  # bars are drawn over
    assert "head 1/2" in shown
    assert "120 images/s  loss 0.8000" in shown
    assert "2/5" in shown
    for line in ("run reports/tiny/001", "1 image is empty [bold]", "phase head: all 2 epochs"):
        assert line in shown
    assert "val_accuracy 0.8750  *" in shown


def test_a_step_of_an_unknown_task_is_no_trouble() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    observer = TerminalObserver(console=console)
    observer.on_task_step("never started", 1)
    observer.on_task_end("never started")
    observer.on_task_start("unknown length", None)
    observer.on_task_end("unknown length")


@pytest.mark.parametrize(
    ("is_terminal", "kind"), [(True, TerminalObserver), (False, PlainObserver)]
)
def test_the_observer_fits_the_stream(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, kind: type[Observer]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    assert type(make_observer(quiet=False, verbose=False)) is kind
    assert make_observer(quiet=True, verbose=True) is SILENT
