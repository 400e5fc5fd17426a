"""Where an image's bytes lie: in a file of its own, or in a stretch of a shard.

Owns: the address of an image in a shard, reading, hashing and dating what a path leads to,
reaching file systems behind addresses. Does not own: what a folder of shards is (``shards``),
decoding (``images``).

    photos/daisy/1.jpg                                         a file
    shards/images-00000.tfrecord#4096+51200/daisy/1.jpg        51,200 bytes of a local shard
    s3://bucket/shards/images-00000.tfrecord#4096+51200/1.jpg  the same, by fsspec

Whatever takes the path of an image takes such an address; its end is the image's name.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tfclassify.errors import AbsentSourceError, ImageError, MissingExtraError, SourceError
from tfclassify.files import hash_file
from tfclassify.recipe.names import refuse_scheme

#: How a shard's name ends.
SHARD_ENDING = ".tfrecord"
_STRETCH = re.compile(
    rf"(?P<shard>.+{re.escape(SHARD_ENDING)})#(?P<start>\d+)\+(?P<size>\d+)/", re.DOTALL
)
#: A ``Path`` keeps one of the two slashes.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}(?!/)")


class Stretch(NamedTuple):
    """A part of a shard: ``size`` bytes from byte ``start`` on."""

    shard: str
    start: int
    size: int

    def address(self, name: str) -> str:
        """Write it as the path of the image that is called ``name``."""
        return f"{self.shard}#{self.start}+{self.size}/{name}"


class Mark(NamedTuple):
    """By what a change of an image is noticed without reading it.

    Attributes:
        size: Bytes.
        changed: Time of change in ns; behind an address, a negative number that stands for
            what the file system says of the shard, which is asked once a process.
    """

    size: int
    changed: int


def is_remote(path: str) -> bool:
    """Say whether a text is an address that a file system other than this machine's serves."""
    return "://" in path and not path.lower().startswith(("http://", "https://"))


def make_absolute(path: str) -> str:
    """Return a path that holds in any working folder; an address is one already."""
    return path if "://" in path else str(Path(path).absolute())


def find_stretch(path: Path | str) -> Stretch | None:
    """Return the part of a shard that a path means; None for a file of its own."""
    text = str(path)
    found = _STRETCH.match(text) if f"{SHARD_ENDING}#" in text else None
    if found is None:
        return None
    shard = found["shard"]
    scheme = _SCHEME.match(shard)
    if scheme is not None:
        shard = f"{scheme[1]}://{shard[scheme.end() :]}"
    return Stretch(shard, int(found["start"]), int(found["size"]))


def read_bytes(path: Path | str) -> bytes:
    """Read all that a path means.

    Raises:
        OSError: If it cannot be read, or a shard ends before the stretch does.
    """
    stretch = find_stretch(path)
    if stretch is None:
        return Path(path).read_bytes()
    shard, start, size = stretch
    if is_remote(shard):
        data = read_remote(shard, start, start + size)
    else:
        with open(shard, "rb", buffering=0) as stream:  # noqa: PTH123 (a Path each is slow)
            stream.seek(start)
            data = stream.read(size)
    if len(data) < size:
        raise OSError(errno.EIO, f"{shard} is cut short: it ends within this image", str(path))
    return data


def hash_image(path: Path | str) -> str:
    """Return the SHA-256 of what a path means as 64 hexadecimal digits.

    Raises:
        OSError: As ``read_bytes``.
    """
    if find_stretch(path) is None:
        return hash_file(Path(path))
    return hashlib.sha256(read_bytes(path)).hexdigest()


def stat_image(path: str) -> Mark | None:
    """Return by what a change is noticed, None where there is no plain file."""
    stretch = find_stretch(path)
    if stretch is not None and is_remote(stretch.shard):
        changed = _stat_remote(stretch.shard)
        return None if changed is None else Mark(stretch.size, changed)
    try:
        facts = os.stat(path if stretch is None else stretch.shard)  # noqa: PTH116 (as above)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return Mark(facts.st_size if stretch is None else stretch.size, facts.st_mtime_ns)


def read_image_file(path: Path | str, max_pixels: int) -> bytes:
    """Read a file whole, unless no image of so many pixels could be that large.

    Raises:
        ImageError: If there is no such file, or it is too large or not readable.
    """
    try:
        size = _find_size(path)
        # 16-bit RGBA that does not compress, and as much again as cameras put beside it.
        limit = 8 * max_pixels + (64 << 20)
        if size > limit:
            raise ImageError(
                f"{path}: the file has {size:,} bytes, allowed are {limit:,} for "
                f"{max_pixels:,} pixels; raise data.max_pixels if it is an image",
                "too_large",
            )
        return read_bytes(path)
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such file", "missing") from None
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: the file cannot be read ({reason})") from error


def _find_size(path: Path | str) -> int:
    stretch = find_stretch(path)
    if stretch is not None:
        return stretch.size
    facts = Path(path).stat()
    if not stat.S_ISREG(facts.st_mode) and not stat.S_ISDIR(facts.st_mode):
        # Reading a pipe waits for whoever may never write.
        raise ImageError(f"{path}: a pipe or a device, expected a file; remove it")
    return facts.st_size


def read_remote(address: str, start: int | None = None, end: int | None = None) -> bytes:
    """Read a file behind an address, or its bytes from ``start`` up to ``end``.

    Raises:
        OSError: If it cannot be read, whatever the file system raised.
        SourceError: If there is no such file system here.
    """
    system, path = open_file_system(address)
    try:
        return bytes(system.cat_file(path, start=start, end=end))
    except OSError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise OSError(errno.EIO, _explain(error), address) from error


def _explain(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


@lru_cache(maxsize=4096)
def _stat_remote(shard: str) -> int | None:
    system, path = open_file_system(shard)
    try:
        return -int(hashlib.sha256(repr(system.ukey(path)).encode()).hexdigest()[:15], 16)
    except Exception:  # reading will say what is wrong
        return None


@lru_cache(maxsize=64)
def _open_scheme(scheme: str, host: str) -> Any:
    import fsspec

    return fsspec.core.url_to_fs(f"{scheme}://{host}")[0]


def open_file_system(address: str) -> tuple[Any, str]:
    """Return the file system behind an address, and the path that it knows the place by.

    Raises:
        MissingExtraError: If fsspec, or the package for this kind of address, is not installed.
        AbsentSourceError: If the kind of address is not one of ``recipe.names.SCHEMES``.
        SourceError: If the file system cannot be opened, as without credentials.
    """
    scheme, _, rest = address.partition("://")
    if "::" in address:
        raise AbsentSourceError(
            f"{address}: addresses within addresses are not followed; name the inner one, or copy "
            "the shards to this machine"
        )
    if wrong := refuse_scheme(address):
        raise AbsentSourceError(f"{address}: {wrong}; or copy the shards to this machine")
    try:
        system = _open_scheme(scheme.lower(), rest.partition("/")[0])
        return system, str(system._strip_protocol(address))
    except ImportError as error:
        what = "fsspec" if getattr(error, "name", "") == "fsspec" else str(error)
        raise MissingExtraError(
            f"{address}: reading from {scheme}:// needs a package that is not installed ({what}); "
            "install it, such as `pip install fsspec s3fs`, or copy the shards to this machine"
        ) from error
    except ValueError as error:
        raise AbsentSourceError(
            f"{address}: the installed fsspec has no such file system ({error}); upgrade it, or "
            "copy the shards to this machine"
        ) from error
    except Exception as error:  # each file system has errors of its own
        raise refuse_remote(address, error) from error


def refuse_remote(address: str, error: Exception) -> SourceError:
    """Say that an address cannot be reached, and what its file system may lack."""
    reason = getattr(error, "strerror", None) or _explain(error)
    return SourceError(
        f"{address}: cannot be reached ({reason}); give this machine credentials in the way of "
        "its file system, such as AWS_PROFILE for s3:// or GOOGLE_APPLICATION_CREDENTIALS for "
        "gs://, or copy the shards here"
    )
