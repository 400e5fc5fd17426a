"""Starts and stops a prediction server: one process, or several on one port.

Owns: its options, where its token comes from, its workers. Does not own: what is answered
(``serving``), the port and the signals (``server``).

Several workers are processes that take their connections from one socket; each has the model
in its own memory. One that dies is replaced.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfclassify.errors import RequestError, RunError, TfclassifyError
from tfclassify.events import SILENT, Observer
from tfclassify.web.served_model import locate_model, open_model
from tfclassify.web.server import listen, require_web, serve
from tfclassify.workflows.start import verb

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tfclassify.web.gate import Door
    from tfclassify.web.uploads import Limits

#: The environment variable that may hold the token.
TOKEN_VARIABLE = "TFCLASSIFY_TOKEN"  # nosec B105 (a name)
_SHORTEST_TOKEN = 16
#: Seconds that answers under way have when the server stops.
GRACE = 30
#: A worker that lives shorter than this many seconds is not replaced: it would die again.
_SHORTEST_LIFE = 10


@dataclass(frozen=True)
class ServeOptions:
    """What to serve, and how.

    Attributes:
        model: The run, bundle or artefact; a run's name means the newest.
        host: Address to listen at.
        port: Port; 0 for any that is free.
        name: What the model is called; empty for its recipe's name.
        use_tta: Whether to average over the recipe's views; None: if it has any.
        workers: Processes.
        threads: Of an artefact's runtime; 0 leaves their number to it.
        batch_size: Images that go through the network together at most.
        wait_ms: Longest wait of an image for others that are on their way.
        watch: Seconds between two looks for a newer model; None never looks.
        names: Further host names that the server is called by.
        token: What a client must send; empty where it need not.
        limits: What one request, and the server, takes; None for the defaults.
        has_log: Whether each request is a line of JSON on standard error.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 8000
    name: str = ""
    use_tta: bool | None = None
    workers: int = 1
    threads: int = 0
    batch_size: int = 32
    wait_ms: float = 5.0
    watch: float | None = None
    names: tuple[str, ...] = ()
    token: str = field(default="", repr=False)
    limits: Limits | None = None
    has_log: bool = True


def read_token(path: Path | None) -> str:
    """Return the token of a file, or of the environment; empty where there is none.

    Raises:
        RequestError: If there is no such file, or the token can be guessed.
    """
    where, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
    if path is not None:
        where = f"--token-file {path}"
        try:
            token = path.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            raise RequestError(f"{where}: cannot be read ({error}); name a file of text") from error
    is_good = token.isascii() and token.isprintable() and " " not in token
    if (token or path is not None) and (len(token) < _SHORTEST_TOKEN or not is_good):
        raise RequestError(
            f"{where}: a token has at least {_SHORTEST_TOKEN} letters, digits and signs without "
            f"spaces, got {len(token)}; make one with: openssl rand -hex 24"
        )
    return token


@verb
def run_server(
    options: ServeOptions,
    observer: Observer = SILENT,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve a model until Ctrl-C or SIGTERM, which answer what was taken.

    Args:
        options: What to serve.
        observer: Told what the user should know.
        on_ready: Told the address when the first request can be answered.

    Raises:
        TargetError: If there is no such model.
        RequestError: If the port is taken, or an option makes no sense.
        MissingExtraError: If the extra ``web``, or an artefact's runtime, is not installed.
        RunError: If the workers die as soon as they start.
    """
    _check(options)
    require_web()
    locate_model(options.model)
    with listen(options.host, options.port, has_token=False, names=options.names) as opened:
        door = replace(opened, token=options.token)
        ready = partial(on_ready, _describe(door))
        if options.workers == 1:
            _serve_one(options, door, observer, ready)
        else:
            _Workers(options, door, observer, ready).run()


def _check(options: ServeOptions) -> None:
    least = {"workers": 1, "batch_size": 1, "threads": 0, "wait_ms": 0}
    for name, smallest in least.items():
        if getattr(options, name) < smallest:
            option = name.replace("_", "-")
            raise RequestError(
                f"--{option}: must be at least {smallest}, got {getattr(options, name)}"
            )
    limits = options.limits
    for option in ("bytes", "pixels", "images", "seconds", "waiting") if limits else ():
        if getattr(limits, option) <= 0:
            raise RequestError(
                f"serve: the limit of {option} must be more than 0, got {getattr(limits, option)}"
            )
    if limits and limits.waiting < limits.images:
        raise RequestError(
            f"--queue: must hold the {limits.images} images of one request (--max-images), got "
            f"{limits.waiting}"
        )
    if options.watch is not None and options.watch <= 0:
        raise RequestError(f"--watch: must be more than 0 seconds, got {options.watch:g}")


def _describe(door: Door) -> str:
    """Return the address without the token, which a log must not hold."""
    return replace(door, token="").address  # nosec B106


def build_app(
    options: ServeOptions, door: Door, observer: Observer, metrics: Any = None
) -> FastAPI:
    """Open the model and make the application that serves it."""
    from tfclassify.web.request_log import log_to_stderr
    from tfclassify.web.service import Service, watch
    from tfclassify.web.serving import make_service_app

    reopen = partial(open_model, options.model, use_tta=options.use_tta, threads=options.threads)
    model = reopen(name=options.name)
    service = Service(
        [model],
        limits=options.limits,
        metrics=metrics,
        batch_size=options.batch_size,
        wait_ms=options.wait_ms,
    )
    background = []
    if options.watch is not None:
        newer = partial(reopen, name=model.name)
        background.append(
            partial(
                watch, service, model.name, options.model, newer, options.watch, observer.on_note
            )
        )
    log = log_to_stderr if options.has_log else None
    return make_service_app(service, door, log=log, background=background)


def _serve_one(
    options: ServeOptions,
    door: Door,
    observer: Observer,
    on_ready: Callable[[], None],
    metrics: Any = None,
) -> None:
    app = build_app(options, door, observer, metrics)
    serve(app, door, observer, on_ready=on_ready, grace=GRACE)


class _Workers:
    """Processes that serve one socket, watched by this one."""

    def __init__(
        self,
        options: ServeOptions,
        door: Door,
        observer: Observer,
        on_ready: Callable[[], None],
    ) -> None:
        from tfclassify.web.metrics import make_rows

        self._options, self._door, self._observer = options, door, observer
        self._on_ready = on_ready
        self._context = multiprocessing.get_context("spawn")
        self._rows = make_rows(options.workers)
        self._workers: list[tuple[Any, float]] = []
        self._is_stopping = False

    def run(self) -> None:
        """Start the workers, replace those that die, and stop them all at a signal."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        is_main = threading.current_thread() is threading.main_thread()
        before = {n: signal.getsignal(n) for n in numbers} if is_main else {}
        for number in before:
            signal.signal(number, self._stop)
        try:
            self._started = self._context.Semaphore(0)
            self._workers = [self._start(place) for place in range(self._options.workers)]
            self._wait_until_ready()
            while not self._is_stopping:
                self._replace_dead()
                wait([worker.sentinel for worker, _ in self._workers], timeout=0.5)
        finally:
            self._end_all()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _start(self, place: int) -> tuple[Any, float]:
        listener = self._door.listener
        facts = (self._options, self._door.host, self._door.port, listener, self._started)
        worker = self._context.Process(
            target=_work, args=(*facts, self._rows, place), name=f"worker {place}", daemon=False
        )
        worker.start()
        return worker, time.monotonic()

    def _wait_until_ready(self) -> None:
        left = len(self._workers)
        while left and not self._is_stopping:
            if self._started.acquire(timeout=0.2):
                left -= 1
            elif any(worker.exitcode is not None for worker, _ in self._workers):
                self._fail()
        if not self._is_stopping:
            self._on_ready()

    def _replace_dead(self) -> None:
        for place, (worker, started) in enumerate(self._workers):
            if worker.exitcode is None or self._is_stopping:
                continue
            if time.monotonic() - started < _SHORTEST_LIFE:
                self._fail()
            self._observer.on_warning(
                f"worker {place} ended with {worker.exitcode}; another takes its place"
            )
            self._workers[place] = self._start(place)

    def _fail(self) -> None:
        codes = sorted({str(worker.exitcode) for worker, _ in self._workers if worker.exitcode})
        raise RunError(
            f"serve: a worker ended as soon as it had started, with exit code {', '.join(codes)}; "
            "what it wrote on standard error says why; --workers 1 shows it here"
        )

    def _stop(self, *_: object) -> None:
        self._is_stopping = True

    def _end_all(self) -> None:
        for worker, _ in self._workers:
            if worker.exitcode is None:
                worker.terminate()
        end = time.monotonic() + GRACE + 5
        for worker, _ in self._workers:
            worker.join(max(0.0, end - time.monotonic()))
            if worker.exitcode is None:
                worker.kill()
                worker.join()


def _work(
    options: ServeOptions,
    host: str,
    port: int,
    listener: socket.socket,
    started: Any,
    rows: Any,
    place: int,
) -> None:
    """Serve in a worker's process."""
    from tfclassify.web.gate import Door
    from tfclassify.web.metrics import Metrics

    _follow_parent()
    door = Door(listener, host, port, options.token, options.names)
    observer = _Quiet()
    try:
        _serve_one(options, door, observer, started.release, Metrics(rows, place))
    except TfclassifyError as error:
        raise SystemExit(f"error: worker {place}: {error}") from error


class _Quiet(Observer):
    """Writes notes of a worker where a container's logs are read."""

    def on_note(self, message: str) -> None:
        """Write a line."""
        import sys

        sys.stderr.write(f"{message}\n")


def _follow_parent() -> None:
    """End this process when the one that started it has ended, however it did."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def follow() -> None:
        wait([parent.sentinel])
        with suppress(OSError):
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
