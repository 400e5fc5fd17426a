"""``corrections.csv``: what somebody who looked at the labels of a source decided.

Owns: the file, writing and reading it, and applying it to what a reader found. Does not own:
which labels look wrong (``labelling``), where the table is named (``data.corrections``).

    file,label,action,reason
    dress/0012.jpg,skirt,relabel,labelled dress; the model says skirt (97 %)
    dress/0044.jpg,,drop,no clothes to be seen
    dress/0051.jpg,,keep,

A line without an action is not decided yet and changes nothing, so that a queue of suspects
can be filled in as it is. A correction is of a label as the source says it: merged and dropped
labels, and the most frequent classes, are settled after it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from tfclassify.data.folders import Listing, Row
from tfclassify.data.integrity import Finding
from tfclassify.errors import AbsentSourceError, SourceError
from tfclassify.files import FORMULA_STARTS, render_csv, write_text
from tfclassify.recipe.data_schema import JOINING_SIGN, DataRecipe
from tfclassify.recipe.wording import suggest

Action = Literal["keep", "relabel", "drop"]
ACTIONS: tuple[Action, ...] = get_args(Action)
COLUMNS = ("file", "label", "action", "reason")
#: Problems of a file that one message lists.
_SHOWN = 20


@dataclass(frozen=True)
class Correction:
    """What was decided on one image.

    Attributes:
        file: The image's stable name.
        action: ``keep`` the label, ``relabel``, or ``drop`` the image.
        label: The new label; several are joined with ``|``.
        reason: Why, in words; may be empty.
        line: Where it stands in the file; 0 where it was made here.
    """

    file: str
    action: Action
    label: str = ""
    reason: str = ""
    line: int = 0


def write_corrections(path: Path, corrections: Iterable[Correction]) -> None:
    """Write a file of corrections, atomically."""
    import pandas as pd

    rows = [[each.file, each.label, each.action, each.reason] for each in corrections]
    write_text(path, render_csv(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)))


def read_corrections(path: Path) -> list[Correction]:
    """Read a file of corrections, in its order.

    Raises:
        AbsentSourceError: If there is none.
        SourceError: If it is no such table; every problem is named with its line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as stream:
            reader = csv.reader(stream, strict=True)
            columns = _find_columns(next(reader, []), path)
            lines = [
                _read_line(fields, columns, reader.line_num) for fields in reader if any(fields)
            ]
    except FileNotFoundError as error:
        raise AbsentSourceError(
            f"data.corrections: there is no file {str(path)!r}; `tfclassify clean` makes one, or "
            "remove the key"
        ) from error
    except (OSError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read as CSV ({error})") from error
    found = [each for each in lines if isinstance(each, Correction)]
    _refuse(path, [*(each for each in lines if isinstance(each, str)), *_find_repeated(found)])
    return found


def _find_columns(header: Sequence[str], path: Path) -> dict[str, int]:
    names = [name.strip() for name in header]
    absent = [name for name in COLUMNS[:3] if name not in names]
    if absent:
        raise SourceError(
            f"{path}, line 1: the column {absent[0]!r} is absent, got {', '.join(names) or 'none'}"
            f"; needed are {', '.join(COLUMNS[:3])}, and reason may be there"
        )
    return {name: names.index(name) for name in COLUMNS if name in names}


def _read_line(
    fields: Sequence[str], columns: Mapping[str, int], line: int
) -> Correction | str | None:
    """Return the correction of one line, or what is wrong with it; None where none is decided."""
    if len(fields) <= max(columns.values()):
        return f"line {line}: has {len(fields)} fields, the header names more"
    cells = {name: _unguard(fields[position].strip()) for name, position in columns.items()}
    action = cells["action"].lower()
    if not action:
        return None
    if action not in ACTIONS:
        hint = suggest(action, ACTIONS)
        return f"line {line}: action must be keep, relabel or drop, got {action!r}{hint}"
    if not cells["file"]:
        return f"line {line}: names no file"
    return Correction(
        cells["file"],
        action,
        cells["label"],
        cells.get("reason", ""),
        line,
    )


def _unguard(text: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from running a text."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text


def _find_repeated(found: Sequence[Correction]) -> list[str]:
    first: dict[str, int] = {}
    repeated = []
    for each in found:
        line = first.setdefault(each.file, each.line)
        if line != each.line:
            repeated.append(f"line {each.line}: {each.file!r} is in line {line} already")
    return repeated


def _refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise if there are problems, naming all of them."""
    if not problems:
        return
    shown = "".join(f"\n  {line}" for line in problems[:_SHOWN])
    more = f"\n  and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
    count = f"{len(problems):,} problem{'s' if len(problems) > 1 else ''}"
    raise SourceError(f"{path}: {count} of data.corrections; mend the lines{shown}{more}")


def apply_corrections(
    listing: Listing, data: DataRecipe, corrections: Sequence[Correction]
) -> Listing:
    """Relabel and drop what a reader found.

    Args:
        listing: Every image of the source, with labels as written.
        data: Names the file, and labels that need not be in the source.
        corrections: From ``read_corrections``.

    Returns:
        The same without the dropped images; what was relabelled and dropped is among the
        findings, and the rows that were relabelled say so.

    Raises:
        SourceError: If a file or a label is not in the source; each with its line.
    """
    decided = {each.file: each for each in corrections}
    rows = {row.image: row for row in listing.rows}
    known = _list_labels(listing, data)
    problems = []
    for each in corrections:
        if each.file not in rows:
            hint = suggest(each.file, rows) if len(rows) <= 20_000 else ""
            problems.append(f"line {each.line}: {each.file!r} is not in the source{hint}")
        elif each.action == "relabel":
            problems += _check_label(each, known, is_set=listing.is_multi_label)
    _refuse(Path(str(data.corrections)), problems)
    kept, findings = [], list(listing.findings)
    for row in listing.rows:
        correction = decided.get(row.image)
        if correction is None or correction.action == "keep":
            kept.append(row)
        elif correction.action == "drop":
            findings.append(Finding(row.image, "dropped", correction.reason or "no reason given"))
        else:
            new, told = _relabel(row, correction, is_set=listing.is_multi_label)
            kept.append(new)
            findings += [Finding(row.image, "relabelled", told)] if told else []
    return replace(listing, rows=kept, findings=findings)


def _list_labels(listing: Listing, data: DataRecipe) -> list[str]:
    """List every label that a correction may name."""
    there = {label for row in listing.rows for label in (row.label, *row.labels) if label}
    named = {*(data.classes or ()), *data.merge_classes, *(listing.classes or ())}
    return sorted(there | named)


def _check_label(each: Correction, known: Sequence[str], *, is_set: bool) -> list[str]:
    labels = _split(each.label) if is_set else [each.label]
    if labels == [""]:
        return [f"line {each.line}: relabel needs a label, got none; drop takes an image out"]
    return [
        f"line {each.line}: label {label!r} is none of the {len(known)} of the source"
        f"{suggest(label, known)}"
        for label in labels
        if label not in known
    ]


def _split(label: str) -> list[str]:
    return [name for name in label.split(JOINING_SIGN) if name]


def _relabel(row: Row, correction: Correction, *, is_set: bool) -> tuple[Row, str]:
    """Return the row with its new label, and what to tell; nothing where it had the label."""
    if is_set:
        new = row._replace(labels=tuple(_split(correction.label)))
        is_same, old = set(new.labels) == set(row.labels), JOINING_SIGN.join(row.labels)
    else:
        new = row._replace(label=correction.label)
        is_same, old = new.label == row.label, row.label
    if is_same:
        return row, ""
    told = f"from {old or 'none'} to {correction.label or 'none'}"
    told += f": {correction.reason}" if correction.reason else ""
    return new._replace(remark=f"relabelled {told}"), told


def count_actions(corrections: Iterable[Correction]) -> dict[Action, int]:
    """Count the corrections of each kind."""
    counted = Counter(each.action for each in corrections)
    return {action: counted[action] for action in ACTIONS}
