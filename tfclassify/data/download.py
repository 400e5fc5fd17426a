"""Fetches a file of known checksum once, and keeps it.

Owns: the network, the checksum, the errors without a network.
Does not own: what the file holds (``sources``).
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tfclassify.errors import DownloadError
from tfclassify.events import SILENT, Observer
from tfclassify.files import cache_folder, hash_file, open_replacing
from tfclassify.recipe.wording import format_bytes

_TIMEOUT_S = 30
_CHUNK = 1 << 20
#: A data set, which the disk must hold twice once it is unpacked.
_LARGEST = 200 << 30
#: Seconds after which less than ``_SLOWEST`` bytes a second are too few.
_PATIENCE_S, _SLOWEST = 60, 1 << 10
#: More than any photo that a model is asked about.
MAX_IMAGE_BYTES = 64 << 20


def fetch(url: str, sha256: str, *, observer: Observer = SILENT) -> Path:
    """Return a file from the cache, downloading it first where it is not there.

    Args:
        url: An https address.
        sha256: The SHA-256 that the file must have, 64 hexadecimal digits.
        observer: Told the mebibytes that have arrived.

    Returns:
        The file in the cache; its name keeps the ending of the address.

    Raises:
        DownloadError: If the address is not https, cannot be reached, or sends
            something else.
    """
    if urlsplit(url).scheme != "https":
        raise DownloadError(f"{url}: only https addresses are fetched; use https:// or a path")
    name = PurePosixPath(urlsplit(url).path).name or "file"
    kept = cache_folder() / "downloads" / f"{sha256[:16]}-{name}"
    if kept.is_file() and hash_file(kept) == sha256:
        return kept
    try:
        _download(url, kept, sha256, observer)
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{url}: cannot be downloaded ({reason}); go online, or fetch the file elsewhere and "
            f"put it at {kept}, or set data.source to where you have it"
        ) from error
    return kept


def fetch_bytes(url: str, limit: int = MAX_IMAGE_BYTES) -> bytes:
    """Return what an https address sends, without keeping it.

    Raises:
        DownloadError: If the address is not https, cannot be reached, or sends more than
            ``limit`` bytes.
    """
    if urlsplit(url).scheme != "https":
        raise DownloadError(f"{url}: only https addresses are fetched; use https:// or a path")
    try:
        with _open(url) as response:
            return b"".join(_read(url, response, limit, seconds=_PATIENCE_S))
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"{url}: cannot be downloaded ({reason}); go online, or fetch the file elsewhere"
        ) from error


def fetch_into(url: str, path: Path, *, limit: int, seconds: float) -> None:
    """Write what an https address sends to a file, within bounds.

    Args:
        url: The address.
        path: Where to; what has arrived stays there where it fails.
        limit: Bytes at most.
        seconds: Time at most.

    Raises:
        DownloadError: If the address is not https, cannot be reached, or sends more or
            for longer.
    """
    if urlsplit(url).scheme != "https":
        raise DownloadError(
            f"{url}: only https addresses are fetched, since others can be changed on their way"
        )
    try:
        with _open(url) as response, path.open("wb") as stream:
            for chunk in _read(url, response, limit, seconds):
                stream.write(chunk)
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        raise DownloadError(f"{url}: {getattr(error, 'reason', None) or error}") from error


@contextmanager
def _open(url: str) -> Iterator[Any]:
    """Open an https address that does not lead on to another kind."""
    request = Request(url, headers={"User-Agent": "tfclassify"})
    # Only https addresses come here.
    with urlopen(request, timeout=_TIMEOUT_S) as response:  # nosec B310
        if urlsplit(response.geturl()).scheme != "https":
            raise DownloadError(f"{url}: it leads on to {response.geturl()}, which is not https")
        yield response


def _download(url: str, kept: Path, sha256: str, observer: Observer) -> None:
    """Stream the file to ``kept``, which appears only if the checksum is right."""
    task = f"downloading {url}"
    with _open(url) as response:
        length = response.headers.get("Content-Length") or ""
        observer.on_task_start(task, int(length) >> 20 if length.isdecimal() else None)
        kept.parent.mkdir(parents=True, exist_ok=True)
        limit = min(_LARGEST, shutil.disk_usage(kept.parent).free)
        digest, done = hashlib.sha256(), 0
        with open_replacing(kept) as stream:
            for chunk in _read(url, response, limit):
                digest.update(chunk)
                done += stream.write(chunk)
                observer.on_task_step(task, done >> 20)
            if digest.hexdigest() != sha256:
                raise DownloadError(
                    f"{url}: the checksum is wrong, got sha256 {digest.hexdigest()}, expected "
                    f"{sha256}; the "
                    "file was changed or the transfer broke, and nothing was kept"
                )
    observer.on_task_end(task)


def _read(url: str, response: Any, limit: int, seconds: float | None = None) -> Iterator[bytes]:
    """Yield what a response sends, as long as it keeps within bounds.

    Args:
        url: The address, for errors.
        response: What ``_open`` gave.
        limit: Bytes at most.
        seconds: Time at most; None asks for 1 KiB a second, so that a sender who drips does
            not hold the work for ever.

    Raises:
        DownloadError: If it sends more or for longer.
    """
    started, done = time.monotonic(), 0
    # read1 returns what is there; read would wait for a whole piece, however slowly it comes.
    while chunk := response.read1(_CHUNK):
        done += len(chunk)
        taken = time.monotonic() - started
        if done > limit:
            told = format_bytes(limit)
            raise DownloadError(f"{url}: sends more than {told}; fetch the file elsewhere")
        if seconds is not None and taken > seconds:
            raise DownloadError(f"{url}: has not come within {seconds:.0f} s; try again later")
        if seconds is None and taken > _PATIENCE_S and done < _SLOWEST * taken:
            raise DownloadError(
                f"{url}: {done:,} bytes have come in {taken:.0f} s, which would never end; try "
                "again later, or fetch the file elsewhere"
            )
        yield chunk
