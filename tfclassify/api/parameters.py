"""What several verbs take: types of their parameters, and how these are read.

A command reads its words by the names of these types (``cli.command``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: A file or a folder of this machine.
AnyPath = str | os.PathLike[str]
#: Images, or what names them: a path, or an address.
Source = str | os.PathLike[str]
#: What ``set`` takes: key to value, or ``key=value`` texts as after ``--set``.
Changes = Mapping[str, Any] | Sequence[str]
#: What ``columns`` takes: ``{"file": "Id"}``, or ``file=Id`` as after ``--columns``.
Columns = Mapping[str, str | None] | str | None
#: What ``image_size`` takes: ``224``, ``"160x192"`` or ``(160, 192)``, height first.
Size = str | int | tuple[int, int]


def read_path(path: AnyPath | None) -> Path | None:
    """Return where something is, if it was said."""
    return None if path is None else Path(path)


def read_columns(columns: Columns) -> dict[str, str | None]:
    """Return which column holds what, however it was said."""
    from tfclassify.workflows.create import parse_columns

    return parse_columns(columns) if isinstance(columns, str) else dict(columns or {})
