"""A labelling job on the disk: what is labelled, with which words, and a journal a labeller.

Owns: the session's folder, opening it, writing journals so that nothing confirmed is lost,
undoing. Does not own: a journal's form (``data.journals``), what several come to
(``data.consensus``), the words (``vocabulary``), tables (``tables``), which image comes next
(``queue``).

    <session>/session.yaml          source, vocabulary, and what was agreed on at the start
    <session>/labels/<name>.jsonl   what a labeller did, act by act

One process writes a labeller's journal at a time; any number may read it meanwhile.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from pydantic import BaseModel, ConfigDict, Field

from tfclassify.data.consensus import Consensus, settle_answers
from tfclassify.data.journals import (
    ADJUDICATOR,
    Answer,
    Replay,
    replay_journal,
)
from tfclassify.errors import DataError, RequestError, RunError, TargetError
from tfclassify.files import find_irregular, lock_file, read_yaml, write_text
from tfclassify.labelling.vocabulary import Vocabulary, check_vocabulary
from tfclassify.recipe.data_schema import SESSION_FILE
from tfclassify.recipe.wording import suggest

#: Ten times as fast where PyYAML was built with it, which counts for thousands of labels.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
FACTS = SESSION_FILE
_LABELS = "labels"
_NAME = re.compile(r"\w(?:[\w .@+-]{0,58}[\w@+-])?")
_MOST_BYTES = 8 << 20
_MOST_NOTE = 2_000


class Facts(BaseModel):
    """What a session's ``session.yaml`` says.

    Attributes:
        data: The section ``data`` of a recipe, for where the images are.
        vocabulary: What may be said of them.
        overlap: Share of the images that two labellers answer, each without seeing the other.
        seed: Decides which images those are.
        images: How many images the source had when it was last opened.
        digest: Hash of their names then.
        created: When the session was made, ISO 8601.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    version: int = Field(1, ge=1, le=1)
    data: dict[str, Any]
    vocabulary: Vocabulary
    overlap: float = Field(0.0, ge=0, le=1)
    seed: int = Field(0, ge=0)
    images: int = Field(0, ge=0)
    digest: str = ""
    created: str = ""


@dataclass(frozen=True)
class Session:
    """A labelling job.

    Attributes:
        folder: Where it is.
        facts: What its ``session.yaml`` says.
    """

    folder: Path
    facts: Facts

    @property
    def vocabulary(self) -> Vocabulary:
        """What may be said of an image."""
        return self.facts.vocabulary

    def list_labellers(self) -> tuple[str, ...]:
        """Return everybody who has a journal, but for the adjudicator."""
        names = [path.stem for path in (self.folder / _LABELS).glob("*.jsonl")]
        return tuple(sorted(name for name in names if name != ADJUDICATOR))

    def find_journal(self, labeller: str) -> Path:
        """Return where a labeller's journal is.

        Raises:
            RequestError: If the name cannot name a file everywhere.
        """
        if not _NAME.fullmatch(labeller):
            raise RequestError(
                f"--labeller {labeller!r}: a name has up to 60 letters, digits, spaces and "
                "._@+-, and begins and ends with none of the dots and spaces"
            )
        return self.folder / _LABELS / f"{labeller}.jsonl"

    def replay(self, labeller: str, before: Replay | None = None) -> Replay:
        """Read a labeller's journal, or what has come to it since, without writing.

        Raises:
            DataError: If it is damaged, or says what the vocabulary does not have.
        """
        path = self.find_journal(labeller)
        known = 0 if before is None else before.count
        replay = replay_journal(path, labeller, before)
        if replay.count > known:
            self._check_words(path, replay)
        return replay

    def _check_words(self, path: Path, replay: Replay) -> None:
        for answer in replay.answers.values():
            fault = self.vocabulary.find_fault(answer.labels, answer.sublabel, answer.marks)
            if fault:
                raise DataError(
                    f"{path}: line {answer.entry}, on {answer.image!r}: {fault}; add it to "
                    f"vocabulary in {self.folder / FACTS}, or mend the line"
                )

    def read_answers(self, labeller: str) -> dict[str, Answer]:
        """Return a labeller's last answers by the image's name."""
        return self.replay(labeller).answers

    def list_answers(self, *, has_adjudicated: bool = False) -> list[Answer]:
        """Return the last answers of all labellers, by labeller, then as they were given.

        Args:
            has_adjudicated: Whether the adjudicator's are among them, at the end.
        """
        names = self.list_labellers() + ((ADJUDICATOR,) if has_adjudicated else ())
        return [answer for name in names for answer in self.read_answers(name).values()]

    def settle(self) -> dict[str, Consensus]:
        """Return what all answers come to, by the image's name."""
        return settle_answers(
            self.list_answers(has_adjudicated=True),
            is_multi_label=self.vocabulary.is_multi_label,
            classes=self.vocabulary.names,
        )

    @contextmanager
    def open_journal(self, labeller: str) -> Iterator[Journal]:
        """Open a labeller's journal for writing, as the only process that does.

        Raises:
            RunError: If another process has it open.
            DataError: If it is damaged; an end that was never confirmed is cut off.
        """
        path = self.find_journal(labeller)
        try:
            with lock_file(path) as stream:
                replay = self.replay(labeller)
                stream.truncate(replay.size)
                yield Journal(path, stream, replay, self.vocabulary)
        except BlockingIOError:
            raise RunError(
                f"{self.folder}: {labeller!r} is labelling in another process; close that one, "
                "open its page in a second tab, or use --labeller NAME for another person"
            ) from None


class Journal:
    """A labeller's journal, open for writing; whole after every call, and thread-safe.

    Attributes:
        replay: How it stands.
    """

    def __init__(
        self, path: Path, stream: BinaryIO, replay: Replay, vocabulary: Vocabulary
    ) -> None:
        self.replay = replay
        self._path, self._stream, self._vocabulary = path, stream, vocabulary
        self._turn = threading.Lock()

    @property
    def answers(self) -> dict[str, Answer]:
        """The last answers by the image's name."""
        return self.replay.answers

    def answer(
        self,
        answers: Mapping[str, Answer | None],
        *,
        seconds: float = 0.0,
        seen: Mapping[str, int] | None = None,
    ) -> int:
        """Write one act; it is on the disk when this returns.

        Args:
            answers: What is said, by the image's name; None takes an answer back.
            seconds: How long the act took.
            seen: The ``entry`` of the answer that was shown, by the image's name, 0 where
                none was. Where it is another by now, as after an answer in a second tab,
                nothing is written.

        Returns:
            The act's number.

        Raises:
            RequestError: If an answer is not within the vocabulary.
            StaleAnswerError: If what was shown has changed meanwhile.
            OSError: If the disk does not take it; the journal is then as it was.
        """
        said = {image: self._write_answer(answer) for image, answer in answers.items()}
        with self._turn:
            for image, entry in (seen or {}).items():
                there = self.answers.get(image)
                if (there.entry if there else 0) != entry:
                    raise StaleAnswerError(
                        f"{image}: was answered in another tab meanwhile; nothing was written, "
                        "look at it again"
                    )
            return self._append({"seconds": round(seconds, 3), "answers": said})

    def undo(self) -> dict[str, Answer | None]:
        """Take back the last act that still stands.

        Returns:
            What its images have now; empty if there is nothing to take back.

        Raises:
            OSError: If the disk does not take it; the journal is then as it was.
        """
        with self._turn:
            if not self.replay.acts:
                return {}
            number, before = self.replay.acts[-1]
            self._append({"undo": number})
            return before

    def _write_answer(self, answer: Answer | None) -> dict[str, Any] | None:
        if answer is None:
            return None
        fault = self._vocabulary.find_fault(answer.labels, answer.sublabel, answer.marks)
        says_something = answer.labels or answer.marks or answer.note or answer.is_skipped
        if not (says_something or self._vocabulary.several):
            fault = "an answer that says nothing"
        if len(answer.note) > _MOST_NOTE:
            fault = f"the note has {len(answer.note):,} characters, allowed are {_MOST_NOTE:,}"
        if fault:
            raise RequestError(f"{answer.image}: {fault}")
        marks = [name for name in self._vocabulary.mark_names if name in answer.marks]
        said: dict[str, Any] = {"labels": self._vocabulary.order_labels(answer.labels)}
        parts = {"sublabel": answer.sublabel, "marks": marks, "note": answer.note}
        said |= {name: value for name, value in parts.items() if value}
        return said | {"skipped": True} if answer.is_skipped else said

    def _append(self, act: dict[str, Any]) -> int:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = {"n": self.replay.count + 1, "at": now, **act}
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        descriptor = self._stream.fileno()
        try:
            os.lseek(descriptor, self.replay.size, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        except OSError as error:
            # Half a line would spoil the next one.
            os.ftruncate(descriptor, self.replay.size)
            error.filename = str(self._path)
            raise
        self.replay.size += len(data)
        self.replay.follow(json.loads(data))
        return self.replay.count


class StaleAnswerError(RequestError):
    """An image was answered elsewhere since it was shown."""


def is_session(path: Path) -> bool:
    """Say whether a path is a session's folder."""
    return (path / FACTS).is_file()


def create_session(folder: Path, facts: Facts) -> Session:
    """Make a session.

    Raises:
        RequestError: If the folder holds something already.
    """
    if is_session(folder) or (folder.exists() and any(folder.iterdir())):
        raise RequestError(
            f"{folder}: is no empty folder; name another with --session, or open that session: "
            f"tfclassify label {folder}"
        )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    session = Session(folder, facts.model_copy(update={"created": now}))
    try:
        (folder / _LABELS).mkdir(parents=True)
    except FileExistsError as error:  # since it was looked at, so whose words hold is open
        raise RequestError(
            f"{folder}: another process makes a session here just now; run the command again"
        ) from error
    write_facts(session)
    return session


def write_facts(session: Session) -> None:
    """Write a session's ``session.yaml``."""
    content = session.facts.model_dump(mode="json", exclude={"vocabulary"})
    content["vocabulary"] = session.vocabulary.to_plain()
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    write_text(session.folder / FACTS, text)


def open_session(folder: Path) -> Session:
    """Open a session.

    Raises:
        TargetError: If there is none.
        RunError: If the folder holds a link or a device.
        RequestError: If its ``session.yaml`` says what is impossible.
    """
    path = folder / FACTS
    try:
        content = read_yaml(path, limit=_MOST_BYTES)
    except FileNotFoundError:
        near = [each.name for each in folder.parent.glob(f"*/{FACTS}")] if folder.parent else []
        raise TargetError(
            f"{folder}: is no session, it has no {FACTS}{suggest(folder.name, near)}; "
            "tfclassify label SOURCE makes one"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"{path}: is no YAML ({reason:.200}); mend it") from error
    odd = find_irregular(folder)
    if odd:
        raise RunError(f"{odd}, which no session holds; take it out")
    if not isinstance(content, dict):
        raise RequestError(f"{path}: keys and values are expected, got {content!r:.60}; mend it")
    words = check_vocabulary(content.get("vocabulary", {}), f"{path}: vocabulary")
    try:
        return Session(folder, Facts.model_validate({**content, "vocabulary": words}))
    except ValueError as error:
        first = error.errors(include_url=False)[0]  # type: ignore[attr-defined]
        place = ".".join(str(step) for step in first["loc"])
        raise RequestError(
            f"{path}: {place}: {first['msg']}, got {first['input']!r:.60}; mend it"
        ) from error


def hash_names(names: Iterable[str]) -> str:
    """Return a hash of images' names, in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
    return digest.hexdigest()
