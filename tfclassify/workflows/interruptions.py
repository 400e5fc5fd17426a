"""What stops a training from outside, told with the way to go on.

Owns: turning Ctrl-C, a polite kill, a full disk and a lost image into one line.
Does not own: keeping the state (``training.trainer``), exit codes (``errors``).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfclassify.errors import DataError, InterruptedTraining, RunError

_ADVICE = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "make it writable",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.ENOENT: "put it back",
}


@contextmanager
def explain_interruption(place: Path, kept: str, command: str) -> Iterator[None]:
    """Turn an interruption into an error whose one line says how to go on.

    Args:
        place: The folder that is worked in.
        kept: What is not lost, such as ``finished epochs``.
        command: The command line that goes on.

    Raises:
        InterruptedTraining: After Ctrl-C or SIGTERM.
        RunError: If the system could not write or read a file.
        DataError: If an image or table could not be used, and there is a way to go on.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedTraining(
            f"{place}: stopped; {kept} are kept. Go on with: {command}"
        ) from None
    except OSError as error:
        raise RunError(
            f"{place}: stopped: {_describe(error)}; {kept} are kept. "
            f"{_advise(error)}, then go on with: {command}"
        ) from error
    except DataError as error:
        if not place.exists():  # nothing had begun
            raise
        reason = str(error).rstrip(".")
        raise DataError(f"{reason}; {kept} are kept. Then go on with: {command}") from error


def _describe(error: OSError) -> str:
    reason = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _advise(error: OSError) -> str:
    advice = _ADVICE.get(error.errno or 0, "mend that")
    return advice[0].upper() + advice[1:]
