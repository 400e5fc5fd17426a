"""Reads hostile inputs and prints the counts: ``python -m tests.hostile [KIND …] [--whole]``.

Of damaged folders, which are many thousands, and of changed modules, which take long, only
every so-many-th is read, unless ``--whole`` is given.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.hostile.trial import KINDS, STEPS, render_table, try_kind


def main() -> int:
    """Print the table, then each fault; return 1 if there is any."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--whole", action="store_true", help="read every input of every kind")
    arguments = parser.parse_args()
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.kinds or KINDS:
            step = 1 if arguments.whole else STEPS.get(kind, 1)
            tried += try_kind(kind, Path(folder), step)
    print(render_table(tried))
    faults = [each for each in tried if each.is_fault]
    for each in faults:
        print(f"\n{each.kind}, {each.group}, {each.name}: {each.outcome}\n{each.detail}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
