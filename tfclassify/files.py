"""Files on disk: atomic writes, hashes, the cache folder, cells that are no formulas.

Owns: how anything is written so that a crash leaves the old or the new content and
never half of it, and how a text is put into a table that a spreadsheet may open.
Does not own: what is written (each package), archives (``archives``), downloads
(``data.download``).
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

#: First characters that a spreadsheet takes for the start of a formula.
FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")


@contextmanager
def open_replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file that takes the place of ``path`` when the block ends well.

    Readers see the old file or the whole new one. Missing parents are made.
    """
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
    temporary.mkdir()
    try:
        yield temporary
        replace_folder(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(temp_dir: Path, target: Path) -> None:
    """Move ``temp_dir`` to ``target``, taking the place of what is there.

    Both must be on one file system. A crash in between leaves the old folder, the new
    one, or the old one under a hidden name beside a missing target; never a mixture.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        retired = target.parent / f".{token_hex(8)}.old"
        target.replace(retired)
        temp_dir.replace(target)
        shutil.rmtree(retired, ignore_errors=True)
    else:
        temp_dir.replace(target)
    _sync_folder(target.parent)


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
    """
    named = os.environ.get("TFCLASSIFY_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "tfclassify"


def guard_formula(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would take for a formula.

    >>> guard_formula("=cmd()"), guard_formula("rose.jpg")
    ("'=cmd()", 'rose.jpg')
    """
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def render_csv(frame: Any, float_format: str | None = None) -> str:
    """Write a pandas frame as CSV that runs nothing where a spreadsheet opens it.

    Texts are guarded as by ``guard_formula``, names of columns too. Where a text holds a
    carriage return, which some programs take for the end of a line, all texts are quoted.

    Args:
        frame: The table; its index is left out.
        float_format: Of fractions, such as ``%.8g``; None: as many digits as they have.
    """
    texts = [name for name in frame.columns if frame[name].dtype.kind not in "biuf"]
    safe = frame.assign(**{name: [_guard(cell) for cell in frame[name]] for name in texts})
    has_returns = any("\r" in str(cell) for name in texts for cell in safe[name])
    return str(
        safe.to_csv(
            index=False,
            header=[_guard(name) for name in frame.columns],
            float_format=float_format,
            lineterminator="\n",
            quoting=csv.QUOTE_NONNUMERIC if has_returns else csv.QUOTE_MINIMAL,
        )
    )


def _guard(cell: Any) -> Any:
    return guard_formula(cell) if isinstance(cell, str) else cell
