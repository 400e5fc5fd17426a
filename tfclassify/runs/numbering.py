"""Makes the next numbered folder of a family.

Owns: the choice of a free number, safe against another process that chooses at the same
time. Does not own: what the folder becomes (``directory``, ``crossval_directory``).
"""

from __future__ import annotations

from pathlib import Path

from tfclassify.errors import RunError

_DIGITS = 3
ATTEMPTS = 1000


def make_numbered(family: Path, last: int, prefix: str = "") -> Path:
    """Make the folder after number ``last``: ``family/<prefix><number>``.

    A number that somebody else takes meanwhile is passed over.

    Args:
        family: The folder above, which is made too.
        last: The highest number that is taken.
        prefix: What stands before the number.

    Returns:
        The new folder.

    Raises:
        RunError: If none of the next thousand numbers is free.
        OSError: If the system does not let it be made.
    """
    family.mkdir(parents=True, exist_ok=True)
    for number in range(last + 1, last + 1 + ATTEMPTS):
        path = family / f"{prefix}{number:0{_DIGITS}}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise RunError(
        f"{family}: no free run number up to {prefix}{last + ATTEMPTS}; move old runs away"
    )
