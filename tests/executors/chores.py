"""Small jobs that workers can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tfclassify.errors import DataError
from tfclassify.events import Observer


def double(number: int, *, observer: Observer) -> dict[str, int]:
    observer.on_note(f"doubling {number}")
    print("printed, not answered")  # must not get into the answers
    return {"number": 2 * number, "process": os.getpid()}


def fail(*, observer: Observer) -> None:
    observer.on_warning("about to fail")
    raise DataError("photos: no images")


def crash(*, observer: Observer) -> None:
    raise KeyError("a bug")


def die(marks: str, times: int, *, observer: Observer) -> int:
    """Kill the worker the first ``times`` times, then say how often it was started."""
    folder = Path(marks)
    started = len(list(folder.iterdir())) + 1
    (folder / str(started)).touch()
    if started <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return started


def leave(*, observer: Observer) -> None:
    print("out of room")
    os._exit(7)


def linger(mark: str, *, observer: Observer) -> None:
    Path(mark).write_text(str(os.getpid()), "utf-8")
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        Path(mark).write_text("stopped", "utf-8")
        raise


def count_threads(*, observer: Observer) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")
