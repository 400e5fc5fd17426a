"""Reads a labelling session as a source: the images it is about, with what was settled.

Owns: a session's file as far as training needs it, laying settled labels and marks over the
images of the session's own source. Does not own: making and writing sessions
(``labelling.session``), settling (``consensus``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tfclassify.data.consensus import Consensus, settle_answers
from tfclassify.data.folders import Listing, Row
from tfclassify.data.journals import ADJUDICATOR, replay_journal
from tfclassify.errors import SourceError, explain_unread
from tfclassify.events import Observer
from tfclassify.files import read_yaml
from tfclassify.recipe.data_schema import SESSION_FILE, DataRecipe
from tfclassify.recipe.wording import suggest

_MOST_BYTES = 8 << 20


@dataclass(frozen=True)
class SessionWords:
    """What a session's file says of its source and words.

    Attributes:
        data: Where the images are.
        labels: The labels, in their order.
        marks: The marks, in their order.
        is_multi_label: Whether an image may have several labels.
    """

    data: DataRecipe
    labels: tuple[str, ...]
    marks: tuple[str, ...]
    is_multi_label: bool


def read_session_words(folder: Path) -> SessionWords:
    """Read a session's file.

    Raises:
        SourceError: If it cannot be read, or is none.
    """
    path = folder / SESSION_FILE
    try:
        content = read_yaml(path, limit=_MOST_BYTES)
        words = content["vocabulary"]
        return SessionWords(
            DataRecipe(**content["data"]),
            _list_names(words["labels"]),
            _list_names(words.get("marks", ())),
            bool(words.get("several", False)),
        )
    except OSError as error:
        reason = explain_unread(error, "name a session that `tfclassify label` made")
        raise SourceError(f"{path}: cannot be read: {reason}") from error
    except (yaml.YAMLError, LookupError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{path}: is no session's file ({reason:.120}); tfclassify label says what is wrong"
        ) from error


def _list_names(parts: Sequence[Any]) -> tuple[str, ...]:
    return tuple(str(part["name"] if isinstance(part, dict) else part) for part in parts)


def read_session(
    folder: Path,
    shown: str,
    data: DataRecipe,
    read_listing: Callable[[DataRecipe], Listing],
    observer: Observer,
) -> Listing:
    """Read a session's images, with the labels and marks that are settled.

    An image that nobody answered, on which labellers differ, that was rejected, or that has
    marks and no label where an image has one, is left out and counted.

    Args:
        folder: The session.
        shown: What the user called it.
        data: The recipe's section; marks that it names must be the session's.
        read_listing: Reads another source.
        observer: Told how many images are left out, and why.

    Raises:
        SourceError: If the session's file, its source or a mark's name is no good.
        DataError: If a journal is damaged.
    """
    words = read_session_words(folder)
    _check_marks(shown, data, words)
    listing = read_listing(words.data)
    names = [path.stem for path in sorted((folder / "labels").glob("*.jsonl"))]
    answers = [
        answer
        for name in [name for name in names if name != ADJUDICATOR] + [ADJUDICATOR]
        for answer in replay_journal(folder / "labels" / f"{name}.jsonl", name).answers.values()
    ]
    settled = settle_answers(answers, is_multi_label=words.is_multi_label, classes=words.labels)
    rows, left_out = [], dict.fromkeys(("not answered", "disputed", "rejected", "without label"), 0)
    for row in listing.rows:
        reason = _find_reason(settled.get(row.image), words.is_multi_label)
        if reason:
            left_out[reason] += 1
        else:
            rows.append(_label(row, settled[row.image], words))
    told = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
    observer.on_note(f"{shown}: {len(rows):,} labelled images" + (f"; {told}" if told else ""))
    kept = {row.image for row in rows}
    findings = [found for found in listing.findings if found.image in kept]
    return Listing(rows, findings, words.is_multi_label, words.labels)


def _check_marks(shown: str, data: DataRecipe, words: SessionWords) -> None:
    for name in (*data.drop_flags, *data.keep_flags, *data.flag_weights):
        if name not in words.marks:
            known = ", ".join(words.marks) or "none"
            raise SourceError(
                f"{shown}: has no mark {name!r} (data.drop_flags, keep_flags, flag_weights); its "
                f"marks are {known}{suggest(name, words.marks)}"
            )


def _find_reason(settled: Consensus | None, is_multi_label: bool) -> str:
    """Say why an image is left out; empty if it is not."""
    if settled is None:
        return "not answered"
    if settled.outcome == "rejected":
        return "disputed" if settled.is_disputed else "rejected"
    return "" if settled.labels or is_multi_label else "without label"


def _label(row: Row, settled: Consensus, words: SessionWords) -> Row:
    label = "" if words.is_multi_label else settled.labels[0]
    labels = settled.labels if words.is_multi_label else ()
    flags = tuple(name for name in words.marks if name in settled.marks)
    return row._replace(label=label, labels=labels, flags=flags)
