"""Independent jobs, and the one interface over the places where they run.

Owns: what a job is, running many of them with every failure named, and running them here.
Does not own: what a job does (``workflows``), the places that there are (``catalogue``).

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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tfclassify.errors import InterruptedTraining, JobError, TfclassifyError
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
