"""Whether images are still what they were when they were read.

Owns: comparing an index with the files that it names. Does not own: what follows from a
difference (``workflows.resume_checks``).
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfclassify.data.index import Index
from tfclassify.files import hash_file

#: Columns that decide what is trained and judged on; where the files lie does not.
_DECISIVE = ("image", "label", "group", "split", "weight", "sha256")


def fingerprint_index(index: Index) -> str:
    """Return a SHA-256 of the classes and of what is decisive in the usable rows, in order."""
    frame = index.usable().frame[list(_DECISIVE)]
    digest = hashlib.sha256(repr(index.classes).encode("utf-8", "surrogatepass"))
    for row in frame.itertuples(index=False):
        digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def find_changed_files(index: Index) -> list[str]:
    """Name each usable image whose file is gone or holds other bytes, in row order.

    Every file is read once; rows without a hash are only looked for.
    """
    frame = index.usable().frame
    rows = zip(frame["image"], frame["path"], frame["sha256"], strict=True)
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 1), "hash") as pool:
        found = list(pool.map(lambda row: _compare(*row), rows))
    return [line for line in found if line]


def _compare(image: str, path: str, sha256: str) -> str:
    try:
        got = hash_file(Path(path))
    except FileNotFoundError:
        return f"image {image}: removed, it was {path}"
    except OSError as error:
        return f"image {image}: cannot be read any more: {error.strerror}"
    return f"image {image}: its bytes have changed" if sha256 and got != sha256 else ""
