from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace

import pytest
from rich.console import Console

from tfclassify.api.progress import (
    WIDTH,
    EpochTable,
    NotebookObserver,
    PlainObserver,
    TerminalObserver,
    choose_observer,
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
    observer.on_phase_start("head", 2, 5, 40, "val_accuracy")
    observer.on_step(1, 1, 123.4, 0.9)
    observer.on_step(1, 2, 120.0, 0.8)
    if isinstance(observer, TerminalObserver):
        observer._progress.refresh()  # else its thread draws it some time later
    observer.on_epoch_end(1, VALUES, True)
    observer.on_phase_end("head", "all 2 epochs done")


def test_epochs_are_lines_of_one_table() -> None:
    table = EpochTable(20, "val_accuracy")
    assert table.begin() == ["* the best val_accuracy so far, whose weights are kept"]
    assert table.add(3, 1.26, VALUES, is_best=True) == [
        "epoch        time  train_loss   train_accuracy   val_loss   val_accuracy",
        " 3/20       1.3 s      0.5123           0.7500     0.4000         0.8750*",
    ]
    assert table.add(4, 1200.0, VALUES, is_best=False) == [
        " 4/20  20 min 0 s      0.5123           0.7500     0.4000         0.8750",
    ]
    assert EpochTable(20, "").begin() == []


def test_a_table_of_many_scores_fits_and_keeps_what_is_watched() -> None:
    names = ("loss", "accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "roc_auc")
    values = {"train_loss": 0.5, "train_accuracy": 0.7, **{f"val_{name}": 0.5 for name in names}}
    titles, row = EpochTable(1000, "val_f1_weighted").add(1000, 3.0, values, is_best=True)
    shown = titles.split()[2:]
    assert max(len(titles), len(row)) <= WIDTH
    assert {"train_loss", "val_loss", "val_f1_weighted"} <= set(shown)
    assert row.split()[3 + shown.index("val_f1_weighted")] == "0.5000*"


def test_plain_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    play_training(PlainObserver())
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:4] == [
        "run reports/tiny/001",
        "warning: photos: 1 image is empty [bold]",
        "phase head: 2 epochs at most, each of 5 steps and 40 images",
        "* the best val_accuracy so far, whose weights are kept",
    ]
    assert lines[4].split() == ["epoch", "time", *VALUES]
    assert lines[5].startswith("  1/2")
    assert lines[6:] == ["phase head: all 2 epochs done"]
    assert "\x1b" not in err


def test_verbose_lines_name_each_task(capsys: pytest.CaptureFixture[str]) -> None:
    play_training(PlainObserver(is_verbose=True))
    err = capsys.readouterr().err
    assert "images: started, 2 steps" in err
    assert "images: 0.0 s" in err


def make_screen(width: int = 120) -> tuple[io.StringIO, Console]:
    screen = io.StringIO()
    return screen, Console(file=screen, force_terminal=True, width=width, highlight=False)


def test_a_terminal_shows_bars_and_keeps_the_lines() -> None:
    screen, console = make_screen()
    play_training(TerminalObserver(console=console))
    shown = screen.getvalue()
    assert "\x1b[" in shown  # bars are drawn over
    assert "head 1/2" in shown
    assert "120 images/s  loss 0.8000" in shown
    assert "2/5" in shown
    for line in ("run reports/tiny/001", "1 image is empty [bold]", "phase head: all 2 epochs"):
        assert line in shown
    assert "0.8750*" in shown


def test_a_bar_fits_a_narrow_terminal() -> None:
    screen, console = make_screen(width=80)
    observer = TerminalObserver(console=console)
    observer.on_phase_start("fine-tuning", 200, 1234, 40_000)
    observer.on_step(100, 1200, 1234.5, 0.1234)
    observer._progress.refresh()
    observer.on_stop()
    bars = [line for line in screen.getvalue().splitlines() if "images/s" in line]
    assert bars
    assert "1200/1234" in bars[0]
    assert "loss 0.1234" in bars[0]


def test_what_is_under_way_is_taken_away_where_the_work_is_stopped() -> None:
    screen, console = make_screen()
    observer = TerminalObserver(console=console)
    observer.on_task_start("images", 2)
    observer.on_stop()
    assert not observer._progress.live.is_started
    print("error: stopped", file=screen)
    # The bar's line was cleared.
    assert screen.getvalue().endswith("\r\x1b[2K\x1b[?25h\rerror: stopped\n")


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
    assert type(choose_observer(True)) is kind
    assert choose_observer(False, verbose=True) is SILENT
    own = Observer()
    assert choose_observer(own) is own


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stands in for IPython with a kernel; returns what each drawing shows."""
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)

    def display(block: str, *, display_id: bool) -> SimpleNamespace:
        assert display_id
        shown.append(block)
        return handle

    ipython, module = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    module.HTML, module.display = str, display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_a_notebook_has_one_block_that_grows(
    blocks: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tfclassify.api.progress._REDRAWN_S", -1.0)
    observer = choose_observer(True)
    assert type(observer) is NotebookObserver
    play_training(observer)
    assert capsys.readouterr() == ("", "")
    assert any("head 1/2  ██████████░░░░░░░░░░░░░░  2/5  120 images/s" in each for each in blocks)
    last = blocks[-1]
    assert last.startswith("<pre")
    assert "run reports/tiny/001\nwarning: photos" in last
    assert "phase head: all 2 epochs done</pre>" in last
    assert "2/5" not in last


def test_a_notebook_shows_names_as_text(blocks: list[str]) -> None:
    observer = NotebookObserver()
    observer.on_note("<script>alert(1)</script>.png")
    assert "&lt;script&gt;" in blocks[-1]
    assert "<script>" not in blocks[-1]
