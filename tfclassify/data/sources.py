"""Finds what a recipe names as its source and makes a folder of it.

Owns: paths, archives, addresses and built-in sets; the words for what is absent.
Does not own: what the folder means (``readers``).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from tfclassify.data.archives import extract_archive, is_archive
from tfclassify.data.coco_source import Annotations
from tfclassify.data.download import fetch
from tfclassify.data.folders import list_wrappings, walk_files
from tfclassify.errors import AbsentSourceError, ArchiveError, SourceError
from tfclassify.events import SILENT, Observer
from tfclassify.files import build_folder, cache_folder, hash_file
from tfclassify.recipe.data_schema import SESSION_FILE
from tfclassify.recipe.loading import is_there
from tfclassify.recipe.schema import DataRecipe
from tfclassify.recipe.wording import suggest

if TYPE_CHECKING:
    from tfclassify.data.shards import Shards

COUNT = 1797
_FULL_SCALE = 16  # the set's grey levels are 0 to 16


def write_digits(observer: Observer = SILENT) -> Path:
    """Write the digits as PNG files into the cache, unless they are there.

    Returns:
        A folder with ten folders, ``0`` to ``9``, of RGB images of 8x8 pixels.
    """
    target = cache_folder() / "builtin" / "digits"
    if sum(1 for _ in target.glob("*/*.png")) == COUNT:
        return target
    from sklearn.datasets import load_digits  # takes a second, and only the first time

    observer.on_note(f"writing scikit-learn's {COUNT:,} digits to {target}")
    digits = load_digits()
    grey = np.rint(digits.images * (255 / _FULL_SCALE)).astype(np.uint8)
    with build_folder(target) as folder:
        for number, (pixels, label) in enumerate(zip(grey, digits.target, strict=True)):
            place = folder / str(label) / f"{number:04}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(np.repeat(pixels[..., None], 3, axis=2)).save(place)
    return target


BUILTIN = "builtin:digits"
_ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz")
_TABLE_ENDINGS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Source:
    """A source that is a folder on disk by now.

    Attributes:
        root: The folder.
        shown: What the user called the source.
        table: The CSV that describes the images, or None.
        annotations: COCO annotations that describe them instead; empty if there are none.
        shards: What was packed, where the root is shards; behind an address it is no folder.
    """

    root: Path
    shown: str
    table: Path | None = None
    annotations: tuple[Annotations, ...] = ()
    shards: Shards | None = None

    @property
    def is_session(self) -> bool:
        """Whether it is the folder of a labelling session."""
        return self.table is None and self.shards is None and self._holds(SESSION_FILE)

    def _holds(self, name: str) -> bool:
        return (self.root / name).is_file()

    @property
    def shown_table(self) -> str:
        """What to call the table in messages."""
        if self.table is None or self.shown.endswith(self.table.name):
            return self.shown
        return f"{self.shown}/{self.table.relative_to(self.root).as_posix()}"


def find_source(
    data: DataRecipe,
    *,
    observer: Observer = SILENT,
    is_table_needed: bool = True,
) -> Source:
    """Find a source, unpacking or downloading it first where needed.

    Args:
        data: Names the source, its checksum and its table.
        observer: Told what is unpacked or downloaded.
        is_table_needed: Whether a source without the recipe's table or annotations is an
            error.

    Returns:
        The source as a folder.

    Raises:
        AbsentSourceError: If the source, its table or its annotations are not there, or it
            is of no known kind.
        ArchiveError: If an archive is unsafe, damaged or not the one expected.
        DownloadError: If an address cannot be fetched.
    """
    if data.source.startswith("builtin:"):
        return Source(_find_builtin(data, observer), data.source)
    if data.is_packed:
        from tfclassify.data.shards import open_shards  # pandas, which most need later or never

        return Source(Path(data.source), data.source, shards=open_shards(data.source))
    if "://" in data.source:
        if data.sha256 is None:
            raise AbsentSourceError(f"{data.source}: a URL needs its checksum; set data.sha256")
        path = fetch(data.source, data.sha256, observer=observer)
    else:
        path = find_path(data)
    if not path.is_dir() and not path.is_file():
        raise AbsentSourceError(
            f"{data.source}: a pipe or a device; use a folder, an archive or a CSV"
        )
    if path.is_dir() or _is_archive(path):
        root = path if path.is_dir() else _unpack(path, data, observer)
        source = _add_annotations(Source(root, data.source), data, is_table_needed)
        return source if source.annotations else _add_table(source, data, is_table_needed)
    if path.suffix.lower() in _TABLE_ENDINGS:
        return Source(path.parent, data.source, path)
    raise AbsentSourceError(
        f"{data.source}: a source must be a folder, a zip or tar, or a CSV, got a file with the "
        f"ending {path.suffix!r}; to classify single images use `tfclassify predict`"
    )


def find_tables(root: Path) -> list[str]:
    """Return the tables below a folder, as POSIX paths relative to it."""
    prefix = f"{root.as_posix()}/"
    files = walk_files(root, is_sorted=False)
    tables = [path.removeprefix(prefix) for path in files if path.lower().endswith(_TABLE_ENDINGS)]
    return sorted(tables, key=lambda path: path.split("/"))


def find_path(data: DataRecipe) -> Path:
    """Return where a local source is.

    Raises:
        AbsentSourceError: If it is not there; says what to download and where to put it.
    """
    wanted = Path(data.source).expanduser()
    if is_there(wanted):
        return wanted
    siblings = [path.name for path in wanted.parent.iterdir()] if wanted.parent.is_dir() else []
    hint = suggest(wanted.name, siblings)
    beside = "" if wanted.is_absolute() else " (here or beside the recipe)"
    advice = f"put it at {wanted}{beside}, or set data.source to where you have it"
    if data.download_from:
        advice = f"download it from {data.download_from} and {advice}"
    raise AbsentSourceError(f"{data.source}: there is no such file or folder; {advice}{hint}")


def _find_builtin(data: DataRecipe, observer: Observer) -> Path:
    if data.source != BUILTIN:
        raise AbsentSourceError(
            f"{data.source}: there is no such built-in source; the only one is {BUILTIN!r}"
        )
    return write_digits(observer)


def _is_archive(path: Path) -> bool:
    """Say whether a file is an archive, by its name or else by its content."""
    if path.name.lower().endswith(_ARCHIVE_ENDINGS):
        return path.is_file()
    if path.suffix.lower() in _TABLE_ENDINGS:
        return False
    return is_archive(path)


def _unpack(archive: Path, data: DataRecipe, observer: Observer) -> Path:
    """Unpack an archive into the cache, under its content's hash."""
    digest = hash_file(archive)
    if data.sha256 is not None and digest != data.sha256:
        raise ArchiveError(
            f"{archive}: the archive is not the one that the recipe means, got sha256 {digest}, "
            f"expected {data.sha256} (data.sha256); download it again"
        )
    stem = archive.name.split(".")[0][:40]
    target = cache_folder() / "archives" / f"{stem}-{digest[:16]}"
    if not target.exists():
        observer.on_note(f"unpacking {archive} to {target}")
    try:
        return extract_archive(archive, target, digest=digest)
    except OSError as error:
        raise SourceError(
            f"{archive}: cannot be unpacked to {target} ({error.strerror}); set TFCLASSIFY_CACHE "
            "to a folder that can be written"
        ) from error


def _add_annotations(source: Source, data: DataRecipe, is_needed: bool) -> Source:
    """Find COCO annotations inside a source: all that the recipe names, or none.

    Another source than the recipe's, for which they are not needed, may have some.
    """
    if data.coco is None:
        return source
    for root in list_wrappings(source.root):
        files = [
            Annotations(root / name, f"{source.shown}/{name}", split)
            for split, name in data.coco.annotations.items()
        ]
        present = [file for file in files if file.path.is_file()]
        if present and len(present) < len(files) and is_needed:
            absent = next(file for file in files if file not in present)
            raise AbsentSourceError(
                f"{absent.shown}: there are no such annotations, but there are those of "
                f"{present[0].split}; download them, or take "
                f"data.coco.annotations.{absent.split} out of the recipe"
            )
        if present:
            return Source(root, source.shown, annotations=tuple(present))
    return source


def _add_table(source: Source, data: DataRecipe, is_needed: bool) -> Source:
    """Find the table inside a source, below a wrapping folder if there is one."""
    if data.table is None:
        return _miss_annotations(source, data) if data.coco and is_needed else source
    for root in list_wrappings(source.root):
        table = root / data.table
        if table.is_file():
            return Source(root, source.shown, table)
    if not is_needed:
        return source
    tables = find_tables(source.root)
    neither = " and no annotations of data.coco" if data.coco else ""
    found = f"its tables are {', '.join(tables[:5])}" if tables else "it holds no table"
    raise AbsentSourceError(
        f"{source.shown}: there is no table {data.table!r} (data.table){neither}, {found}"
        f"{suggest(data.table, tables)}"
    )


def _miss_annotations(source: Source, data: DataRecipe) -> Source:
    """Raise since there are no annotations, and no table is named in their stead."""
    assert data.coco is not None
    prefix = f"{source.root.as_posix()}/"
    found = [
        path.removeprefix(prefix) for path in walk_files(source.root) if path.endswith(".json")
    ]
    wanted = next(iter(data.coco.annotations.values()))
    there = f"there is {', '.join(found[:5])}" if found else "it holds no JSON"
    raise AbsentSourceError(
        f"{source.shown}: there are no annotations {wanted!r} (data.coco.annotations), {there}"
        f"{suggest(wanted, found)}"
    )
