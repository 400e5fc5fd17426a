"""What labellers said of images: one append-only journal a labeller.

Owns: the form of a journal's lines, replaying them with their undoings. Does not own: writing
(``labelling.session``), which labels there are (``labelling.vocabulary``), what the answers of
several come to (``consensus``).

A line is one act of a labeller, whether on one image or on many:

    {"n": 7, "at": "2026-03-01T10:00:00+00:00", "seconds": 1.4,
     "answers": {"a.jpg": {"labels": ["pen"], "sublabel": "", "marks": ["dark"], "note": ""}}}
    {"n": 8, "at": "2026-03-01T10:00:02+00:00", "undo": 7}

An answer replaces the labeller's last one on that image; ``null`` takes it back. A line that
has no end yet was never confirmed to anybody, so it counts for nothing.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfclassify.errors import DataError
from tfclassify.files import open_regular
from tfclassify.recipe.wording import format_bytes

#: Bytes of a journal: a million acts, or a few on all of a large source.
MAX_BYTES = 1 << 30
_DAMAGES = (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError)
#: The labeller whose answers stand above all others, once somebody has adjudicated.
ADJUDICATOR = "adjudicated"


@dataclass(frozen=True)
class Answer:
    """What one labeller said of one image.

    Attributes:
        image: The image's name in the source.
        labeller: Who said so.
        labels: Its labels, in the vocabulary's order; where an image may have several,
            none is an answer too.
        sublabel: The finer label below its one label; empty if none was given.
        marks: What else is true of it, such as ``blurred``.
        note: Free text.
        is_skipped: Whether the labeller left it to others.
        seconds: How long it took, the image's share where many were answered at once.
        at: When, in ISO 8601.
        entry: Number of the act in its labeller's journal.
    """

    image: str
    labeller: str
    labels: tuple[str, ...] = ()
    sublabel: str = ""
    marks: frozenset[str] = frozenset()
    note: str = ""
    is_skipped: bool = False
    seconds: float = 0.0
    at: str = ""
    entry: int = 0


@dataclass
class Replay:
    """A journal as it stands after its last whole line.

    Attributes:
        labeller: Whose it is.
        answers: The last answer by image.
        count: Lines so far.
        size: Bytes of whole lines; what follows was never confirmed.
        acts: Acts that may still be undone, the last one last, each with what its images
            had before.
    """

    labeller: str
    answers: dict[str, Answer] = field(default_factory=dict)
    count: int = 0
    size: int = 0
    acts: list[tuple[int, dict[str, Answer | None]]] = field(default_factory=list)

    def follow(self, line: Mapping[str, Any]) -> dict[str, Answer | None]:
        """Take in one more line.

        Returns:
            What its images have now.

        Raises:
            ValueError: If it undoes what is not the last act, or is of another form.
        """
        number = line["n"]
        if number != self.count + 1:
            raise ValueError(f"the line has number {number!r}, expected {self.count + 1}")
        if "undo" in line:
            if not self.acts or self.acts[-1][0] != line["undo"]:
                raise ValueError(f"it undoes {line['undo']!r}, which is not the last act")
            changed = self.acts.pop()[1]
        else:
            changed = self._read_answers(line)
            self.acts.append((number, {image: self.answers.get(image) for image in changed}))
        self.count += 1
        for image, answer in changed.items():
            if answer is None:
                self.answers.pop(image, None)
            else:
                self.answers[image] = answer
        return changed

    def _read_answers(self, line: Mapping[str, Any]) -> dict[str, Answer | None]:
        given = line["answers"]
        if not isinstance(given, dict) or not given:
            raise ValueError("it answers nothing")
        seconds = float(line.get("seconds", 0.0)) / len(given)
        if not 0.0 <= seconds < math.inf:
            raise ValueError(f"seconds are a number from 0 on, got {line['seconds']!r:.60}")
        at = str(line.get("at", ""))
        return {
            image: None
            if said is None
            else Answer(
                image,
                self.labeller,
                _read_names(said.get("labels", ())),
                str(said.get("sublabel", "")),
                frozenset(_read_names(said.get("marks", ()))),
                str(said.get("note", "")),
                bool(said.get("skipped", False)),
                seconds,
                at,
                line["n"],
            )
            for image, said in given.items()
        }


def _read_names(value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"a list of names is expected, got {value!r:.60}")
    return tuple(value)


def replay_journal(path: Path, labeller: str, before: Replay | None = None) -> Replay:
    """Read a journal, or what has come to it since.

    Args:
        path: The file; one that is absent is empty.
        labeller: Whose it is.
        before: What was read of it before, which goes on.

    Raises:
        DataError: If a whole line is damaged; nothing after it is guessed.
    """
    replay = Replay(labeller) if before is None else before
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size - replay.size
            if size > MAX_BYTES:
                raise DataError(
                    f"{path}: larger than the {format_bytes(MAX_BYTES)} allowed; split the work"
                )
            stream.seek(replay.size)
            data = stream.read(max(0, size))
    except FileNotFoundError:
        return replay
    for line in data.split(b"\n")[:-1]:
        try:
            replay.follow(json.loads(line))
        except _DAMAGES as error:
            reason = f"{error!s} is missing" if isinstance(error, KeyError) else error
            raise DataError(
                f"{path}: line {replay.count + 1} is no act of a labeller ({reason}), got "
                f"{line[:60]!r}; take a copy of the file, then mend the line"
            ) from error
        replay.size += len(line) + 1
    return replay
