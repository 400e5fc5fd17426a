"""The contract of every executor, and what each adds to it."""

from __future__ import annotations

import ctypes
import io
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tfclassify.errors import JobError, MissingExtraError, RequestError
from tfclassify.events import Observer
from tfclassify.executors import worker
from tfclassify.executors.catalogue import (
    ENTRY_POINTS,
    EXECUTORS,
    ExecutorOptions,
    open_executor,
    register_executor,
)
from tfclassify.executors.jobs import Executor, Here, Job, run_jobs

CHORES = "tests.executors.chores:"
NAMES = "from tfclassify.executors.catalogue import *\nfrom tfclassify.executors.jobs import *\n"
_PR_SET_CHILD_SUBREAPER = 36


class Listener(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.steps: list[int] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)

    def on_task_step(self, task: str, done: int) -> None:
        self.steps.append(done)


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """One Ray for all tests of the module: starting it takes seconds."""
    ray = pytest.importorskip("ray")
    from tfclassify.executors.jobs import worker_variables

    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": worker_variables(None)},
    )
    yield
    ray.shutdown()


@pytest.fixture(params=["here", "processes", "ray"])
def opened(request: pytest.FixtureRequest) -> Iterator[tuple[Executor, Listener]]:
    if request.param == "ray":
        request.getfixturevalue("ray_here")
    listener = Listener()
    workers = None if request.param == "here" else 2
    with open_executor(ExecutorOptions(request.param, workers), listener) as executor:
        yield executor, listener


def test_values_come_in_the_order_of_the_jobs(opened: tuple[Executor, Listener]) -> None:
    executor, listener = opened
    jobs = [Job(f"job-{number}", CHORES + "double", {"number": number}) for number in range(5)]
    values = run_jobs(executor, jobs, listener)
    assert [value["number"] for value in values] == [0, 2, 4, 6, 8]
    assert listener.steps == [1, 2, 3, 4, 5]
    assert len([note for note in listener.notes if "doubling" in note]) == 5
    is_here = isinstance(executor, Here)
    assert ({value["process"] for value in values} == {os.getpid()}) is is_here


def test_a_failure_is_named_and_the_others_are_done(
    opened: tuple[Executor, Listener], tmp_path: Path
) -> None:
    executor, listener = opened
    jobs = [Job("bad", CHORES + "fail"), Job("good", CHORES + "double", {"number": 4})]
    with pytest.raises(JobError, match=re.escape("1 of 2 jobs failed, 1 done")) as caught:
        run_jobs(executor, jobs, listener)
    assert caught.value.failed == {"bad": "photos: no images"}
    assert "bad: photos: no images" in str(caught.value)
    assert any("about to fail" in warning for warning in listener.warnings)


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_a_bug_in_a_job_is_an_error_of_the_job(name: str, request: pytest.FixtureRequest) -> None:
    if name == "ray":
        request.getfixturevalue("ray_here")
    with (
        open_executor(ExecutorOptions(name, 1)) as executor,
        pytest.raises(JobError, match="unexpected KeyError: 'a bug'"),
    ):
        run_jobs(executor, [Job("bug", CHORES + "crash")])


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_a_killed_worker_is_replaced(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "ray":
        request.getfixturevalue("ray_here")
    marks = tmp_path / "marks"
    marks.mkdir()
    jobs = [Job("killed", CHORES + "die", {"marks": str(marks), "times": 2})]
    with open_executor(ExecutorOptions(name, 1)) as executor:
        assert run_jobs(executor, jobs) == [3]


@pytest.mark.parametrize("name", ["processes", "ray"])
def test_a_job_that_kills_every_worker_fails(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "ray":
        request.getfixturevalue("ray_here")
    jobs = [
        Job("killer", CHORES + "die", {"marks": str(tmp_path), "times": 9}),
        Job("good", CHORES + "double", {"number": 1}),
    ]
    with (
        open_executor(ExecutorOptions(name, 1)) as executor,
        pytest.raises(JobError, match="killer: its worker died 3 times") as caught,
    ):
        run_jobs(executor, jobs)
    assert list(caught.value.failed) == ["killer"]
    assert len(list(tmp_path.iterdir())) == 3


def test_the_last_words_of_a_worker_are_told() -> None:
    with (
        open_executor(ExecutorOptions("processes", 1)) as executor,
        pytest.raises(JobError, match=r"ended with exit code 7 \(out of room\)"),
    ):
        run_jobs(executor, [Job("leaver", CHORES + "leave")])


def test_workers_have_the_threads_asked_for() -> None:
    with open_executor(ExecutorOptions("processes", 1, threads=3)) as executor:
        assert run_jobs(executor, [Job("threads", CHORES + "count_threads")]) == ["3"]


def wait_for(mark: Path) -> str:
    deadline = time.monotonic() + 300
    while not (mark.exists() and mark.read_text("utf-8")):
        assert time.monotonic() < deadline, "the job never began"
        time.sleep(0.05)
    return mark.read_text("utf-8")


def test_leaving_the_executor_stops_what_runs(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with open_executor(ExecutorOptions("processes", 1)) as executor:
        executor.submit(Job("slow", CHORES + "linger", {"mark": str(mark)}))
        process = int(wait_for(mark))
    assert mark.read_text("utf-8") == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.fixture
def hearing_ctrl_c() -> Iterator[None]:
    """Hear Ctrl-C, which a shell has ignored for what it starts in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hearing_ctrl_c")
def test_ctrl_c_stops_the_workers(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    main = threading.main_thread()

    def interrupt() -> None:
        wait_for(mark)
        signal.pthread_kill(main.ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with (
        pytest.raises(KeyboardInterrupt),
        open_executor(ExecutorOptions("processes", 1)) as executor,
    ):
        run_jobs(executor, [Job("slow", CHORES + "linger", {"mark": str(mark)})])
    assert mark.read_text("utf-8") == "stopped"


@pytest.fixture
def adopting_orphans() -> Iterator[None]:
    """Adopt orphaned processes here, as a container's supervisor does in place of process 1."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    yield
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("adopting_orphans")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    script = (
        NAMES + "with open_executor(ExecutorOptions('processes', 1)) as executor:\n"
        f"    run_jobs(executor, [Job('slow', {CHORES + 'linger'!r}, {{'mark': {str(mark)!r}}})])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    worker = int(wait_for(mark))
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 300
    while mark.read_text("utf-8") != "stopped":
        assert time.monotonic() < deadline, f"the worker {worker} goes on without its parent"
        time.sleep(0.05)
    os.waitpid(worker, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ExecutorOptions("slurm"), "--executor: must be one of here, processes, ray, got 'slurm'"),
        (ExecutorOptions("processes", workers=0), "--workers: must be at least 1, got 0"),
        (ExecutorOptions("processes", threads=-1), "--threads: must be at least 1, got -1"),
        (ExecutorOptions("here", address="auto"), "--address: 'here' runs on this machine"),
    ],
)
def test_wrong_options(options: ExecutorOptions, message: str) -> None:
    with pytest.raises(RequestError, match=re.escape(message)):
        open_executor(options)


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, which has no Ray yet."""
    return subprocess.run(
        [sys.executable, "-c", NAMES + script],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("nowhere", "an address reads host:port"),
    ],
)
def test_a_cluster_that_is_not_there(address: str, reason: str) -> None:
    pytest.importorskip("ray")
    done = run_script(f"open_executor(ExecutorOptions('ray', address={address!r}))")
    assert f"JobError: no Ray cluster at {address}: " in done.stderr
    assert reason in done.stderr
    assert done.stderr.rstrip().endswith("or leave --address out to use this machine")


def test_ray_is_started_and_stopped_here() -> None:
    pytest.importorskip("ray")
    done = run_script(
        "with open_executor(ExecutorOptions('ray', workers=1, threads=1)) as executor:\n"
        f"    print(run_jobs(executor, [Job('a', {CHORES + 'count_threads'!r})]))\n"
        "import ray\n"
        "print(ray.is_initialized())\n"
    )
    assert done.stdout.splitlines() == ["['1']", "False"], done.stderr


def test_ray_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'tfclassify[ray]'")):
        open_executor(ExecutorOptions("ray"))


def test_a_parent_that_is_gone_is_noticed_though_its_files_close_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parents, killed = [7, 7, 3], list[tuple[int, int]]()
    monkeypatch.setattr(worker.sys, "stdin", io.StringIO(""))
    monkeypatch.setattr(worker.os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(worker.os, "kill", lambda *given: killed.append(given))
    monkeypatch.setattr(worker, "_LOOK_S", 0)
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    worker._listen(jobs, parent=7)
    assert killed == [(os.getpid(), signal.SIGTERM)]
    assert not parents
    assert jobs.get() is None


def test_no_worker_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with (
        open_executor(ExecutorOptions("processes", 1)) as executor,
        pytest.raises(JobError, match="no worker process can be started"),
    ):
        executor.submit(Job("any", CHORES + "double", {"number": 1}))


def test_an_executor_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfclassify.executors.catalogue.EXECUTORS", dict(EXECUTORS))
    register_executor("mine", lambda options, observer: Here(observer))
    with open_executor(ExecutorOptions("mine")) as executor:
        assert run_jobs(executor, [Job("a", CHORES + "double", {"number": 3})])[0]["number"] == 6
    with pytest.raises(RequestError, match="there is an executor 'here' already"):
        register_executor("here", lambda options, observer: Here(observer))


class Announced:
    """As an entry point of an installed package."""

    name, value = "theirs", "their_package:open_it"

    def __init__(self, load: Any) -> None:
        self.load = load


def test_an_executor_that_a_package_announces(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down() -> None:
        raise ImportError("no such thing")

    def announce(load: Any) -> None:
        def list_points(group: str, name: str = "theirs") -> list[Announced]:
            return [Announced(load)] if (group, name) == (ENTRY_POINTS, "theirs") else []

        monkeypatch.setattr("tfclassify.executors.catalogue.entry_points", list_points)

    announce(lambda: lambda options, observer: Here(observer))
    with open_executor(ExecutorOptions("theirs")) as executor:
        assert run_jobs(executor, [Job("a", CHORES + "double", {"number": 3})])[0]["number"] == 6
    with pytest.raises(RequestError, match="must be one of here, processes, ray, theirs, got 'no'"):
        open_executor(ExecutorOptions("no"))
    announce(break_down)
    with pytest.raises(
        RequestError, match=r"'theirs'.*'their_package:open_it', cannot be loaded \(ImportError: no"
    ):
        open_executor(ExecutorOptions("theirs"))
