from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.builders import Listener, write_images
from tfclassify.data import looks
from tfclassify.data.images import ImageFacts
from tfclassify.data.index import Index
from tfclassify.data.looks import Look, look_at, look_at_block
from tfclassify.data.places import Mark
from tfclassify.data.readers import read_source
from tfclassify.data.scan import Scan, scan
from tfclassify.executors.jobs import FinishedJob
from tfclassify.executors.processes import Processes
from tfclassify.recipe.schema import DataRecipe


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """Photos with three that are unusable or odd, and no cache of what they show."""
    monkeypatch.setenv("TFCLASSIFY_SCAN_CACHE", "off")
    monkeypatch.setattr(looks, "_BLOCK", 3)
    monkeypatch.setattr(looks, "_WORTH_S", 0.0)
    folder = write_images(tmp_path / "photos", {"a": 10, "b": 10})
    (folder / "a" / "3.png").write_bytes(b"no image")
    (folder / "b" / "4.png").rename(folder / "b" / "4.jpg")
    (folder / "b" / "9.png").write_bytes((folder / "b" / "8.png").read_bytes())
    return read_source(DataRecipe(source=str(folder))).index


def assert_same(one: Scan, other: Scan) -> None:
    pd.testing.assert_frame_equal(one.index.frame, other.index.frame)
    np.testing.assert_array_equal(one.thumbnails, other.thumbnails)
    assert one.findings == other.findings


def test_processes_see_what_one_sees(index: Index) -> None:
    listener = Listener()
    several = scan(index, workers=2, observer=listener)
    assert_same(several, scan(index, workers=1))
    assert [done for _, done in listener.steps] == list(range(1, 21))
    assert {found.kind for found in several.findings} == {
        "not_an_image",
        "wrong_extension",
        "duplicate",
    }


def test_what_processes_saw_is_known_the_next_time(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFCLASSIFY_SCAN_CACHE", "on")
    monkeypatch.setenv("TFCLASSIFY_CACHE", str(tmp_path / "cache"))
    for path in index.paths():
        os.utime(path, (1e9, 1e9))
    first = scan(index, workers=2)
    seen: list[str] = []
    monkeypatch.setattr(
        looks, "look_at", lambda path, most: seen.append(path) or look_at(path, most)
    )
    assert_same(scan(index, workers=2), first)
    assert [Path(path).name for path in seen] == ["3.png"]


def test_a_worker_that_is_killed_loses_nothing(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scan(index, workers=1)
    plain = Processes._hear
    killed = []

    def kill_once(self: Processes, worker: Any) -> None:
        if not killed:
            killed.append(worker._process.pid)
            os.kill(worker._process.pid, signal.SIGKILL)
            worker._process.wait()
            worker.read()  # what it had answered is lost with it
        plain(self, worker)

    monkeypatch.setattr(Processes, "_hear", kill_once)
    listener = Listener()
    assert_same(scan(index, workers=2, observer=listener), expected)
    assert "its worker was ended by signal 9; started again" in listener.warnings[0]


def test_what_fails_in_a_process_is_looked_at_here(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scan(index, workers=1)
    plain = Processes.wait

    def fail(self: Processes) -> FinishedJob:
        return FinishedJob(plain(self).job, error="unexpected MemoryError")

    monkeypatch.setattr(Processes, "wait", fail)
    assert_same(scan(index, workers=2), expected)


def test_where_no_process_can_be_started_threads_look(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = scan(index, workers=1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert_same(scan(index, workers=2), expected)


def test_little_work_is_done_here(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_WORTH_S", 1e9)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr(looks, "Processes", None)
    assert len(scan(index, workers=2).index) == 20


def test_a_look_crosses_to_another_process_whole(index: Index) -> None:
    for path in index.paths():
        here = look_at(path, 10**8)
        (plain,) = look_at_block([path], 10**8)
        there = looks._from_plain(*plain)
        assert there._replace(thumbnail=None) == here._replace(thumbnail=None)
        np.testing.assert_array_equal(there.thumbnail, here.thumbnail)


def test_a_look_that_was_worked_by_hand() -> None:
    facts = ImageFacts(3, 2, "PNG", "RGB", ("alpha", "animated"))
    look = Look("ab", facts, np.zeros((9, 9, 3), np.uint8), mark=Mark(5, 7))
    plain = looks._to_plain(look)
    assert plain[:2] == ["ab", [3, 2, "PNG", "RGB", ("alpha", "animated")]]
    assert plain[2] == "AAAA" * 81
    assert plain[3:] == [("", ""), (5, 7)]
