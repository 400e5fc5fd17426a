"""Reads one kind of hostile input in a process of its own, under limits.

``python -m tests.hostile.worker KIND FOLDER START STEP`` writes the number of cases, then two
lines of JSON a case, before and after, so that whoever watches knows which case was the
last if the process dies.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from tests.hostile.cases import Case

#: Seconds of processor time that one input may take, and on the clock of a busy machine.
PATIENCE_S = 5.0
CLOCK_S = 300.0
#: Seconds after which the alarm rings again: an exception within a finaliser is lost.
_AGAIN_S = 2.0
#: Address space that reading may take beyond what the process has at the start.
MEMORY_BYTES = 1 << 30


class _Late(BaseException):
    """Raised inside of whatever takes too long."""


def main(kind: str, home: Path, start: int, step: int) -> None:
    """Read every ``step``-th case of a kind, of these from ``start`` on."""
    module = import_module(f"tests.hostile.{kind}")
    every = module.make_cases()
    own = [case for case in every if case.group == "as it is"]
    cases = own + [case for case in every if case.group != "as it is"][::step]
    os.environ["TFCLASSIFY_CACHE"] = str(home / "cache")
    prepare = getattr(module, "prepare", None)
    if prepare is not None:
        prepare(home)
    signal.signal(signal.SIGALRM, _ring)
    signal.signal(signal.SIGPROF, _ring)
    _limit_memory()
    print(json.dumps(len(cases)), flush=True)
    for number, case in enumerate(cases[start:], start=start):
        print(json.dumps({"group": case.group, "name": case.name}), flush=True)
        print(json.dumps(_judge(module, case, home / f"{kind}-{number}")), flush=True)


def _ring(_signal: int, _frame: FrameType | None) -> None:
    raise _Late


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _judge(module: Any, case: Case, folder: Path) -> dict[str, Any]:
    """Read one case in its own folder; say what came of it."""
    folder.mkdir()
    began = time.process_time()
    detail = ""
    try:
        signal.setitimer(signal.ITIMER_PROF, PATIENCE_S, _AGAIN_S)
        signal.setitimer(signal.ITIMER_REAL, CLOCK_S, _AGAIN_S)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = module.read(case, folder)
    except _Late:
        outcome = "FAULT: takes too long"
    except MemoryError:
        outcome, detail = "FAULT: takes too much memory", traceback.format_exc()
    except BaseException as error:
        outcome, detail = _word(error)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = time.process_time() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return {
        "group": case.group,
        "name": case.name,
        "outcome": outcome,
        "detail": detail,
        "seconds": round(seconds, 3),
        "peak_mib": peak,
    }


def _word(error: BaseException) -> tuple[str, str]:
    """Return the name of an error of ours and its message, or the fault of another's."""
    from tfclassify.errors import TfclassifyError

    if isinstance(error, TfclassifyError) and str(error).strip():
        return type(error).__name__, str(error)
    return f"FAULT: raises {type(error).__name__}", "".join(traceback.format_exception(error))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
