"""Jobs as tasks of a Ray cluster, or of a Ray that is started on this machine.

Owns: reaching the cluster, tasks, retries, cancelling. Does not own: what a job is
(``jobs``); the folder that all nodes share, which is the user's.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from tfclassify.errors import JobError, MissingExtraError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.jobs import ATTEMPTS, Executor, FinishedJob, Job, worker_variables

_KNOCK_SECONDS = 10.0


class RayTasks(Executor):
    """One Ray task a job.

    Args:
        address: Of a running cluster, or ``auto``; None starts Ray here, and stops it again.
        workers: Most jobs at once; None: as many as the cluster has room for, which is
            asked for anew, since nodes may join late.
        threads: Cores that a job books and threads that it uses; None books one core and
            leaves the number of threads to the libraries.
        observer: Told which jobs begin.

    Raises:
        MissingExtraError: If Ray is not installed.
        JobError: If the cluster cannot be reached.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        threads: int | None = None,
        observer: Observer = SILENT,
    ) -> None:
        self._ray = _import_ray()
        self._workers, self._cores, self._observer = workers, threads or 1, observer
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            self._connect(address, threads)
        remote = self._ray.remote(num_cpus=self._cores, max_retries=ATTEMPTS - 1)
        self._task = remote(_run_job)
        self._running: dict[Any, Job] = {}

    def _connect(self, address: str | None, threads: int | None) -> None:
        try:
            if address is not None and address not in ("auto", "local"):
                _knock(address)  # Ray itself tries for minutes
            self._ray.init(
                address=address or "local",
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": worker_variables(threads)},
                **({} if address else {"include_dashboard": False}),
            )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            first = (str(error).strip() or "no answer").splitlines()[0]
            raise JobError.of_executor(
                f"no Ray cluster at {address or 'this machine'}: {first}; start one by "
                "`ray start --head`, or leave --address out to use this machine"
            ) from error

    @property
    def slots(self) -> int:
        """Jobs that the cluster has room for, at least one."""
        cores = self._ray.cluster_resources().get("CPU", 1.0)
        room = max(1, int(cores // self._cores))
        return min(room, self._workers) if self._workers else room

    def submit(self, job: Job) -> None:
        """Hand a job to the cluster."""
        reference = self._task.options(name=job.name).remote(job.name, job.call, job.arguments)
        self._running[reference] = job

    def wait(self) -> FinishedJob:
        """Return a job that has ended."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        job = self._running.pop(ready[0])
        try:
            notes, value, error = self._ray.get(ready[0])
        except self._ray.exceptions.RayError as lost:
            first = str(lost).strip().splitlines()[0]
            return FinishedJob(job, error=f"its worker died {ATTEMPTS} times; Ray says: {first}")
        for kind, text in notes:
            tell = self._observer.on_note if kind == "note" else self._observer.on_warning
            tell(f"{job.name}: {text}")
        return FinishedJob(job, value, error)

    def close(self) -> None:
        """Cancel what still runs; stop Ray where it was started here."""
        for reference in self._running:
            self._ray.cancel(reference)
        self._running = {}
        if self._is_ours:
            self._ray.shutdown()


def _knock(address: str) -> None:
    """See that something listens at ``host:port`` or ``ray://host:port``."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("an address reads host:port, ray://host:port or auto")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_SECONDS).close()


class _Notes(Observer):
    """Keeps what a job tells until its task ends."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def on_note(self, message: str) -> None:
        self.lines.append(("note", message))

    def on_warning(self, message: str) -> None:
        self.lines.append(("warning", message))


def _run_job(
    name: str, call: str, arguments: dict[str, Any]
) -> tuple[list[tuple[str, str]], Any, str | None]:
    """Run a job on a node: what it told, its value, its error."""
    notes = _Notes()
    try:
        return notes.lines, Job(name, call, arguments).run(notes), None
    except TfclassifyError as error:
        return notes.lines, None, str(error)
    except Exception as error:
        return notes.lines, None, f"unexpected {type(error).__name__}: {error}"


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError(
            "--executor ray: needs the package ray; install it by "
            "`pip install 'tfclassify[ray]'`, or use --executor processes"
        ) from error
    return ray
