"""Files on disk: atomic writes, hashes, the cache folder, safe archives.

Owns: how anything is written so that a crash leaves the old or the new content and
never half of it, and how an archive from a stranger is unpacked.
Does not own: what is written (each package), downloads (``data.download``).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import IO, Any, BinaryIO

from tfclassify.errors import ArchiveError

#: File that marks a folder as the whole content of one archive.
MARKER = ".tfclassify-archive.json"
_CHUNK = 1 << 20
_RATIO_FLOOR = 1 << 28  # below 256 MiB a high ratio (blank BMPs, text) harms nobody
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError)


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
    with _lock(target.parent / f".{target.name}.lock"):
        if not _is_extracted(target, digest):
            _extract(archive, target, digest, limits or ArchiveLimits())
    return target


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Wait until no other process holds ``path``, and hold it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _extract(archive: Path, target: Path, digest: str, limits: ArchiveLimits) -> None:
    with build_folder(target) as folder:
        try:
            with _open_entries(archive) as entries:
                files, size = _extract_entries(archive, entries, folder, limits)
        except (*_DAMAGE, NotImplementedError, RuntimeError, ValueError) as error:
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


@contextmanager
def _open_entries(archive: Path) -> Iterator[Iterator[_Entry]]:
    """Open an archive by its content, not its name, as a stream of entries."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield (_read_zip_entry(opened, info) for info in opened.infolist())
    else:
        with tarfile.open(archive, "r:*") as opened_tar:
            yield (_read_tar_entry(opened_tar, info) for info in opened_tar)


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
        fault = f"unpacks to more than {limits.max_bytes / 2**30:.1f} GiB"
    elif total > _RATIO_FLOOR and total > limits.max_ratio * packed:
        fault = f"unpacks to more than {limits.max_ratio:g} times its size, like a bomb"
    elif size > free:
        fault = f"needs {size / 2**20:.0f} MiB more and the disk has {free / 2**20:.0f} MiB"
    if fault:
        raise ArchiveError(f"{archive}: {fault}; nothing was unpacked: unpack it by hand")


def _write_entry(archive: Path, entry: _Entry, place: Path) -> None:
    """Copy one file out, no longer than it said it was."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        stream = entry.open()
        assert stream is not None, "only plain files are opened"
        with stream, place.open("xb") as out:
            written = 0
            while chunk := stream.read(min(_CHUNK, entry.size - written + 1)):
                written += len(chunk)
                if written > entry.size:
                    break
                out.write(chunk)
    except OSError as error:
        raise ArchiveError(
            f"{archive}: entry {entry.name!r} cannot be written ({error.strerror}); "
            "it is listed twice or its name is not possible here"
        ) from error
    if written != entry.size:
        raise ArchiveError(
            f"{archive}: entry {entry.name!r} is damaged, got {written} of {entry.size} bytes; "
            "download the archive again"
        )
