"""What a reader finds before labels are settled: rows, and the files on disk.

Owns: walking a folder without the junk that systems leave in it, stable image names.
Does not own: what the folders mean (``folders``, ``csv_source``).
"""

from __future__ import annotations

import os
import posixpath
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tfclassify.data.images import ENDINGS
from tfclassify.data.integrity import Finding
from tfclassify.data.signatures import recognise
from tfclassify.errors import SourceError

#: How folders and tables call the splits, in lower case.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
#: The year that COCO writes behind a split.
_YEAR = re.compile(r"[-_ ]?(19|20)\d\d$")
#: Images that are not read, but that are reported instead of passed over.
_ENDINGS = (*ENDINGS, ".tif", ".tiff", ".heic", ".heif", ".avif", ".jp2", ".jxl")
_JUNK = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin"}


class Row(NamedTuple):
    """One image that a source names.

    Attributes:
        image: Stable name: POSIX path relative to the source.
        path: Where the file should be.
        place: Where the source says so, for messages.
        label: Label as written; empty if there is none, or if there may be several.
        group: Rows of one group never straddle a split; empty if none.
        split: ``train``, ``validation``, ``test`` or empty.
        weight: Per-image weight.
        fault: Kind of the fault that bars the image, empty if none is known yet.
        labels: Labels as written, where an image may have several.
        flags: Marks of the image, in the order of ``data.flags``.
    """

    image: str
    path: str
    place: str
    label: str = ""
    group: str = ""
    split: str = ""
    weight: float = 1.0
    fault: str = ""
    labels: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass
class Listing:
    """What a reader found: rows for the index, and what it left out.

    Attributes:
        rows: The images.
        findings: What was left out or remarked on.
        is_multi_label: Whether an image may have several labels, which are in ``labels``.
        classes: Every label in the order of a source that has one, such as columns.
    """

    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    is_multi_label: bool = False
    classes: tuple[str, ...] = ()


def find_split(name: str) -> str | None:
    """Return the split that a source means, such as ``validation`` for ``val2017``."""
    name = name.lower()
    return SPLIT_NAMES.get(name, SPLIT_NAMES.get(_YEAR.sub("", name)))


def clean_path(value: str) -> str | None:
    """Return a path as a table writes it in POSIX form; None if it leads outside."""
    name = unicodedata.normalize("NFC", value.replace("\\", "/"))
    name = posixpath.normpath(name)
    return None if name.startswith(("/", "../")) or name in {".", ".."} or "\0" in name else name


def is_junk(name: str) -> bool:
    """Say whether a file or folder is hidden or left behind by a system."""
    return name.startswith(".") or name.lower() in _JUNK


def is_image_file(path: str) -> bool:
    """Say whether a file announces an image: by its ending, or by content without one."""
    name = path.rpartition("/")[2]
    if "." in name:
        return name.lower().endswith(_ENDINGS)
    if not is_file(path):
        return False
    try:
        with Path(path).open("rb") as stream:
            return recognise(stream.read(16)) is not None
    except OSError:
        return False


def is_file(path: str) -> bool:
    """Say whether a path leads to a plain file, also where no path can be so long."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def has_images(folder: Path, *, is_deep: bool = True) -> bool:
    """Say whether a folder holds an image; ``is_deep`` looks into subfolders."""
    return any(is_image_file(path) for path in walk_files(folder, is_deep=is_deep))


def list_folders(folder: Path) -> list[Path]:
    """Return the subfolders that are not junk, sorted by name."""
    return sorted(path for path in folder.iterdir() if not is_junk(path.name) and path.is_dir())


def walk_files(folder: Path, *, is_deep: bool = True) -> Iterator[str]:
    """Yield the files that are not junk, as POSIX paths, by folder and name.

    Args:
        folder: Where to start.
        is_deep: Whether to enter subfolders. Linked ones too, but each real one once.
    """
    # Strings, since a million Path objects take a minute to make and compare.
    return _walk(folder.as_posix(), is_deep, set())


def _walk(folder: str, is_deep: bool, seen: set[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if is_junk(entry.name):
            continue
        if not entry.is_dir():
            yield f"{folder}/{entry.name}"
        elif is_deep:
            yield from _walk(f"{folder}/{entry.name}", is_deep, seen)


def name_image(path: str, root: Path) -> str:
    """Return the stable name of a file or folder: its POSIX path relative to ``root``.

    Composed and decomposed accents count as one, since systems disagree on them.

    Raises:
        SourceError: If the name is not valid text.
    """
    name = path.removeprefix(root.as_posix()).lstrip("/")
    if name.isascii():
        return name
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise SourceError(f"{path!a}: the name is not valid UTF-8; rename the file") from None
    return unicodedata.normalize("NFC", name)
