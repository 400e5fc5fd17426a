"""Jobs in worker processes on this machine.

Owns: starting workers, handing them jobs, noticing that one died. Does not own: what a
worker does (``worker``), what a job is (``jobs``).

A worker is a Python of its own that reads jobs from its standard input and answers in
lines of JSON, so nothing is pickled, no main module is imported again, and a worker whose
parent is gone hears it from its closed input. TensorFlow is loaded once a worker, not
once a job.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import Counter, deque
from typing import Any

from tfclassify.errors import JobError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.jobs import ATTEMPTS, Executor, FinishedJob, Job, worker_variables

_LAST_LINES = 5
_PATIENCE_SECONDS = 15.0


class Processes(Executor):
    """A fixed number of worker processes, each started when it is first needed.

    Args:
        workers: How many; None: one a core.
        threads: Threads of each; None leaves the libraries' own choice, which gives the
            bits of a serial run. Fewer threads may order sums otherwise.
        observer: Told what the jobs tell, with the job's name in front.
    """

    def __init__(
        self, workers: int | None = None, threads: int | None = None, observer: Observer = SILENT
    ) -> None:
        self._slots = workers or os.cpu_count() or 1
        self._threads = threads
        self._observer = observer
        self._idle: list[_Worker] = []
        self._busy: dict[_Worker, Job] = {}
        self._waiting: deque[Job] = deque()
        self._ended: deque[FinishedJob] = deque()
        self._attempts: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()

    @property
    def slots(self) -> int:
        """The number of workers."""
        return self._slots

    def submit(self, job: Job) -> None:
        """Hand a job to a free worker, or let it wait for one."""
        self._waiting.append(job)
        self._hand_out()

    def wait(self) -> FinishedJob:
        """Return a job that has ended."""
        while not self._ended:
            for key, _ in self._selector.select():
                self._hear(key.data)
        return self._ended.popleft()

    def close(self) -> None:
        """Ask the workers to stop, and stop those that do not."""
        workers = [*self._idle, *self._busy]
        for worker in workers:
            worker.ask_to_stop(is_busy=worker in self._busy)
        for worker in workers:
            worker.stop()
        self._selector.close()
        self._idle, self._busy = [], {}

    def _hand_out(self) -> None:
        while self._waiting and len(self._busy) < self._slots:
            worker = self._idle.pop() if self._idle else self._start()
            job = self._waiting.popleft()
            self._attempts[job.name] += 1
            self._busy[worker] = job
            worker.send(job)

    def _start(self) -> _Worker:
        worker = _Worker(self._threads)
        self._selector.register(worker.output, selectors.EVENT_READ, worker)
        return worker

    def _hear(self, worker: _Worker) -> None:
        """Take in what a worker said."""
        job = self._busy.get(worker)
        messages = worker.read()
        if messages is None:
            self._bury(worker, job)
            return
        for kind, content in messages:
            name = job.name if job else "worker"
            if kind == "note":
                self._observer.on_note(f"{name}: {content}")
            elif kind == "warning":
                self._observer.on_warning(f"{name}: {content}")
            elif job is not None:
                is_value = kind == "value"
                self._ended.append(
                    FinishedJob(job, content) if is_value else FinishedJob(job, error=content)
                )
                self._idle.append(worker)
                del self._busy[worker]
                self._hand_out()

    def _bury(self, worker: _Worker, job: Job | None) -> None:
        """Forget a worker that died; its job is started again, if not too often."""
        self._selector.unregister(worker.output)
        reason = worker.explain_end()
        self._busy.pop(worker, None)
        if worker in self._idle:
            self._idle.remove(worker)
        if job is None:
            return
        if self._attempts[job.name] < ATTEMPTS:
            self._observer.on_warning(f"{job.name}: its worker {reason}; started again")
            self._waiting.appendleft(job)
        else:
            self._ended.append(
                FinishedJob(job, error=f"its worker died {ATTEMPTS} times; the last one {reason}")
            )
        self._hand_out()


class _Worker:
    """One worker process and the two pipes to it."""

    def __init__(self, threads: int | None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._buffer = b""
        try:
            self._process = subprocess.Popen(  # nosec B603
                [sys.executable, "-m", "tfclassify.executors.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                env=dict(os.environ) | worker_variables(threads),
                start_new_session=True,  # Ctrl-C is heard here, and passed on once
            )
        except OSError as error:
            self._log.close()
            raise JobError.of_executor(f"no worker process can be started: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self.output = self._process.stdin, self._process.stdout

    def send(self, job: Job) -> None:
        """Tell the worker what to do; one that is dead is noticed when it is read from."""
        line = json.dumps({"name": job.name, "call": job.call, "arguments": dict(job.arguments)})
        with contextlib.suppress(BrokenPipeError):
            self._input.write(line.encode() + b"\n")
            self._input.flush()

    def read(self) -> list[tuple[str, Any]] | None:
        """Return the messages that have come whole, or None if the worker is gone."""
        data = os.read(self.output.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [(kind, content) for kind, content in map(json.loads, lines)]

    def ask_to_stop(self, *, is_busy: bool) -> None:
        """Close the worker's input, and interrupt it where it is at work."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        if is_busy:
            self._process.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Wait until the worker has ended, and end it if it does not."""
        try:
            self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        self.output.close()
        self._log.close()

    def explain_end(self) -> str:
        """Say how the worker ended, with the last lines that it wrote."""
        code = self._process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        self.stop()
        return f"{how} ({' / '.join(lines)})" if lines else how
