"""Ctrl-C and its like in the middle of a training or at the start of anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny_run import command_words, make_labelled_photos, write_recipe
from tfclassify.runs.directory import RunDirectory


def hear_signals() -> None:
    """Undo that a test run in the background of a shell, or under nohup, ignores signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_a_run_that_goes_on(in_tmp: Path, number: signal.Signals) -> None:
    make_labelled_photos(in_tmp / "photos")
    recipe = write_recipe(in_tmp)
    # Far more epochs than it gets to do.
    words = command_words("train", recipe, "--out", "my run", "--set", "phases[1].epochs=100000")
    with subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_signals,
    ) as work:
        try:
            assert work.stderr is not None
            for line in work.stderr:
                if line.split()[:1] == ["2/100000"]:
                    work.send_signal(number)
                    break
            out, err = work.communicate(timeout=300)
        finally:
            work.kill()
    assert work.returncode == 130, err
    assert out == ""
    assert re.fullmatch(
        r"error: my run: stopped; \d finished epochs are kept\. "
        r"Resume with: tfclassify train --resume 'my run'",
        err.splitlines()[-1],
    )
    assert "Traceback" not in err
    run = RunDirectory.open("my run")
    records = run.read_journal()
    assert len(records) >= 3
    # The state is whole and of the journal's last epoch, or of the one after it.
    from tfclassify.training.state import load_snapshot

    kept = load_snapshot(run.state_dir / "last.npz").facts["records"]
    assert kept[: len(records)] == records
    assert len(kept) - len(records) in (0, 1)
    with run.lock():
        pass


#: Raises a signal when something is reached: before a module is imported, or in TensorFlow's.
PROBE = """
import builtins, signal, sys
number, wanted, found = int(sys.argv[1]), sys.argv[2], builtins.__import__
def watch(name, *rest, **named):
    if name == wanted:
        builtins.__import__ = found
        signal.raise_signal(number)
    return found(name, *rest, **named)
builtins.__import__ = watch
sys.argv = ["tfclassify", *sys.argv[3:]]
from tfclassify.cli.main import run
run()
"""


@pytest.mark.parametrize(
    ("number", "module", "words"),
    [
        (signal.SIGINT, "tfclassify.cli.app", ["backbones"]),
        (signal.SIGTERM, "numpy", ["backbones"]),
        (signal.SIGHUP, "tfclassify.errors", ["schema"]),
        (signal.SIGINT, "keras", ["profile", "mobilenet_025"]),
        (signal.SIGTERM, "keras", ["profile", "mobilenet_025"]),
    ],
)
def test_a_signal_at_the_start_is_told_in_one_line(
    in_tmp: Path, number: signal.Signals, module: str, words: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(int(number)), module, *words],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=hear_signals,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: stopped\n")


def test_a_signal_that_is_ignored_from_the_start_stays_ignored(in_tmp: Path) -> None:
    """As under nohup, and in the background of a shell."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(int(signal.SIGHUP)), "numpy", "backbones"],
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert done.returncode == 0, done.stderr
    assert "resnet18" in done.stdout


#: A signal while code runs that was compiled from a text, or before the app is called.
WITHIN = """
import signal, sys
from tfclassify.cli import main
place = sys.argv.pop(1)
raise_it = lambda *given: signal.raise_signal(signal.SIGTERM)
if place == "text":
    main._call = lambda words: exec("raise_it()", {"raise_it": raise_it})
else:
    setattr(main, place, raise_it)
main.run()
"""


@pytest.mark.parametrize("place", ["text", "_prepare_streams", "_quiet_libraries", "_judge"])
def test_a_signal_is_told_alike_wherever_it_comes(in_tmp: Path, place: str) -> None:
    words = ["absent"] if place == "_judge" else []
    (in_tmp / "within.py").write_text(WITHIN, "utf-8")  # as a module: Python's end is another
    done = subprocess.run(
        [sys.executable, "-m", "within", place, "check", *words],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        preexec_fn=hear_signals,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: stopped\n")


#: What a native library may make of an exception: another one.
CHANGED = """
import signal, sys
from tfclassify.cli import app, main
def work(*given, **named):
    try:
        signal.raise_signal(signal.SIGTERM)
    except KeyboardInterrupt:
        raise SystemError("returned a result with an exception set") from None
app.app = work
main.run()
"""


def test_a_signal_that_became_another_error_is_still_a_stop() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHANGED], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (130, "error: stopped\n")
