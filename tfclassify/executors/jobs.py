"""Independent jobs, and the one interface over the places where they run.

Owns: what a job is, running many of them with every failure named, the catalogue of
executors. Does not own: what a job does (``workflows``), worker processes
(``processes``), clusters (``ray_tasks``).

A job is a function's name and plain arguments, so that it can be told to another process
or machine. Whatever it leaves lies in a run folder; its value is plain JSON. A job that is
run again goes on from what its folder holds, so one that was lost with its worker is
simply submitted once more.
"""

from __future__ import annotations

import importlib
import os
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tfclassify.errors import InterruptedTraining, JobError, RequestError, TfclassifyError
from tfclassify.events import SILENT, Observer

#: How often a job is started before a worker that dies under it counts as the job's fault.
ATTEMPTS = 3


@dataclass(frozen=True)
class Job:
    """One piece of work that needs no other.

    Attributes:
        name: Unique among the jobs of one call; errors and progress name it.
        call: ``package.module:function``; the function takes the arguments by keyword, and
            ``observer``.
        arguments: Plain JSON values.
    """

    name: str
    call: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def run(self, observer: Observer = SILENT) -> Any:
        """Do the work in this process and return its value, plain JSON."""
        module, _, function = self.call.partition(":")
        return getattr(importlib.import_module(module), function)(
            **self.arguments, observer=observer
        )


@dataclass(frozen=True)
class FinishedJob:
    """A job that ended, well or not.

    Attributes:
        job: The job.
        value: What it returned; None if it failed.
        error: Why it failed, one text; None if it did not.
    """

    job: Job
    value: Any = None
    error: str | None = None


class Executor(ABC):
    """A place where jobs run; a context that stops what still runs when it is left."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many jobs can run at once; a cluster's may grow."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start a job, or put it behind the running ones."""

    @abstractmethod
    def wait(self) -> FinishedJob:
        """Return a job that has ended, waiting for the first of those submitted."""

    @abstractmethod
    def close(self) -> None:
        """Stop what still runs and give the workers back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Here(Executor):
    """Jobs one after the other in this process, with all of their progress shown."""

    def __init__(self, observer: Observer = SILENT) -> None:
        self._observer = observer
        self._jobs: deque[Job] = deque()

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, job: Job) -> None:
        """Put a job behind the others."""
        self._jobs.append(job)

    def wait(self) -> FinishedJob:
        """Run the next job."""
        job = self._jobs.popleft()
        try:
            return FinishedJob(job, job.run(self._observer))
        except InterruptedTraining:
            raise
        except TfclassifyError as error:
            return FinishedJob(job, error=str(error))

    def close(self) -> None:
        """Forget the jobs that were not run."""
        self._jobs.clear()


def run_jobs(
    executor: Executor, jobs: Iterable[Job], observer: Observer = SILENT, *, way_on: str = ""
) -> list[Any]:
    """Run jobs wherever the executor does, and return their values in the jobs' order.

    A job that fails does not stop the others.

    Args:
        executor: Where they run.
        jobs: The jobs.
        observer: Told of each that ends.
        way_on: What to do where some failed; the last line of the error.

    Raises:
        JobError: If any failed, once all have ended; each is named with its reason.
    """
    ordered = list(jobs)
    waiting, running = deque(ordered), 0
    values: dict[str, Any] = {}
    failed: dict[str, str] = {}
    observer.on_task_start("jobs", len(ordered))
    while waiting or running:
        while waiting and running < executor.slots:
            executor.submit(waiting.popleft())
            running += 1
        finished = executor.wait()
        running -= 1
        if finished.error is None:
            values[finished.job.name] = finished.value
        else:
            failed[finished.job.name] = finished.error
            observer.on_warning(f"{finished.job.name}: failed: {finished.error}")
        observer.on_task_step("jobs", len(values) + len(failed))
    observer.on_task_end("jobs")
    if failed:
        raise JobError(len(ordered), failed, way_on)
    return [values[job.name] for job in ordered]


def worker_variables(threads: int | None) -> dict[str, str]:
    """Return the environment variables that a worker needs beside its parent's.

    Args:
        threads: Threads of each job; None leaves them to the libraries.
    """
    variables = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    if threads is not None:
        names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
        variables |= dict.fromkeys(names, str(threads))
    return variables


@dataclass(frozen=True)
class ExecutorOptions:
    """What a user may say about where jobs run.

    Attributes:
        name: One of ``EXECUTORS``.
        workers: Jobs at once; None lets the executor choose.
        threads: Threads of each job; None leaves TensorFlow's own number, with which every
            executor gives the same bits.
        address: Of a cluster; None starts one on this machine.
    """

    name: str = "here"
    workers: int | None = None
    threads: int | None = None
    address: str | None = None


def _open_here(options: ExecutorOptions, observer: Observer) -> Executor:
    return Here(observer)


def _open_processes(options: ExecutorOptions, observer: Observer) -> Executor:
    from tfclassify.executors.processes import Processes

    return Processes(options.workers, options.threads, observer)


def _open_ray(options: ExecutorOptions, observer: Observer) -> Executor:
    from tfclassify.executors.ray_tasks import RayTasks

    return RayTasks(options.address, options.workers, options.threads, observer)


#: Where an installed package announces executors of its own.
ENTRY_POINTS = "tfclassify.executors"

OpenExecutor = Callable[[ExecutorOptions, Observer], Executor]

#: Name -> how to open it.
EXECUTORS: dict[str, OpenExecutor] = {
    "here": _open_here,
    "processes": _open_processes,
    "ray": _open_ray,
}


def register_executor(name: str, open_it: OpenExecutor) -> None:
    """Add a place where jobs can run.

    Args:
        name: What a user calls it.
        open_it: Takes ``ExecutorOptions`` and an observer, and returns an ``Executor``.

    Raises:
        RequestError: If the name is taken.
    """
    if name in EXECUTORS:
        raise RequestError(f"register_executor: there is an executor {name!r} already")
    EXECUTORS[name] = open_it


def open_executor(options: ExecutorOptions, observer: Observer = SILENT) -> Executor:
    """Open the executor that a user asked for.

    Raises:
        RequestError: If there is none of this name, or a number or address does not fit.
        MissingExtraError: If it needs a package that is not installed.
        JobError: If the cluster cannot be reached.
    """
    open_it = EXECUTORS.get(options.name) or _load_announced(options.name)
    if open_it is None:
        announced = (point.name for point in entry_points(group=ENTRY_POINTS))
        known = dict.fromkeys((*EXECUTORS, *announced))
        raise RequestError(f"--executor: must be one of {', '.join(known)}, got {options.name!r}")
    for option, value in (("--workers", options.workers), ("--threads", options.threads)):
        if value is not None and value < 1:
            raise RequestError(f"{option}: must be at least 1, got {value}")
    if options.address is not None and options.name in ("here", "processes"):
        raise RequestError(
            f"--address: {options.name!r} runs on this machine and has no address; "
            f"use --executor ray, or leave --address out"
        )
    opened: Executor = open_it(options, observer)
    return opened


def _load_announced(name: str) -> OpenExecutor | None:
    for point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            loaded: OpenExecutor = point.load()
        except Exception as error:  # whatever a package raises when it is imported
            raise RequestError(
                f"--executor: {name!r}, which an installed package announces as {point.value!r}, "
                f"cannot be loaded ({type(error).__name__}: {error}); mend or uninstall the package"
            ) from error
        return loaded
    return None
