"""What stops a training from outside, told with the way to go on.

Owns: turning Ctrl-C, a polite kill, a full disk and a lost image into one line.
Does not own: keeping the state (``training.trainer``), exit codes (``errors``), what the
system's errors mean elsewhere (``start.verb``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tfclassify.errors import DataError, InterruptedTraining, RunError, StorageError
from tfclassify.events import stop_signals


@contextmanager
def explain_interruption(
    place: Path, describe_kept: Callable[[], str], command: str
) -> Iterator[None]:
    """Turn an interruption into an error whose one line says how to go on.

    Args:
        place: The folder that is worked in.
        describe_kept: Says what is not lost, such as ``3 finished epochs are kept``.
        command: The command line that resumes.

    Raises:
        InterruptedTraining: After Ctrl-C or SIGTERM.
        RunError: If the system could not write or read a file.
        DataError: If an image or table could not be used, and there is a way to go on.
    """
    try:
        with _naming_stops():
            yield
    except KeyboardInterrupt:
        raise InterruptedTraining(
            f"{place}: stopped; {describe_kept()}. Go on with: {command}"
        ) from None
    except OSError as error:
        told = StorageError.explain(error)
        raise RunError(
            f"{place}: stopped: {told.fact}; {describe_kept()}. "
            f"{told.way_out[0].upper()}{told.way_out[1:]}, then resume with: {command}"
        ) from error
    except DataError as error:
        if not place.exists():  # nothing had begun
            raise
        reason = str(error).rstrip(".")
        raise DataError(f"{reason}; {describe_kept()}. Then resume with: {command}") from error


@contextmanager
def _naming_stops() -> Iterator[None]:
    """Let whatever native code made of a signal's exception be that exception again."""
    try:
        yield
    except InterruptedTraining:
        raise
    except Exception as error:
        if stop_signals:
            raise KeyboardInterrupt from error
        raise
