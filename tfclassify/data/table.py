"""The index as a file: ``index.csv`` of a run.

Owns: writing and reading it without loss. Does not own: what is in it (``index``).

The table is plain CSV, for any program. What a table cannot hold, the order of the
classes and the name of the source, lies in ``index.json`` beside it.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd

from tfclassify.data.index import COLUMNS, Index
from tfclassify.errors import DataError
from tfclassify.files import write_json, write_text


def save_index(index: Index, path: Path) -> None:
    """Write an index to ``path`` and its ``.json`` neighbour, each atomically."""
    stream = io.StringIO()
    index.frame.to_csv(stream, index=False, lineterminator="\n")
    write_json(path.with_suffix(".json"), {"source": index.source, "classes": index.classes})
    write_text(path, stream.getvalue())


def load_index(path: Path) -> Index:
    """Read an index that ``save_index`` wrote.

    Raises:
        DataError: If a file is absent, damaged, or is no such index.
    """
    try:
        frame = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False)
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        classes, source = tuple(map(str, facts["classes"])), str(facts["source"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: the index cannot be read ({error}); train again") from error
    if list(frame.columns) != list(COLUMNS):
        raise DataError(
            f"{path}: this is no index, got the columns {', '.join(map(str, frame.columns))}; "
            f"expected {', '.join(COLUMNS)}"
        )
    return Index(frame, classes, source)
