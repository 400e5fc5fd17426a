"""A disk that tells of each of its operations, and may fail at one.

Every ``os.replace``, ``os.fsync`` and write to a file that is made anew goes through here:
``tfclassify.files`` and the journal have no other way to the disk.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

#: Modes in which the package opens what it writes.
_WRITING = ("xb", "a+b")


def make_full_disk_error() -> OSError:
    """Return what a write raises where no space is left."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass(frozen=True)
class Operation:
    """One operation of the disk.

    Attributes:
        number: Its position, from 1.
        kind: ``write``, which is half done when it is told of, ``fsync`` or ``replace``.
        what: The file, for people.
        files: Files that were whole before it, in the order of the training.
    """

    number: int
    kind: str
    what: str
    files: int


class Disk:
    """Tells of operations, before each is done.

    Args:
        tell: Receives each; what it raises is what the operation raises.

    Attributes:
        operations: All of them so far.
    """

    def __init__(self, tell: Callable[[Operation], None] = lambda operation: None) -> None:
        self.operations: list[Operation] = []
        self._tell, self._files = tell, 0

    def reach(self, kind: str, what: str) -> None:
        """Take note of an operation that is about to be done."""
        here = Operation(len(self.operations) + 1, kind, what, self._files)
        self.operations.append(here)
        self._tell(here)

    @contextmanager
    def installed(self) -> Iterator[Disk]:
        """Put the disk under everything that writes, until the block ends."""
        replace, sync, open_path = os.replace, os.fsync, Path.open

        def replace_told(source: Any, target: Any, **named: Any) -> None:
            self.reach("replace", Path(target).name)
            replace(source, target, **named)
            self._files += 1

        def sync_told(descriptor: int) -> None:
            self.reach("fsync", "")
            sync(descriptor)

        def open_told(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            stream = open_path(path, mode, *rest, **named)
            return _ToldStream(stream, self, path) if mode in _WRITING else stream

        with (
            mock.patch("os.replace", replace_told),
            mock.patch("os.fsync", sync_told),
            mock.patch.object(Path, "open", open_told),
        ):
            yield self


class _ToldStream:
    """A file that tells of its writes in the middle of them.

    An archive takes hundreds of writes; it tells of the first and of each that doubles
    their number.
    """

    def __init__(self, stream: Any, disk: Disk, path: Path) -> None:
        self._stream, self._disk, self._folder = stream, disk, path.parent.name
        self._writes = 0

    def write(self, data: Any) -> int:
        """Write all, telling when half is written."""
        self._writes += 1
        if self._writes & (self._writes - 1):
            return int(self._stream.write(data))
        content = bytes(data)
        half = len(content) // 2
        self._stream.write(content[:half])
        self._stream.flush()
        self._disk.reach("write", f"to a file in {self._folder}, no. {self._writes}")
        self._stream.write(content[half:])
        return len(content)

    def __enter__(self) -> _ToldStream:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_copies(folder: Path, copies: Path) -> Callable[[Operation], None]:
    """Copy a folder before each operation: what a power cut, or ``kill -9``, leaves there.

    Args:
        folder: Where the training writes.
        copies: Gets a folder for each operation, named by its number.
    """

    def copy(operation: Operation) -> None:
        if folder.exists():
            shutil.copytree(folder, copies / str(operation.number))

    return copy


def fail_at(number: int, make_error: Callable[[], BaseException]) -> Callable[[Operation], None]:
    """Raise an error at one operation, such as a full disk; the code can still clean up."""

    def fail(operation: Operation) -> None:
        if operation.number == number:
            raise make_error()

    return fail
