"""Where a TensorFlow Hub module lies: a folder, the cache, or an address.

Owns: handles, TensorFlow Hub's cache, the download, its checksum, and what is said without
a network. An address may end in ``#sha256=`` and the SHA-256 of the module's archive; the
cache keeps such a module apart, so that what lies there was compared.
Does not own: what may be in a module (``saved_models``), running it (``hub_layer``).
Imports no TensorFlow at module level.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from tfclassify.data.archives import ArchiveLimits, extract_archive
from tfclassify.data.download import fetch_into
from tfclassify.errors import ArchiveError, DownloadError, WeightsError
from tfclassify.files import hash_file

#: What a recipe writes before the handle of a module.
PREFIX = "hub:"
_SCHEMES = ("https://", "http://", "gs://")
#: Bytes and seconds of a download; the largest modules of images take some 3 GiB.
_LARGEST_DOWNLOAD, _LONGEST_S = 4 << 30, 3600.0
#: Weights hardly pack, so what unpacks to much more is none.
_LIMITS = ArchiveLimits(max_bytes=8 << 30, max_files=10_000, max_ratio=10.0)
_GRAPH = "saved_model.pb"
_CHECKSUM = re.compile(r"sha256=([0-9a-fA-F]{64})")


def is_address(handle: str) -> bool:
    """Say whether a handle is an address and not a folder."""
    return handle.startswith(_SCHEMES)


def is_saved_model(folder: Path) -> bool:
    """Say whether a folder looks like a SavedModel."""
    return (folder / _GRAPH).is_file()


def has_module(handle: str) -> bool:
    """Say whether a module is on this machine."""
    folder = find_cached_module(handle) if is_address(handle) else Path(handle).expanduser()
    return folder is not None and is_saved_model(folder)


def locate_module(handle: str) -> Path:
    """Return the folder of the SavedModel that a handle names.

    Args:
        handle: A folder, or an address, which is looked for in TensorFlow Hub's cache and
            downloaded if it is not there.

    Raises:
        WeightsError: If there is no such folder, or the module is not cached and cannot
            be downloaded; the message holds the ways out.
    """
    if is_address(handle):
        try:
            return fetch_module(handle)
        except DownloadError as error:
            raise WeightsError(f"model.backbone: {error}") from error
    folder = Path(handle).expanduser()
    if is_saved_model(folder):
        return folder
    reason = f"the folder holds no {_GRAPH}" if folder.is_dir() else "there is no such folder"
    raise WeightsError(
        f"model.backbone: '{PREFIX}{handle}': {reason}; name the folder of a TF2 SavedModel, or an "
        "address that begins with https://. `tfclassify backbones efficientnet_lite0 --export "
        "FOLDER` writes one"
    )


def fetch_module(handle: str) -> Path:
    """Return the folder of a module with an address, from the cache or the network.

    Raises:
        DownloadError: If it is not cached and cannot be fetched, is over the limits, or is
            not what its checksum says; nothing of it is then kept.
    """
    address, checksum = _split_handle(handle)
    cached = find_cached_module(handle)
    if cached is not None:
        return cached
    place = _cache_place(handle)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=place.parent) as work:
            packed, unpacked = Path(work) / "module.tar.gz", Path(work) / "module"
            source = _packed_address(address)
            fetch_into(source, packed, limit=_LARGEST_DOWNLOAD, seconds=_LONGEST_S)
            got = hash_file(packed)
            if checksum and got != checksum:
                raise DownloadError(f"the checksum is wrong, got sha256 {got}, not {checksum}")
            extract_archive(packed, unpacked, limits=_LIMITS)
            if not is_saved_model(unpacked):
                raise DownloadError(f"what was downloaded holds no {_GRAPH}: no TF2 SavedModel")
            shutil.rmtree(place, ignore_errors=True)  # what an interrupted download left
            unpacked.rename(place)
    except (DownloadError, ArchiveError, OSError) as error:
        raise DownloadError(_explain(handle, error)) from error
    return place


def _split_handle(handle: str) -> tuple[str, str]:
    """Return an address, and the checksum that its fragment names, empty without one."""
    address, _, fragment = handle.partition("#")
    named = _CHECKSUM.fullmatch(fragment)
    if fragment and named is None:
        raise DownloadError(
            f"{handle}: what follows # must be the checksum of the module's archive, sha256= and "
            f"64 hexadecimal digits, got {fragment!r}; mend it, or leave it out"
        )
    return address, named[1].lower() if named else ""


def _packed_address(address: str) -> str:
    """Return the address of a module's archive."""
    mark = "&" if "?" in address else "?"
    return f"{address}{mark}tf-hub-format=compressed"


def _explain(handle: str, error: Exception) -> str:
    """Say what failed and the ways out."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    address = _packed_address(_split_handle(handle)[0])
    return (
        f"{handle}: is not in TensorFlow Hub's cache and cannot be fetched: {reason}. Ways out: "
        f"download {address} elsewhere and unpack it to {_cache_place(handle)}; or "
        "set TFHUB_CACHE_DIR to a cache that has it; or unpack it anywhere and name that folder"
    )


def find_cached_module(handle: str) -> Path | None:
    """Return where TensorFlow Hub keeps a module that it fetched before, or None.

    Its cache is ``$TFHUB_CACHE_DIR``, else ``tfhub_modules`` in the temporary folder; a
    module's folder is the SHA-1 of its address.
    """
    folder = _cache_place(handle)
    return folder if is_saved_model(folder) else None


def _cache_place(handle: str) -> Path:
    cache = os.environ.get("TFHUB_CACHE_DIR")
    root = Path(cache) if cache else Path(tempfile.gettempdir()) / "tfhub_modules"
    return root / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
