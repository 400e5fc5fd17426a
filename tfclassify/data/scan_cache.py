"""What images showed when they were last looked at, kept so that nobody looks twice.

Owns: the file of it in the cache folder, when an entry still holds, checking what is read.
Does not own: looking (``scan``).

An entry holds as long as the file at its path has the same size and time of change; with
``TFCLASSIFY_SCAN_CACHE=hash`` only if its bytes have the same SHA-256 too, and with ``off``
nothing is kept. Images that are unusable are looked at each time, so what is said of them is
always of today.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL

from tfclassify import __version__
from tfclassify.data.images import FORMATS, ImageFacts
from tfclassify.data.integrity import KINDS
from tfclassify.data.places import Mark, hash_image, stat_image
from tfclassify.files import cache_folder, open_replacing

VARIABLE = "TFCLASSIFY_SCAN_CACHE"
#: Side in pixels of the thumbnail that near-duplicates are found by.
THUMBNAIL = 9
#: A file changed this recently may change again without another time of change.
_SETTLED_NS = 2 * 10**9
_MOST_BYTES = 1 << 32
_MOST_IMAGES = 2_000_000
_COLUMNS: dict[str, tuple[str, tuple[int, ...]]] = {
    "size": ("int64", ()),
    "changed": ("int64", ()),
    "sha256": ("uint8", (32,)),
    "shape": ("int32", (2,)),
    "kind": ("int32", ()),
    "thumbnail": ("uint8", (THUMBNAIL, THUMBNAIL, 3)),
}


class Seen(NamedTuple):
    """What one usable image showed.

    Attributes:
        sha256: Of the file's bytes.
        facts: What the file says about its image.
        thumbnail: uint8 RGB, ``(THUMBNAIL, THUMBNAIL, 3)``.
    """

    sha256: str
    facts: ImageFacts
    thumbnail: np.ndarray


class ScanCache:
    """The entries of one folder of images, as far as they hold."""

    def __init__(self, paths: Sequence[str]) -> None:
        # By hand, since a Path object each takes longer than the rest of the look-up.
        here = f"{Path.cwd().as_posix()}/"
        absolute = [
            path if path.startswith("/") or "://" in path else here + path for path in paths
        ]
        self.mode = os.environ.get(VARIABLE, "on")
        self._paths = dict(zip(paths, absolute, strict=True))
        self._known: dict[str, tuple[int, int, Seen]] = {}
        self._is_changed = False
        home = os.path.commonpath([min(absolute), max(absolute)]) if absolute else ""
        key = f"{__version__}:{PIL.__version__}:{home}".encode("utf-8", "surrogatepass")
        self.path = cache_folder() / "scans" / f"{hashlib.sha256(key).hexdigest()[:24]}.npz"
        if self.mode != "off":
            self._known = _load(self.path)

    def find(self, path: str, max_pixels: int) -> Seen | None:
        """Return what an image showed, if its file is still the same."""
        known = self._known.get(self._paths[path])
        if known is None:
            return None
        size, changed, seen = known
        if stat_image(path) != (size, changed):
            return None
        if seen.facts.width * seen.facts.height > max_pixels:
            return None
        if self.mode == "hash" and hash_image(path) != seen.sha256:
            return None
        return seen

    def add(self, path: str, seen: Seen, mark: Mark | None) -> None:
        """Remember what an image showed.

        Args:
            path: As it was given.
            seen: What it showed.
            mark: Of its file, from before it was read.
        """
        if mark is not None and time.time_ns() - mark.changed > _SETTLED_NS:
            self._known[self._paths[path]] = (*mark, seen)
            self._is_changed = True

    def save(self) -> None:
        """Write the entries, whole or not at all; a cache that cannot be written is none."""
        if not self._is_changed or self.mode == "off":
            return
        if len(self._known) > _MOST_IMAGES:
            current = set(self._paths.values())
            self._known = {path: entry for path, entry in self._known.items() if path in current}
        try:
            with open_replacing(self.path) as stream:
                np.savez(stream, **_to_arrays(self._known))  # type: ignore[arg-type]
        except OSError:
            return


def _to_arrays(known: dict[str, tuple[int, int, Seen]]) -> dict[str, np.ndarray]:
    """Put entries into arrays of plain numbers."""
    kinds: dict[tuple[str, ...], int] = {}
    codes = [
        kinds.setdefault((seen.facts.format, seen.facts.mode, *seen.facts.remarks), len(kinds))
        for _, _, seen in known.values()
    ]
    texts = {
        "paths": "\0".join(known).encode("utf-8", "surrogateescape"),
        "kinds": json.dumps(list(kinds)).encode(),
    }
    entries = list(known.values())
    digests = b"".join(bytes.fromhex(seen.sha256) for _, _, seen in entries)
    return {
        **{name: np.frombuffer(text, np.uint8) for name, text in texts.items()},
        "size": np.array([size for size, _, _ in entries], np.int64),
        "changed": np.array([changed for _, changed, _ in entries], np.int64),
        "sha256": np.frombuffer(digests, np.uint8).reshape(-1, 32),
        "shape": np.array([(s.facts.width, s.facts.height) for *_, s in entries], np.int32),
        "kind": np.array(codes, np.int32),
        "thumbnail": np.stack([seen.thumbnail for _, _, seen in entries]),
    }


def _load(path: Path) -> dict[str, tuple[int, int, Seen]]:
    """Read the entries; anything that is not what was written counts as no entries."""
    try:
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > _MOST_BYTES:
            return {}
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            if sum(member.file_size for member in arrays.zip.infolist()) > _MOST_BYTES:
                return {}
            return _from_arrays({name: arrays[name] for name in (*_COLUMNS, "paths", "kinds")})
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, MemoryError):
        return {}


def _from_arrays(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, int, Seen]]:
    """Check arrays and turn them into entries.

    Raises:
        ValueError: If they are not of the kind that ``_to_arrays`` makes.
    """
    paths = bytes(arrays["paths"]).decode("utf-8", "surrogateescape").split("\0")
    for name, (kind, shape) in _COLUMNS.items():
        if arrays[name].dtype != kind or arrays[name].shape != (len(paths), *shape):
            raise ValueError(name)
    kinds = [_check_kind(kind) for kind in json.loads(bytes(arrays["kinds"]))]
    codes, shapes = arrays["kind"], arrays["shape"]
    if len(paths) and not (codes.min() >= 0 and codes.max() < len(kinds) and shapes.min() > 0):
        raise ValueError("kind")
    digests = bytes(arrays["sha256"]).hex()
    rows: Any = zip(
        paths,
        arrays["size"].tolist(),
        arrays["changed"].tolist(),
        shapes.tolist(),
        codes.tolist(),
        arrays["thumbnail"],
        strict=True,
    )
    known = {}
    for number, (path, size, changed, (width, height), code, thumbnail) in enumerate(rows):
        form, mode, remarks = kinds[code]
        digest = digests[64 * number : 64 * number + 64]
        facts = ImageFacts(width, height, form, mode, remarks)
        known[path] = (size, changed, Seen(digest, facts, thumbnail))
    return known


def _check_kind(kind: Any) -> tuple[str, str, tuple[str, ...]]:
    """Check a format, a mode and remarks."""
    form, mode, *remarks = kind
    texts = (form, mode, *remarks)
    if form not in FORMATS or not all(isinstance(text, str) and len(text) < 40 for text in texts):
        raise ValueError("format")
    if not set(remarks) <= set(KINDS):
        raise ValueError("remarks")
    return form, mode, tuple(remarks)
