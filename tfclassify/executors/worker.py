"""A worker process: ``python -m tfclassify.executors.worker PARENT``, started by ``processes``.

Owns: the loop that reads jobs from standard input, a line of JSON each, and answers on
standard output. Does not own: what a job does.

Answers are ``[kind, content]``: any number of ``note`` and ``warning``, then ``value`` or
``error``. What a library prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, TextIO

from tfclassify.errors import InterruptedTraining, TfclassifyError
from tfclassify.events import Observer
from tfclassify.executors.jobs import Job

#: Seconds between two looks at whether the parent is there, once it sends no more jobs.
_LOOK_S = 0.2


class _Teller(Observer):
    """Passes notes and warnings on to the parent."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel

    def tell(self, kind: str, content: Any) -> None:
        self._channel.write(json.dumps([kind, content]) + "\n")
        self._channel.flush()

    def on_note(self, message: str) -> None:
        self.tell("note", message)

    def on_warning(self, message: str) -> None:
        self.tell("warning", message)


def main() -> int:
    """Work until the parent closes the input; return the exit code."""
    teller = _Teller(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("MPLBACKEND", "Agg")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs, int(sys.argv[1])), daemon=True).start()
    try:
        while (job := jobs.get()) is not None:
            _work(job, teller)
    except (KeyboardInterrupt, InterruptedTraining, BrokenPipeError):
        return 130
    return 0


def _listen(jobs: queue.SimpleQueue[Job | None], parent: int) -> None:
    """Queue what comes in; a parent that is gone interrupts the work.

    Whoever adopts an orphan need not be process 1, so the parent's own number counts. The
    system closes what a dying process had open before it gives its children another parent,
    so that is asked for again as long as the work goes on.
    """
    for line in sys.stdin:
        jobs.put(Job(**json.loads(line)))
    jobs.put(None)
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _work(job: Job, teller: _Teller) -> None:
    try:
        value = job.run(teller)
    except InterruptedTraining:
        raise
    except TfclassifyError as error:
        teller.tell("error", str(error))
    except Exception as error:
        traceback.print_exc()
        teller.tell("error", f"unexpected {type(error).__name__}: {error}")
    else:
        teller.tell("value", value)


if __name__ == "__main__":
    sys.exit(main())
