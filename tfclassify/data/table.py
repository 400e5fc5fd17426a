"""The index as a file: ``index.csv`` of a run.

Owns: writing and reading it without loss. Does not own: what is in it (``index``).

The table is plain CSV, for any program. What a table cannot hold, the order of the
classes, the name of the source and whether images may have several labels, lies in
``index.json`` beside it. A text that a spreadsheet would run as a formula has an
apostrophe in front in the table, and not in the index.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from tfclassify.data.index import COLUMNS, Index
from tfclassify.errors import DataError
from tfclassify.files import guard_formula, render_csv, write_json, write_text

#: Columns that earlier versions did not write; all are empty there.
_LATER = ("flags",)
_TEXTS = ("image", "path", "label", "group", "flags", "reason")
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def save_index(index: Index, path: Path) -> None:
    """Write an index to ``path`` and its ``.json`` neighbour, each atomically."""
    frame = index.frame.assign(**{name: index.frame[name].map(_guard) for name in _TEXTS})
    facts = {
        "source": index.source,
        "classes": index.classes,
        "is_multi_label": index.is_multi_label,
        "guarded": True,
    }
    write_json(path.with_suffix(".json"), facts)
    write_text(path, render_csv(frame))


def load_index(path: Path) -> Index:
    """Read an index that ``save_index`` wrote, of this version or an earlier one.

    Raises:
        DataError: If a file is absent, damaged, or is no such index.
    """
    try:
        frame = pd.read_csv(
            path, dtype=COLUMNS, keep_default_na=False, encoding_errors="surrogateescape"
        )
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        classes, source = tuple(map(str, facts["classes"])), str(facts["source"])
        is_multi_label = bool(facts.get("is_multi_label", False))
        is_guarded = bool(facts.get("guarded", False))
    except _DAMAGE as error:
        raise DataError(f"{path}: the index cannot be read ({error}); train again") from error
    if list(frame.columns) == [name for name in COLUMNS if name not in _LATER]:
        frame = frame.assign(**dict.fromkeys(_LATER, "")).astype(COLUMNS)[list(COLUMNS)]
    if list(frame.columns) != list(COLUMNS):
        raise DataError(
            f"{path}: this is no index, got the columns {', '.join(map(str, frame.columns))}; "
            f"expected {', '.join(COLUMNS)}"
        )
    if is_guarded:
        frame = frame.assign(
            **{name: frame[name].str.removeprefix("'").astype("str") for name in _TEXTS}
        )
    return Index(frame, classes, source, is_multi_label)


def _guard(text: str) -> str:
    """Put an apostrophe before a formula, and before an apostrophe to tell them apart."""
    return f"'{text}" if text.startswith("'") else guard_formula(text)
