"""The places where jobs can run, by the names that users call them.

Owns: what a user may say about them, the catalogue, executors of users and of installed
packages. Does not own: jobs (``jobs``), worker processes (``processes``), clusters
(``ray_tasks``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.jobs import Executor, Here


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
