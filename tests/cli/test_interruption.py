"""Ctrl-C and a polite kill in the middle of a training, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.tiny_run import command_words, make_labelled_photos, write_recipe
from tfclassify.runs.directory import RunDirectory


def hear_signals() -> None:
    """Undo that a test run in the background of a shell ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
                if line.startswith("whole   2/"):
                    work.send_signal(number)
                    break
            out, err = work.communicate(timeout=60)
        finally:
            work.kill()
    assert work.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == (
        "error: my run: stopped; finished epochs are kept. "
        "Go on with: tfclassify train --resume 'my run'"
    )
    assert "Traceback" not in err
    run = RunDirectory.open("my run")
    records = run.journal.read()
    assert len(records) >= 3
    # The state is whole and of the journal's last epoch, or of the one after it.
    from tfclassify.training.state import load_snapshot

    kept = load_snapshot(run.state_dir / "last.npz").facts["records"]
    assert kept[: len(records)] == records
    assert len(kept) - len(records) in (0, 1)
    with run.lock():
        pass
