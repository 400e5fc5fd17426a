"""Reads any source, as rows or as an index.

Owns: choosing the reader, putting rows into an index. Does not own: each reader
(``folders``, ``csv_source``, ``coco_source``), labels (``labels``),
looking at the images (``scan``), what somebody corrected (``corrections``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from tfclassify.data.coco_source import read_coco_source
from tfclassify.data.corrections import apply_corrections, read_corrections
from tfclassify.data.csv_source import Table, read_csv_source, select_by_flags, weigh_flags
from tfclassify.data.folders import Listing, Row, list_folders, read_folder
from tfclassify.data.integrity import KINDS, Finding
from tfclassify.data.labels import select_label_sets, select_labels
from tfclassify.data.session_source import read_session
from tfclassify.data.sources import Source, find_source, find_tables
from tfclassify.errors import DataError, SourceError
from tfclassify.events import SILENT, Observer
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.recipe.schema import DataRecipe
from tfclassify.recipe.wording import suggest

if TYPE_CHECKING:  # slow to import, and whoever wants rows needs no index
    import pandas as pd

    from tfclassify.data.index import Index


@dataclass(frozen=True)
class Reading:
    """A source as it was read, row by row.

    Attributes:
        rows: One an image, ordered by its name; with a fault where it is known to be
            unusable, such as a missing file.
        classes: Class names, in order.
        is_multi_label: Whether an image may have several labels.
        findings: What the reader left out or remarked on.
        source: The source, as a folder.
    """

    rows: list[Row]
    classes: tuple[str, ...]
    is_multi_label: bool
    findings: tuple[Finding, ...]
    source: Source


@dataclass(frozen=True)
class ReadResult:
    """A source as it was read.

    Attributes:
        index: One row an image, not scanned and not split; rows that are known to be
            unusable, such as missing files, are quarantined.
        findings: What the reader left out or remarked on.
        root: Folder that the images lie in.
    """

    index: Index
    findings: tuple[Finding, ...]
    root: Path


def read_source(
    data: DataRecipe,
    *,
    observer: Observer = SILENT,
    is_other: bool = False,
) -> ReadResult:
    """Read the source that a recipe names into an index.

    Args:
        data: The recipe's section ``data``.
        observer: Told what is unpacked, downloaded or left out.
        is_other: Whether this is another source than the recipe was written for. It
            may be a folder where the recipe has a table, and need not have every label
            that the recipe names.

    Returns:
        The index, unsplit but for the source's own split, and the findings.

    Raises:
        SourceError: If the source is absent, empty, or says something impossible.
        ArchiveError: If an archive is unsafe or damaged.
        DownloadError: If an address cannot be fetched.
        DataError: If it lists an image twice.
    """
    from tfclassify.data.index import Index

    found = read_rows(data, observer=observer, is_other=is_other)
    frame = _make_index_frame(found.rows)
    index = Index(frame, found.classes, found.source.shown, found.is_multi_label)
    return ReadResult(index, found.findings, found.source.root)


def read_rows(
    data: DataRecipe,
    *,
    observer: Observer = SILENT,
    is_other: bool = False,
) -> Reading:
    """Read the source that a recipe names, without the table that an index is.

    Args:
        data: As for ``read_source``, and the errors are the same.
        observer: Told what is unpacked, downloaded or left out.
        is_other: As for ``read_source``.
    """
    source = find_source(data, observer=observer, is_table_needed=not is_other)
    listing = written = read_listing(source, data, observer, is_other=is_other)
    if data.corrections is not None:
        corrections = read_corrections(Path(data.corrections))
        listing = apply_corrections(written, data, corrections)
    has_marks = source.table is not None or source.is_session or source.shards is not None
    flagged = select_by_flags(listing.rows, data) if has_marks else listing.rows
    _tell_left_out(source, len(listing.rows), len(flagged), "drop_flags and keep_flags", observer)
    if listing.is_multi_label:
        rows, classes = select_label_sets(
            replace(listing, rows=flagged), data, is_other=is_other, listed=written.rows
        )
    else:
        rows, classes = select_labels(flagged, data, is_other=is_other, listed=written.rows)
    _tell_left_out(source, len(flagged), len(rows), "drop_labels and top_classes", observer)
    kept = {row.image for row in rows}
    dropped = {row.image for row in listing.rows} - kept
    findings = [found for found in listing.findings if found.image not in dropped]
    findings += [Finding(row.image, row.fault, row.place) for row in rows if row.fault]
    rows = sorted(rows, key=attrgetter("image"))
    if len(kept) < len(rows):
        twice = next(one.image for one, other in pairwise(rows) if one.image == other.image)
        raise DataError(f"image {twice!r} is listed twice")
    return Reading(rows, classes, listing.is_multi_label, tuple(findings), source)


def read_listing(
    source: Source, data: DataRecipe, observer: Observer, *, is_other: bool = False
) -> Listing:
    """Read the rows of a source with the reader that it needs, its labels as they are written.

    Args:
        source: The source, found.
        data: Says how it is read.
        observer: Told what is left out.
        is_other: Whether it is another source than ``data`` was written for.

    Raises:
        SourceError: If it is empty, or says something impossible.
    """
    if source.shards is not None:
        listing = source.shards.read_listing(source.shown, data, is_other=is_other)
        listing.rows = [_weigh(row, data) for row in listing.rows]
        return listing
    if source.annotations and data.coco:
        return read_coco_source(list(source.annotations), source.root, source.shown, data.coco)
    if source.table is not None:
        images = _find_images(source, source.table.parent, data)
        return read_csv_source(Table(source.table, source.shown_table, images, source.root), data)
    if source.is_session:
        return _read_session(source, data, observer)
    listing = read_folder(source.root, source.shown, _known_labels(data))
    if data.holds_label_sets:
        # A folder says one thing of an image, and nothing of the other classes.
        listing.rows = [row._replace(label="") for row in listing.rows]
    _warn_of_tables(source, listing, observer)
    return listing


def _read_session(source: Source, data: DataRecipe, observer: Observer) -> Listing:
    """Read a labelling session, and its own source, whose own labels are of no account."""

    def read_own(own: DataRecipe) -> Listing:
        return read_listing(find_source(own, observer=observer), own, SILENT)

    listing = read_session(source.root, source.shown, data, read_own, observer)
    listing.rows = [_weigh(row, data) for row in listing.rows]
    return listing


def _weigh(row: Row, data: DataRecipe) -> Row:
    return row._replace(weight=row.weight * weigh_flags(row.flags, data))


def _tell_left_out(source: Source, before: int, after: int, keys: str, observer: Observer) -> None:
    """Note how many images the recipe leaves out.

    Raises:
        SourceError: If it leaves out all.
    """
    if after == 0:
        raise SourceError(
            f"{source.shown}: no image is left of {before:,} after data.{keys}; leave out fewer"
        )
    if after < before:
        observer.on_note(
            f"{source.shown}: {before - after:,} of {before:,} images left out by {keys}"
        )


def _make_index_frame(rows: list[Row]) -> pd.DataFrame:
    """Put rows into a frame."""
    from tfclassify.data.index import make_frame

    return make_frame(
        [row.image for row in rows],
        [row.path for row in rows],
        label=[row.label for row in rows],
        flags=[JOINING_SIGN.join(row.flags) for row in rows],
        group=[row.group for row in rows],
        split=[row.split for row in rows],
        weight=[row.weight for row in rows],
        status=["quarantined" if row.fault else "ok" for row in rows],
        reason=[KINDS[row.fault].title if row.fault else row.remark for row in rows],
        sha256=[row.sha256 for row in rows],
    )


def _known_labels(data: DataRecipe) -> set[str]:
    """Return every label that the recipe names as occurring in the source."""
    merged = {label for labels in data.merge_classes.values() for label in labels}
    return {*(data.classes or ()), *data.drop_labels, *merged}


def _find_images(source: Source, beside: Path, data: DataRecipe) -> Path:
    """Return the folder that a table's file names start at."""
    if data.images is None:
        return beside
    for folder in (beside, source.root, Path()):
        if (folder / data.images).is_dir():
            return folder / data.images
    names = [path.name for path in list_folders(source.root)]
    raise SourceError(
        f"{source.shown}: there is no folder {data.images!r} (data.images), the folders are "
        f"{', '.join(map(repr, names)) or 'none'}{suggest(data.images, names)}"
    )


def _warn_of_tables(source: Source, listing: Listing, observer: Observer) -> None:
    """Point out a CSV beside images that were read without labels."""
    if any(row.label for row in listing.rows):
        return
    tables = [name for name in find_tables(source.root) if name.endswith(".csv")]
    if tables:
        name = tables[0]
        observer.on_warning(
            f"{source.shown}: images without labels; set data.table: {name} if it holds them"
        )
