"""Files on disk: atomic writes, bounded reads, hashes, the cache folder, safe table cells.

Owns: how anything is written so that a crash leaves the old or the new content and
never half of it, how a file or folder of a stranger is opened (never through a link,
never a device), and how a text is put into a table that a spreadsheet may open.
Does not own: what is written (each package), archives (``archives``), downloads
(``data.download``).
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tfclassify.errors import StorageError

#: First characters that a spreadsheet takes for the start of a formula.
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")

#: Entries and depth that a folder of ours stays far below.
_MOST_ENTRIES, _MOST_DEPTH = 100_000, 32
_MOST_JSON_BYTES = 64 << 20
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)")
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


@contextmanager
def open_replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when the block ends well.

    Readers see the old file or the whole new one. Missing parents are made. Only a regular
    file is replaced: a device, a pipe or ``/dev/stdout`` is written into as it stands.
    """
    try:
        if _is_special(path):
            with _open_special(path) as stream:
                yield stream
        else:
            with _open_beside(path) as stream:
                yield stream
    except OSError as error:
        # A write knows no name, and the hidden one beside says nothing to a user.
        if error.filename is None or str(error.filename).endswith(".tmp"):
            error.filename = str(path)
        raise


@contextmanager
def _open_beside(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _is_special(path: Path) -> bool:
    """Say whether a path names what must not be replaced: no file, or an open descriptor."""
    try:
        mode = path.stat().st_mode
    except OSError:  # nothing there, or a link to nothing
        return _find_descriptor(path) is not None
    return not stat.S_ISREG(mode) or _find_descriptor(path) is not None


def _find_descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor that a path such as /dev/stdout stands for."""
    named = _DESCRIPTOR.fullmatch(str(path))
    return int(named[1] or named[2]) if named else _STANDARD.get(str(path))


def _open_special(path: Path) -> BinaryIO:
    number = _find_descriptor(path)
    if number is None:
        return path.open("wb")
    # Opening it anew would begin at byte 0 of a file that the shell writes to.
    return os.fdopen(os.dup(number), "wb")


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically, making missing parents."""
    with open_replacing(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text to ``path`` atomically, making missing parents."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON, atomically.

    NumPy numbers and arrays become numbers and lists, paths become strings, and
    numbers that JSON cannot hold (NaN, infinities) become null.
    """
    text = json.dumps(to_plain(content), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def to_plain(value: Any) -> Any:
    """Turn a value into what JSON can hold, all the way down."""
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


@contextmanager
def build_folder(target: Path) -> Iterator[Path]:
    """Give an empty folder that becomes ``target`` when the block ends well.

    The folder lies beside ``target``; on an error it is removed and ``target`` stays
    as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{token_hex(8)}.tmp"
    try:
        temporary.mkdir()
        yield temporary
        replace_folder(temporary, target)
    except StorageError as error:  # of a verb that wrote into it
        fact = error.fact.replace(str(temporary), str(target))
        raise StorageError(fact, error.way_out) from error
    except OSError as error:
        is_ours = error.filename is None or str(error.filename).startswith(str(temporary))
        if is_ours and error.errno is not None:  # one of the system's
            error.filename = str(target)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(temp_dir: Path, target: Path) -> None:
    """Move ``temp_dir`` to ``target``, taking the place of what is there.

    Both must be on one file system. A crash in between leaves the old folder, the new
    one, or the old one under a hidden name beside a missing target; never a mixture.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():
        target.unlink()
    if target.exists():
        if not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        retired = target.parent / f".{token_hex(8)}.old"
        target.replace(retired)
        temp_dir.replace(target)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        temp_dir.replace(target)
    _sync_folder(target.parent)


def find_irregular(folder: Path) -> str | None:
    """Look through a folder for anything but real folders and files.

    A link may lead anywhere on the machine and a pipe hangs whoever opens it, so a folder
    that somebody else may have made is looked through before anything in it is opened.

    Args:
        folder: Looked through to its depth; itself it may be a link, since a user named it.

    Returns:
        What is wrong, as ``path: is a link``; None where nothing is.

    Raises:
        OSError: If a folder cannot be read.
    """
    waiting, seen = [(folder, 0)], 0
    while waiting:
        place, depth = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                seen += 1
                if seen > _MOST_ENTRIES or depth > _MOST_DEPTH:
                    return f"{folder}: holds over {_MOST_ENTRIES:,} entries, or very deep ones"
                if entry.is_symlink():
                    return f"{entry.path}: is a link"
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), depth + 1))
                elif not entry.is_file(follow_symlinks=False):
                    return f"{entry.path}: is a pipe or a device"
    return None


def open_regular(path: Path, *, is_writable: bool = False) -> BinaryIO:
    """Open a regular file, never through a link; for writing it has no other name either.

    Args:
        path: The file; made where it is absent and ``is_writable``.
        is_writable: Whether to open it for reading and writing in place.

    Raises:
        OSError: ``ELOOP`` for a link, ``EINVAL`` for a pipe, a device, or a file that is
            opened for writing and has a second name (a hard link).
    """
    flags = os.O_RDWR | os.O_CREAT if is_writable else os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode) or (is_writable and facts.st_nlink != 1):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file of its own", str(path))
    return os.fdopen(descriptor, "r+b" if is_writable else "rb")


def read_regular(path: Path, *, limit: int) -> bytes:
    """Read a regular file of at most ``limit`` bytes, never through a link.

    Raises:
        OSError: As ``open_regular``; ``EFBIG`` for a larger file.
    """
    with open_regular(path) as stream:
        # Reading up to the limit would take memory for all of it, however small the file.
        size = os.fstat(stream.fileno()).st_size
        if size > limit:
            raise OSError(errno.EFBIG, f"larger than the {limit:,} bytes allowed", str(path))
        return stream.read(size)


def read_yaml(path: Path, *, limit: int) -> Any:
    """Read a YAML file of plain values, by the fast loader where there is one.

    Raises:
        OSError: As ``read_regular``.
        yaml.YAMLError: If it is no YAML, nested very deeply, or of more than plain values.
    """
    import yaml

    fast, content = getattr(yaml, "CSafeLoader", yaml.SafeLoader), read_regular(path, limit=limit)
    depth = 0
    # The fast loader goes down into what is nested until its stack, and the process, ends;
    # aliases make values without end of few lines.
    for event in yaml.parse(content, Loader=fast):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH or isinstance(event, yaml.AliasEvent):
            what = "an alias, which is not read" if depth <= _MOST_DEPTH else "nested too deeply"
            raise yaml.YAMLError(f"{what} {str(event.start_mark).strip()}")
    loader = fast(content)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class Document(BaseModel):
    """A JSON file whose every value has a type: what a subclass's fields say.

    Reading is strict: a text is no number, a number is finite, and a file that is too
    large, nested too deeply, no UTF-8, a link or a pipe is refused. Keys that the class
    does not know are passed over, so that a later version may add some.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    @classmethod
    def read(cls, path: Path, *, limit: int = _MOST_JSON_BYTES) -> Self:
        """Read the file.

        Raises:
            FileNotFoundError: If there is none.
            OSError: If the system does not let it be read, or it is no regular file.
            ValueError: If its content is not of this kind; the message is one line.
        """
        try:
            return cls.model_validate_json(read_regular(path, limit=limit))
        except ValidationError as error:
            raise ValueError(_say_first(error)) from error

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        write_json(path, self.model_dump(mode="json"))


def _say_first(error: ValidationError) -> str:
    """Say the first thing that is wrong with a document, in one line."""
    first, more = error.errors(include_url=False)[0], error.error_count() - 1
    parts = [first["msg"]]
    if first["loc"]:
        parts.insert(0, ".".join(str(part) for part in first["loc"]) + ": ")
    if first["type"] not in ("missing", "json_invalid"):
        parts.append(f", got {first['input']!r:.60}")
    return "".join(parts) + (f" (and {more} more)" if more else "")


@contextmanager
def lock_file(path: Path, *, is_waiting: bool = False) -> Iterator[BinaryIO]:
    """Hold a file, made where it is absent, that no other process then holds.

    The system lets go of it when a process dies, however it dies.

    Args:
        path: The file, which stays when the block ends.
        is_waiting: Whether to wait until it is free.

    Yields:
        The file, open for reading and writing.

    Raises:
        BlockingIOError: If another process holds it and ``is_waiting`` is not set.
        OSError: If the system does not let it be opened; see ``open_regular``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(path, is_writable=True) as stream:
        while not _try_lock(stream.fileno()):
            if not is_waiting:
                raise BlockingIOError(errno.EAGAIN, "another process holds it", str(path))
            time.sleep(0.1)
        yield stream


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        """Lock a byte far behind any content, which others may go on reading."""
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_unfinished(path: Path) -> bool:
    """Say whether a file or folder is one that a crash kept from getting its name."""
    return path.name.startswith(".") and path.suffix in (".tmp", ".old")


def sweep_unfinished(folder: Path) -> None:
    """Remove what crashes left unfinished anywhere in a folder that nobody else works in."""
    for path in [item for item in folder.rglob(".*") if is_unfinished(item)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` survive a power cut, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # a system without folder descriptors
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """Return the folder of downloads and unpacked archives; it may not exist yet.

    It is ``$TFCLASSIFY_CACHE`` where that is set, else ``~/.cache/tfclassify``.

    Raises:
        StorageError: If it is not set and the user has no home folder.
    """
    named = os.environ.get("TFCLASSIFY_CACHE")
    try:
        return Path(named).expanduser() if named else Path.home() / ".cache" / "tfclassify"
    except RuntimeError as error:
        raise StorageError(
            "~/.cache/tfclassify: this user has no home folder for downloads and unpacked archives",
            "name another folder in the variable TFCLASSIFY_CACHE",
        ) from error


def guard_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula.

    >>> guard_formula("=cmd()"), guard_formula("rose.jpg")
    ("'=cmd()", 'rose.jpg')
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def render_csv(frame: Any, float_format: str | None = None, *, separator: str = ",") -> str:
    """Write a pandas frame as CSV that runs nothing where a spreadsheet opens it.

    Texts are guarded as by ``guard_formula``, names of columns too. Where a text holds a
    carriage return, which some programs take for the end of a line, all texts are quoted.

    Args:
        frame: The table; its index is left out.
        float_format: Of fractions, such as ``%.8g``; None: as many digits as they have.
        separator: What stands between two cells.
    """
    import pandas as pd  # slow to import, and whoever has a frame has it already

    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    # Objects, since a name of a file need not be text, which a column of strings must be.
    guarded = {
        name: pd.Series([_guard(cell) for cell in frame[name]], frame.index, dtype=object)
        for name in texts
    }
    safe = frame.assign(**guarded)
    has_returns = any("\r" in str(cell) for name in texts for cell in safe[name])
    return str(
        safe.to_csv(
            index=False,
            sep=separator,
            header=[_guard(name) for name in frame.columns],
            float_format=float_format,
            lineterminator="\n",
            quoting=csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL,
        )
    )


def _guard(cell: Any) -> Any:
    return guard_formula(cell) if isinstance(cell, str) else cell
