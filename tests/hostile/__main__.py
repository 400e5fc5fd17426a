"""Reads every hostile input and prints the counts: ``python -m tests.hostile [KIND …]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile.trial import KINDS, render_table, try_kind


def main() -> int:
    """Print the table, then each fault; return 1 if there is any."""
    kinds = sys.argv[1:] or KINDS
    with tempfile.TemporaryDirectory() as folder:
        tried = [each for kind in kinds for each in try_kind(kind, Path(folder))]
    print(render_table(tried))
    faults = [each for each in tried if each.is_fault]
    for each in faults:
        print(f"\n{each.kind}, {each.group}, {each.name}: {each.outcome}\n{each.detail}")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
