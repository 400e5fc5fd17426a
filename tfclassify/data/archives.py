"""Archives from strangers, unpacked whole or not at all.

Owns: what an archive may hold, how it is told from other files, writing it out.
Does not own: where archives come from (``data.download``), other files (``files``).

Zip and tar are judged by one set of rules, before anything is written. ``tarfile.data_filter``
is no part of them: it makes absolute names relative and keeps links, where these rules refuse
both, and it has no limits.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import json
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from tfclassify.errors import ArchiveError
from tfclassify.files import build_folder, hash_file, lock_file, write_json
from tfclassify.recipe.wording import format_bytes

#: File that marks a folder as the whole content of one archive.
MARKER = ".tfclassify-archive.json"
_CHUNK = 1 << 20
_RATIO_FLOOR = 1 << 28  # below 256 MiB a high ratio (blank BMPs, text) harms nobody
#: Bytes that a tar may spend on describing one entry, before its content.
_LARGEST_HEADER = 4 << 20
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, MemoryError)
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_PACKINGS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"]\x00\x00": lzma.open,
}


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold.

    Attributes:
        max_bytes: Total size of its files once unpacked.
        max_files: Number of its entries.
        max_ratio: Unpacked size over archive size, where that is 256 MiB or more.
    """

    max_bytes: int = 200 << 30
    max_files: int = 5_000_000
    max_ratio: float = 100.0


@dataclass(frozen=True)
class _Entry:
    """One file or folder of an archive, of either kind."""

    name: str
    size: int
    is_folder: bool
    fault: str
    open: Callable[[], IO[bytes] | None]


def extract_archive(
    archive: Path, target: Path, *, limits: ArchiveLimits | None = None, digest: str | None = None
) -> Path:
    """Unpack a zip or tar into ``target``, whole or not at all.

    A ``target`` that already holds all of this archive, by its SHA-256, is left alone.
    Only plain files and folders are written, with plain permissions.

    Args:
        archive: Zip, or tar with or without gzip, bzip2 or xz.
        target: Folder to make or to replace.
        limits: What the archive may hold; ``ArchiveLimits()`` if None.
        digest: The archive's SHA-256, where it is known already.

    Returns:
        ``target``.

    Raises:
        ArchiveError: If the archive is damaged, encrypted, over the limits, or holds a
            link, a device or a path outside of itself.
    """
    digest = digest or hash_file(archive)
    with lock_file(target.parent / f".{target.name}.lock", is_waiting=True):
        if not _is_extracted(target, digest):
            _extract(archive, target, digest, limits or ArchiveLimits())
    return target


def _extract(archive: Path, target: Path, digest: str, limits: ArchiveLimits) -> None:
    with build_folder(target) as folder:
        try:
            with _open_entries(archive) as entries:
                files, size = _extract_entries(archive, entries, folder, limits)
        except (*_DAMAGE, NotImplementedError, RuntimeError, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the system's, and not an unpacker's of its stream
            raise ArchiveError(
                f"{archive}: the archive is damaged or of an unknown kind ({error}); "
                "download it again"
            ) from error
        write_json(folder / MARKER, {"sha256": digest, "files": files, "bytes": size})


def _is_extracted(target: Path, digest: str) -> bool:
    """Say whether ``target`` still holds every byte of the archive ``digest``."""
    try:
        marker = json.loads((target / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(marker, dict) or marker.get("sha256") != digest:
        return False
    sizes = [
        (Path(folder) / name).stat().st_size
        for folder, _, names in os.walk(target)
        for name in names
        if name != MARKER or Path(folder) != target
    ]
    return marker.get("files") == len(sizes) and marker.get("bytes") == sum(sizes)


def is_archive(path: Path) -> bool:
    """Say whether a file is a zip or a tar, by its content."""
    return path.is_file() and _find_kind(path) != ""


def _find_kind(path: Path) -> Literal["zip", "tar", ""]:
    """Tell an archive's kind by its first bytes, where the other kind's are not looked for.

    A tar may end with a zip that lies in it, so a zip's directory at the end comes last.
    """
    with path.open("rb") as stream:
        if stream.read(4) in _ZIP_STARTS:
            return "zip"
    try:
        with _open_tar(path):
            return "tar"
    except (*_DAMAGE, RuntimeError, ValueError, OSError):
        return "zip" if zipfile.is_zipfile(path) else ""


@contextmanager
def _open_entries(archive: Path) -> Iterator[Iterator[_Entry]]:
    """Open an archive by its content, not its name, as a stream of entries."""
    if _find_kind(archive) == "zip":
        with zipfile.ZipFile(archive) as opened:
            yield (_read_zip_entry(opened, info) for info in opened.infolist())
    else:
        with _open_tar(archive) as entries:
            yield entries


class _Metered:
    """A stream whose reader may be held to a number of bytes.

    A tar's headers are read into memory whole, whatever size they claim.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.allowed: int | None = _LARGEST_HEADER
        self.last = b""

    def read(self, size: int) -> bytes:
        if self.allowed is not None:
            self.allowed -= size
            if self.allowed < 0:
                raise tarfile.ReadError(f"a header of over {_LARGEST_HEADER:,} bytes")
        self.last = bytes(self._stream.read(size))
        return self.last

    def seek(self, position: int) -> int:
        return int(self._stream.seek(position))

    def tell(self) -> int:
        return int(self._stream.tell())


@contextmanager
def _open_tar(archive: Path) -> Iterator[Iterator[_Entry]]:
    """Open a tar, packed or not."""
    with archive.open("rb") as stream:
        start = stream.read(6)
    unpack = next((opener for magic, opener in _PACKINGS.items() if start.startswith(magic)), open)
    with unpack(archive, "rb") as plain:
        stream_of_headers = _Metered(plain)
        with tarfile.TarFile(fileobj=stream_of_headers) as opened:  # type: ignore[arg-type]
            yield _walk_tar(opened, stream_of_headers)


def _walk_tar(opened: tarfile.TarFile, stream: _Metered) -> Iterator[_Entry]:
    while True:
        stream.allowed = _LARGEST_HEADER
        info = opened.next()
        stream.allowed = None
        if info is None:
            break
        yield _read_tar_entry(opened, info)
    # To Python, an entry that cannot be read is the end, and no checksum need be reached.
    if stream.last.strip(b"\0"):
        raise tarfile.ReadError("what follows the last readable entry is none")
    rest = sum(len(stream.read(_CHUNK)) for _ in range(_LARGEST_HEADER // _CHUNK))
    if rest == _LARGEST_HEADER:
        raise tarfile.ReadError(f"{rest:,} bytes or more follow its end")


def _read_zip_entry(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Entry:
    mode = info.external_attr >> 16
    fault = ""
    if info.flag_bits & 0x1:
        fault = "is encrypted; unpack it with its password and use the folder"
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        fault = "is a link or a device; only plain files are unpacked"
    is_folder = info.filename.endswith(("/", "\\"))
    return _Entry(info.filename, info.file_size, is_folder, fault, lambda: opened.open(info))


def _read_tar_entry(opened: tarfile.TarFile, info: tarfile.TarInfo) -> _Entry:
    is_plain = info.isreg() or info.isdir()
    fault = "" if is_plain else "is a link or a device; only plain files are unpacked"
    return _Entry(info.name, info.size, info.isdir(), fault, lambda: opened.extractfile(info))


def _extract_entries(
    archive: Path, entries: Iterator[_Entry], folder: Path, limits: ArchiveLimits
) -> tuple[int, int]:
    """Write every entry under ``folder``; return the number of files and their bytes."""
    packed = archive.stat().st_size
    files = total = 0
    for number, entry in enumerate(entries, start=1):
        place = folder / _check_name(archive, entry)
        if number > limits.max_files:
            raise ArchiveError(f"{archive}: more than {limits.max_files:,} entries; unpack by hand")
        if entry.is_folder:
            with _explaining(archive, entry):
                place.mkdir(parents=True, exist_ok=True)
            continue
        total += entry.size
        files += 1
        _check_size(archive, total, packed, shutil.disk_usage(folder).free, entry.size, limits)
        _write_entry(archive, entry, place)
    return files, total


def _check_name(archive: Path, entry: _Entry) -> PurePosixPath:
    """Return the entry's path, which stays inside the archive.

    Backslashes count as separators, as the Windows tools that write them mean it.
    """
    text = entry.name.replace("\\", "/")
    path = PurePosixPath(text)
    is_drive = len(text) > 1 and text[1] == ":" and text[0].isalpha()
    if path.is_absolute() or ".." in path.parts or is_drive or "\0" in text:
        raise ArchiveError(
            f"{archive}: entry {entry.name!r} points outside of the archive, got a path that is "
            "absolute or holds '..'; nothing was unpacked: get the archive from where you trust"
        )
    if entry.fault:
        raise ArchiveError(f"{archive}: entry {entry.name!r} {entry.fault}; nothing was unpacked")
    return path


def _check_size(
    archive: Path, total: int, packed: int, free: int, size: int, limits: ArchiveLimits
) -> None:
    """Refuse to go on once the archive is over its limits or the disk's."""
    fault = ""
    if total > limits.max_bytes:
        fault = f"unpacks to more than {format_bytes(limits.max_bytes)}"
    elif total > _RATIO_FLOOR and total > limits.max_ratio * packed:
        fault = f"unpacks to more than {limits.max_ratio:g} times its size, like a bomb"
    elif size > free:
        fault = f"needs {format_bytes(size)} more and the disk has {format_bytes(free)}"
    if fault:
        raise ArchiveError(f"{archive}: {fault}; nothing was unpacked: unpack it by hand")


@contextmanager
def _explaining(archive: Path, entry: _Entry) -> Iterator[None]:
    """Word what the system says against an entry."""
    try:
        yield
    except OSError as error:
        advice = "it is listed twice or its name is not possible here"
        if error.errno is None:
            fault = f"is damaged ({error}); download the archive again"
        elif error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise  # says nothing about the archive
        else:
            fault = f"cannot be written ({error.strerror}); {advice}"
        raise ArchiveError(f"{archive}: entry {entry.name!r} {fault}") from error


def _write_entry(archive: Path, entry: _Entry, place: Path) -> None:
    """Copy one file out, no longer than it said it was."""
    with _explaining(archive, entry):
        place.parent.mkdir(parents=True, exist_ok=True)
        stream = entry.open()
        if stream is None:
            raise ArchiveError(f"{archive}: entry {entry.name!r} has no content to unpack")
        with stream, place.open("xb") as out:
            written = 0
            while chunk := stream.read(min(_CHUNK, entry.size - written + 1)):
                written += len(chunk)
                if written > entry.size:
                    break
                out.write(chunk)
    if written != entry.size:
        raise ArchiveError(
            f"{archive}: entry {entry.name!r} is damaged, got {written} of {entry.size} bytes; "
            "download the archive again"
        )
