"""A fresh Python process, to prove that an export stands on its own.

Owns: starting the process, cut off from this one, and wording its failure.
Does not own: what is run in it or what its answers are compared with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tfclassify.errors import ExportError

#: Loading TensorFlow and a large network on a slow disk takes minutes, not hours.
TIMEOUT_S = 1800.0


def run_afresh(
    arguments: Sequence[str | Path],
    folder: Path,
    *,
    what: str,
    timeout_s: float = TIMEOUT_S,
    outcome: str = "nothing was written",
) -> None:
    """Run Python in a new process whose working folder is ``folder``.

    The process is isolated (``-I``): neither ``PYTHON*`` variables nor the present
    folder change what it imports. It runs on the CPU, since this process may hold
    all of a GPU's memory.

    Args:
        arguments: A script's path, or ``-c`` and its text; then its arguments.
        folder: Where it runs.
        what: What is being checked, for the message.
        timeout_s: Seconds after which it has failed.
        outcome: What follows from a failure, for the message.

    Raises:
        ExportError: If it fails or takes too long; holds the end of what it printed.
    """
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-I", *(str(argument) for argument in arguments)]
    try:
        done = subprocess.run(  # nosec B603
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ExportError(
            f"{what}: its check in a fresh process took more than {timeout_s:g} s; {outcome}"
        ) from None
    if done.returncode:
        printed = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise ExportError(
            f"{what}: failed in a fresh process (exit status {done.returncode}); "
            f"{outcome}. It printed last:\n" + "\n".join(printed[-8:])
        )
