"""The command line's entry: hear signals, call the app, turn an error into an exit code.

Owns: the process's environment and streams, signals, exit codes, what an error looks like.
Does not own: the commands (``app``), what they do (``workflows``).

Little is imported at the top, so that Ctrl-C is heard from the first moment on.
"""

from __future__ import annotations

import os
import signal
import sys

from tfclassify.events import stop_signals

TYPE_CHECKING = False  # typing's own costs a moment in which no signal is heard
if TYPE_CHECKING:
    import types
    from typing import NoReturn

STOPPED = 130


class _Stop(KeyboardInterrupt):
    """Raised by a signal.

    Where its base passes through code that was compiled from a text, as dataclasses are,
    Python kills itself by SIGINT at its end, whatever came of the exception.
    """


def run() -> NoReturn:
    """Run the command line and leave with its exit code.

    It is 0, 1 where the work failed, 2 where the request was wrong, 130 where it was
    stopped by Ctrl-C, SIGTERM or SIGHUP, 141 where nobody reads its output any more.
    """
    try:
        code, message = _work()
    except KeyboardInterrupt:  # before the work began, or while its end was told
        code, message = STOPPED, "error: stopped"
    if stop_signals and code not in (0, STOPPED):  # whatever it made of a signal
        code, message = STOPPED, "error: stopped"
    _leave(code, message)


def _work() -> tuple[int, str]:
    """Run the command line; return its exit code and what is to be said of it."""
    stop_signals.clear()
    _hear_signals()
    _prepare_streams()
    is_debugging, words = _take_debug(sys.argv[1:])
    _quiet_libraries(is_debugging)
    try:
        code = _call(words)
        sys.stdout.flush()
        return code, "error: stopped" if code == STOPPED else ""
    except BaseException as error:
        code, message = _judge(error)
        if is_debugging and message and not isinstance(error, BrokenPipeError):
            raise
        return code, message


def _call(words: list[str]) -> int:
    """Call the app; return its exit code."""
    from tfclassify.cli.app import app

    try:
        app(words, prog_name="tfclassify")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _judge(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the message that an error ends in."""
    if isinstance(error, KeyboardInterrupt):
        return STOPPED, "error: stopped"
    from tfclassify.errors import StorageError, TfclassifyError

    if isinstance(error, BrokenPipeError):
        return 141, ""  # the reader of our output went away, as `| head` does
    if isinstance(error, OSError):  # files were dealt with before: it is our own output
        error.filename = error.filename or "standard output"
        error = StorageError.explain(error)
    if isinstance(error, TfclassifyError):
        return error.exit_code, f"error: {error}"
    kind = type(error).__name__
    return 1, f"error: unexpected {kind}: {error}\nrun again with --debug for a traceback"


def _leave(code: int, message: str) -> NoReturn:
    """Say why, and leave; a stream that takes nothing any more changes nothing."""
    try:
        if message:
            print(_fit(message), file=sys.stderr)
        sys.stderr.flush()
        sys.stdout.flush()
    except OSError:
        code = code or 1
        # Python would try once more at the end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    sys.exit(code)


def _fit(message: str) -> str:
    """Break lines that are too wide for a terminal at their words."""
    if not sys.stderr.isatty():
        return message
    import shutil
    import textwrap

    width = shutil.get_terminal_size().columns
    lines = [
        textwrap.fill(
            line,
            width,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in message.splitlines()
    ]
    return "\n".join(lines)


def _hear_signals() -> None:
    """Stop in one way by Ctrl-C, a polite kill or a lost terminal, unless told not to."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # `nohup` and shells that start something in the background have them ignored.
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


def _stop(number: int, frame: types.FrameType | None) -> None:
    if stop_signals:  # asked again: files are whole at any moment
        os._exit(STOPPED)
    stop_signals.append(number)
    raise _Stop


def _prepare_streams() -> None:
    """Give standard streams that take whatever is written to them.

    Of those that were closed, as by ``2>&-``, the next file that is opened would get the
    number and with it all messages. A sign that the encoding of a terminal lacks, and a
    file name that is no text, are written as in JSON.
    """
    import codecs
    import json

    def escape(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("tfclassify", escape)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
        elif number and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="tfclassify")


def _take_debug(words: list[str]) -> tuple[bool, list[str]]:
    """Take ``--debug`` out of the words, wherever it stands before a ``--``."""
    end = words.index("--") if "--" in words else len(words)
    own = [word for word in words[:end] if word != "--debug"]
    return len(own) < end, own + words[end:]


def _quiet_libraries(is_debugging: bool) -> None:
    """Keep the libraries' start-up chatter off the terminal, unless debugging."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if is_debugging else "3")
    if not is_debugging:
        os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("MPLBACKEND", "Agg")
