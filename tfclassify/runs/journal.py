"""The journal of a run: one line of JSON for each finished epoch.

Owns: appending so that a kill at any moment costs at most the line being written, and
reading what is whole. Does not own: what a record holds (``training.history``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfclassify.errors import RunError
from tfclassify.files import to_plain, write_text


class Journal:
    """A file of records, one a line; missing is the same as empty.

    A last line without its newline was torn by a crash: it is not read, and the next
    ``append`` takes its place.

    Args:
        path: The file, such as ``journal.jsonl``; made on the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record; on return it is on disk.

        Numbers that JSON cannot hold (NaN, infinities) become null.
        """
        line = _to_line(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as stream:
            stream.truncate(_find_whole_end(stream.seek(0, os.SEEK_END), stream))
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Return every whole record, oldest first.

        Raises:
            RunError: If a line other than a torn last one is not a JSON object.
        """
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        *lines, _torn = data.split(b"\n")
        return [self._read_line(number, line) for number, line in enumerate(lines, start=1)]

    def _read_line(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line)
        except ValueError as error:
            raise RunError(
                f"{self.path}, line {number}: not a JSON object, got {line[:40]!r}; the file was "
                "changed by hand or damaged: restore it, or train anew"
            ) from error
        if not isinstance(record, dict):
            raise RunError(f"{self.path}, line {number}: not a JSON object, got {line[:40]!r}")
        return record

    def rewrite(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Replace the whole journal by ``records``, atomically."""
        write_text(self.path, b"".join(map(_to_line, records)).decode("utf-8"))

    def truncate_after(self, phase: str, epoch: int) -> None:
        """Drop every record after that of one epoch, atomically.

        Args:
            phase: Name of the phase, the record's ``phase``.
            epoch: Epoch within the phase, from 1, the record's ``epoch``.

        Raises:
            RunError: If the journal has no such epoch.
        """
        records = self.read()
        for position, record in enumerate(records):
            if record.get("phase") == phase and record.get("epoch") == epoch:
                self.rewrite(records[: position + 1])
                return
        last = records[-1] if records else {}
        known = f"phase {last.get('phase')!r}, epoch {last.get('epoch')}" if last else "nothing"
        raise RunError(
            f"{self.path}: no record of phase {phase!r}, epoch {epoch}; the last one is of {known}"
        )


def _find_whole_end(size: int, stream: Any) -> int:
    """Return the length in bytes of the part of a file that ends in a newline."""
    end = size
    while end > 0:
        start = max(0, end - 4096)
        stream.seek(start)
        found = stream.read(end - start).rfind(b"\n")
        if found >= 0:
            return int(start + found + 1)
        end = start
    return 0


def _to_line(record: Mapping[str, Any]) -> bytes:
    text = json.dumps(to_plain(record), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"
