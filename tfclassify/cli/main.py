"""The command line's entry: build the app, call it, turn an error into an exit code.

Owns: the process's environment, exit codes, what an error looks like.
Does not own: what a command does (``workflows``) or prints (``render``).
"""

from __future__ import annotations

import os
import signal
import sys
import types

import typer

from tfclassify import __version__
from tfclassify.cli import data, judge, network, several, train
from tfclassify.errors import TfclassifyError

app = typer.Typer(
    name="tfclassify",
    help="Image classification by transfer learning: from a recipe to a trusted model, "
    "a report and a submission.",
    epilog="A first training: tfclassify new flowers --data photos/ && "
    "tfclassify train flowers.yaml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (train, judge, several, data, network):
    module.register(app)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"tfclassify {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def run() -> None:
    """Run the command line and leave with its exit code: 0, 1 failed, 2 wrong request."""
    _fill_closed_streams()
    is_debugging = "--debug" in sys.argv
    _quiet_libraries(is_debugging)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app(prog_name="tfclassify")
    except TfclassifyError as error:
        if is_debugging:
            raise
        _leave(f"error: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except Exception as error:
        if is_debugging:
            raise
        kind = type(error).__name__
        _leave(f"error: unexpected {kind}: {error}\nrun again with --debug for a traceback", 1)


def _fill_closed_streams() -> None:
    """Open nothing in the place of standard streams that were closed, as by ``2>&-``.

    The next file that is opened would get their number, and with it all messages.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _leave(message: str, exit_code: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(exit_code)


def _stop(number: int, frame: types.FrameType | None) -> None:
    # A polite kill ends as Ctrl-C does: the last finished epoch is kept.
    raise KeyboardInterrupt


def _quiet_libraries(is_debugging: bool) -> None:
    """Keep the libraries' start-up chatter off the terminal, unless debugging."""
    if not is_debugging:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("ABSL_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("MPLBACKEND", "Agg")
