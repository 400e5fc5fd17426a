"""The fuzzing finds faults, keeps them, and finds none in the readers at a first glance."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.targets import LARGEST, TARGETS, Target
from tests.hostile.cases import Case
from tfclassify.errors import TfclassifyError


@pytest.mark.parametrize("name", ["images", "overrides", "tables", "annotations"])
@pytest.mark.filterwarnings("ignore")
def test_changed_inputs_are_read_or_refused(name: str) -> None:
    target = TARGETS[name]
    for data in islice(fuzz.make_changed(target.seeds(), seed=1), 60):
        target.try_one(data)


def test_changes_are_the_same_for_the_same_seed() -> None:
    seeds = [b"one" * 50, b"two" * 900]
    first = list(islice(fuzz.make_changed(seeds, 7), 40))
    assert first == list(islice(fuzz.make_changed(seeds, 7), 40))
    assert first != list(islice(fuzz.make_changed(seeds, 8), 40))
    assert len(set(first)) > 30
    assert max(map(len, first)) <= 2 * LARGEST


def test_a_fault_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def read(data: bytes) -> None:
        if len(data) > 8:
            raise KeyError(len(data))
        raise TfclassifyError("too short")

    target = Target(read, lambda: [Case("", "", b"long enough"), Case("", "", b"short")])
    monkeypatch.setitem(fuzz.TARGETS, "broken", target)
    monkeypatch.setattr(fuzz, "KEPT", tmp_path)
    assert fuzz._change("broken", 0.2, seed=0) > 0
    kept = sorted(tmp_path.iterdir())
    assert all(len(path.read_bytes()) > 8 for path in kept)
    assert "KeyError" in capsys.readouterr().out
    with pytest.raises(KeyError):
        fuzz._read_again(target, kept[0])


def test_an_error_without_words_is_a_fault() -> None:
    def read(_: bytes) -> None:
        raise TfclassifyError

    with pytest.raises(AssertionError, match="an error without words"):
        Target(read, list).try_one(b"")


def test_the_command_says_what_it_does(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.fuzz", "overrides", "--seconds", "0.2"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "0 faults" in done.stdout
    wrong = subprocess.run(
        [*command, "nothing"], cwd=root, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "readers are images, recipes" in wrong.stderr
