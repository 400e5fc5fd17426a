"""A source packed into shards: few large files instead of many small ones, with an index.

Owns: the folder's files, writing it from the rows of a source, reading it as those rows, what
does not fit together. Does not own: the record format (``tfrecord``), where bytes lie and how
they are read (``places``), choosing labels (``labels``).

    shards/shards.json              what was packed and how it was read; each shard's size
    shards/index.csv                one row an image: its name, labels, shard, first byte, size
    shards/images-00000.tfrecord    records of ``tf.train.Example``, each image's file as it was

The rows are those that the source was read into, before labels are dropped, merged or chosen,
so a recipe does the same to shards as to their source. Any image is read by itself, in any
order: nothing is read in sequence.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

import pandas as pd
from pydantic import Field, ValidationError

from tfclassify.data.folders import Listing, Row
from tfclassify.data.index import guard_texts, image_key, unguard_texts
from tfclassify.data.integrity import KINDS, Finding
from tfclassify.data.places import (
    SHARD_ENDING,
    Stretch,
    find_stretch,
    is_remote,
    open_file_system,
    read_image_file,
    read_remote,
    refuse_remote,
)
from tfclassify.data.tfrecord import AFTER, BEFORE, Values, encode_example, frame_record
from tfclassify.errors import AbsentSourceError, ImageError, SourceError
from tfclassify.events import SILENT, Observer
from tfclassify.files import Document, read_regular, render_csv, write_json, write_text
from tfclassify.recipe.data_schema import READING_KEYS, SHARDS_FILE, DataRecipe

_INDEX = "index.csv"
_COLUMNS = {
    "image": "str",
    "shard": "int64",  # -1 where the image could not be packed
    "start": "int64",
    "size": "int64",
    "ending": "str",  # of the file's name, where the image's name lacks it
    "label": "str",  # several labels: a list in JSON
    "group": "str",
    "split": "str",
    "weight": "float64",  # without that of its marks
    "flags": "str",  # a list in JSON; empty if there are none
    "fault": "str",
    "remark": "str",
    "sha256": "str",
}
_TEXTS = tuple(name for name, kind in _COLUMNS.items() if kind == "str")
_MOST_FACTS, _MOST_INDEX = 64 << 20, 16 << 30
_TASK = "packing images"


class ShardFacts(Document):
    """One shard.

    Attributes:
        name: Of its file.
        size: Bytes.
    """

    name: str = Field(pattern=rf"^[A-Za-z0-9._-]+{SHARD_ENDING}$")
    size: int = Field(ge=0)


class PackFacts(Document):
    """``shards.json``.

    Attributes:
        format: Version of this format.
        source: What was packed: an address, or the last name of a path, since shards travel.
        sha256: Of the archive or download that was packed; None if it was none.
        reading: Keys of ``data`` that say how the source was read, those that are not defaults.
        is_multi_label: Whether an image may have several labels.
        classes: Every label in the order of a source that has one.
        findings: What the reader left out or remarked on: image, kind, detail.
        images: Rows of the index.
        packed: Of them, those that are in a shard.
        index_sha256: Of ``index.csv``.
        shards: The shards by their number.
    """

    format: Literal[1] = 1
    source: str
    sha256: str | None = None
    reading: dict[str, Any] = Field(default_factory=dict)
    is_multi_label: bool = False
    classes: tuple[str, ...] = ()
    findings: tuple[tuple[str, str, str], ...] = ()
    images: int = Field(ge=0)
    packed: int = Field(ge=0)
    index_sha256: str
    shards: tuple[ShardFacts, ...]


@dataclass(frozen=True)
class Shards:
    """A folder of shards, or an address of one, whose facts were read.

    Attributes:
        place: The folder or address, without a slash at its end.
        facts: What it holds.
    """

    place: str
    facts: PackFacts

    def list_paths(self) -> list[tuple[str, str]]:
        """Return the name and the address of each image that was packed, by name.

        Raises:
            SourceError: If the index is damaged.
        """
        rows = self.read_rows()
        return [(row.image, row.path) for row in rows if find_stretch(row.path) is not None]

    def read_listing(self, shown: str, data: DataRecipe, *, is_other: bool = False) -> Listing:
        """Read the rows of the source that was packed.

        Args:
            shown: What to call the shards in messages.
            data: The recipe's section; what it says of reading must be what was done.
            is_other: Whether the recipe was written for another source than this.

        Raises:
            SourceError: If they are of another recipe or source, or damaged.
        """
        if not is_other:
            self._check_reading(shown, data)
        findings = [Finding(*found) for found in self.facts.findings]
        rows = [row._replace(place=f"{shown}/{row.image}") for row in self.read_rows()]
        return Listing(rows, findings, self.facts.is_multi_label, self.facts.classes)

    def _check_reading(self, shown: str, data: DataRecipe) -> None:
        facts = self.facts
        if data.sha256 and facts.sha256 and data.sha256 != facts.sha256:
            raise SourceError(
                f"{shown}: packed from {facts.source!r} with the sha256 {facts.sha256}, the recipe "
                f"means {data.sha256} (data.sha256); pack that one, or take the key out"
            )
        own = describe_reading(data)
        for key, value in own.items():
            if facts.reading.get(key) != value:
                packed = facts.reading.get(key, "nothing of it")
                raise SourceError(
                    f"{shown}: packed by another recipe, which read {facts.source!r} with "
                    f"data.{key} {packed!r}, this one says {value!r}; pack the source with this "
                    f"recipe, or take data.{key} out of it"
                )

    def read_rows(self) -> list[Row]:
        """Return one row an image, with its address as path.

        Raises:
            SourceError: If the index is damaged.
        """
        frame = self._read_index()
        shards = [f"{self.place}/{shard.name}" for shard in self.facts.shards]
        several = self.facts.is_multi_label
        columns = [frame[name].tolist() for name in _COLUMNS]
        rows = []
        for image, shard, start, size, ending, label, *rest in zip(*columns, strict=True):
            group, split, weight, flags, fault, remark, sha256 = rest
            is_packed = shard >= 0
            path = Stretch(shards[shard], start, size).address(image + ending) if is_packed else ""
            rows.append(
                Row(
                    image,
                    path or f"{self.place}/{image}",
                    "",
                    "" if several else label,
                    group,
                    split,
                    weight,
                    fault,
                    tuple(json.loads(label)) if several else (),
                    tuple(json.loads(flags)) if flags else (),
                    remark,
                    "" if fault else sha256,
                )
            )
        return rows

    def _read_index(self) -> pd.DataFrame:
        where = f"{self.place}/{_INDEX}"
        data = _read(where, _MOST_INDEX)
        if hashlib.sha256(data).hexdigest() != self.facts.index_sha256:
            raise SourceError(f"{where}: not the index that was packed; fetch or pack it again")
        try:
            frame = pd.read_csv(
                io.BytesIO(data),
                dtype=_COLUMNS,
                keep_default_na=False,
                encoding_errors="surrogateescape",
            )
            if list(frame.columns) != list(_COLUMNS) or len(frame) != self.facts.images:
                raise ValueError(f"{len(frame):,} rows of {', '.join(map(str, frame.columns))}")
            frame = unguard_texts(frame, _TEXTS)
            self._check_stretches(frame)
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise SourceError(f"{where}: the index is damaged ({error}); pack it again") from error
        return frame

    def _check_stretches(self, frame: pd.DataFrame) -> None:
        """Refuse rows that lead outside of their shard.

        Raises:
            ValueError: If one does.
        """
        sizes = pd.Series([shard.size for shard in self.facts.shards] or [0], dtype="int64")
        packed = frame[frame["shard"] >= 0]
        if len(packed):
            ends = packed["start"] + packed["size"]
            room = sizes.reindex(packed["shard"]).to_numpy()
            if not ((packed["start"] >= 0) & (packed["size"] >= 0) & (ends <= room)).all():
                raise ValueError("an image that lies outside of its shard")
        if not set(frame["fault"]) <= {"", *KINDS} or not set(frame["split"]) <= _SPLITS:
            raise ValueError("a word that is not known")


_SPLITS = {"", "train", "validation", "test"}


def is_shards(source: str | os.PathLike[str]) -> bool:
    """Say whether a text names shards: a folder with their file, or an address but no https."""
    text = os.fspath(source)
    if is_remote(text):
        return find_stretch(text) is None
    return os.path.isfile(f"{text}/{SHARDS_FILE}")  # noqa: PTH113


def open_shards(source: str | os.PathLike[str]) -> Shards:
    """Open a folder of shards, here or behind an address, and see that the shards are whole.

    Raises:
        AbsentSourceError: If there are none.
        MissingExtraError: If a package for this kind of address is not installed.
        SourceError: If they cannot be reached, or are damaged or cut short.
    """
    place = os.fspath(source).rstrip("/")
    where = f"{place}/{SHARDS_FILE}"
    try:
        facts = PackFacts.model_validate_json(_read(where, _MOST_FACTS))
    except FileNotFoundError:
        raise AbsentSourceError(
            f"{place}: holds no shards, looked for {SHARDS_FILE}; make some by `tfclassify pack`"
        ) from None
    except (ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SourceError(
            f"{where}: damaged, or of another version of tfclassify ({reason:.160}); pack it again"
        ) from error
    for shard in facts.shards:
        _check_whole(f"{place}/{shard.name}", shard.size)
    return Shards(place, facts)


def _check_whole(path: str, size: int) -> None:
    try:
        if is_remote(path):
            system, inner = open_file_system(path)
            got = int(system.size(inner))
        else:
            got = os.path.getsize(path)  # noqa: PTH202
    except FileNotFoundError:
        raise SourceError(f"{path}: this shard is not there; fetch or pack it again") from None
    except SourceError:
        raise
    except Exception as error:  # each file system has errors of its own
        raise refuse_remote(path, error) from error
    if got != size:
        raise SourceError(
            f"{path}: this shard is not whole, got {got:,} bytes of {size:,}; fetch or pack it "
            "again"
        )


def _read(path: str, limit: int) -> bytes:
    """Read a file of the folder.

    Raises:
        FileNotFoundError: If it is not there.
        SourceError: If it cannot be read, or is larger than the limit.
    """
    try:
        if is_remote(path):
            content = read_remote(path, 0, limit + 1)
            if len(content) > limit:
                raise SourceError(f"{path}: larger than the {limit:,} bytes that are read of it")
            return content
        return read_regular(Path(path), limit=limit)
    except FileNotFoundError:
        raise
    except OSError as error:
        if is_remote(path):
            raise refuse_remote(path, error) from error
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from error


def describe_reading(data: DataRecipe) -> dict[str, Any]:
    """Return what a recipe says of how its source is read, defaults left out, as plain JSON."""
    given = data.model_dump(mode="json", include=set(READING_KEYS), exclude_defaults=True)
    return dict(given)


def write_shards(
    listing: Listing,
    folder: Path,
    data: DataRecipe,
    *,
    sha256: str | None = None,
    shard_bytes: int,
    observer: Observer = SILENT,
) -> PackFacts:
    """Write the images of a source into shards, in an order that mixes its classes.

    Args:
        listing: The source, read by ``data``.
        folder: Empty, to write into.
        data: How it was read, and of how many pixels an image may be.
        sha256: Of the archive that it came from.
        shard_bytes: A shard is closed when it has as many; an image lies in one shard.
        observer: Told of each image.

    Raises:
        OSError: If they cannot be written.
    """
    rows = sorted(listing.rows, key=lambda row: row.image)
    # Programs that read shards in sequence want neighbours of different classes.
    order = sorted(range(len(rows)), key=lambda at: image_key(rows[at].image))
    packed: list[tuple[Any, ...]] = [()] * len(rows)
    writer = _Writer(folder, shard_bytes)
    observer.on_task_start(_TASK, len(rows))
    with writer:
        for done, at in enumerate(order, start=1):
            packed[at] = _pack(rows[at], listing.is_multi_label, data.max_pixels, writer)
            observer.on_task_step(_TASK, done)
    observer.on_task_end(_TASK)
    frame = pd.DataFrame(packed, columns=list(_COLUMNS)).astype(_COLUMNS)
    table = render_csv(guard_texts(frame, _TEXTS))
    write_text(folder / _INDEX, table)
    facts = PackFacts(
        source=data.source if "://" in data.source else PurePosixPath(data.source).name,
        sha256=sha256,
        reading=describe_reading(data),
        is_multi_label=listing.is_multi_label,
        classes=listing.classes,
        findings=tuple((found.image, found.kind, found.detail) for found in listing.findings),
        images=len(rows),
        packed=int((frame["shard"] >= 0).sum()),
        index_sha256=hashlib.sha256(table.encode("utf-8", "surrogateescape")).hexdigest(),
        shards=tuple(writer.list_shards()),
    )
    write_json(folder / SHARDS_FILE, facts.model_dump(mode="json"))
    return facts


def _pack(row: Row, several: bool, max_pixels: int, writer: _Writer) -> tuple[Any, ...]:
    """Write an image and return its row of the index."""
    fault, place, sha256 = row.fault, Stretch("-1", 0, 0), ""
    if fault != "missing":
        try:
            content = read_image_file(row.path, max_pixels)
        except ImageError as error:
            fault = error.kind
        else:
            sha256 = hashlib.sha256(content).hexdigest()
            place = writer.add(_describe(row, sha256), content)
    ending = PurePosixPath(row.path).suffix
    return (
        row.image,
        int(place.shard),
        place.start,
        place.size,
        "" if row.image.endswith(ending) else ending,
        json.dumps(row.labels, ensure_ascii=False) if several else row.label,
        row.group,
        row.split,
        row.weight,
        json.dumps(row.flags, ensure_ascii=False) if row.flags else "",
        fault,
        row.remark,
        sha256,
    )


def _describe(row: Row, sha256: str) -> dict[str, Values]:
    labels = row.labels or ((row.label,) if row.label else ())
    texts: dict[str, Sequence[str]] = {
        "image/filename": [row.image],
        "image/class/text": labels,
        "image/group": [row.group] if row.group else [],
        "image/split": [row.split] if row.split else [],
        "image/flags": row.flags,
        "image/sha256": [sha256],
    }
    features: dict[str, Values] = {
        name: [text.encode("utf-8", "surrogateescape") for text in given]
        for name, given in texts.items()
    }
    return {**features, "image/weight": [row.weight]}


class _Writer:
    """Writes records into one shard after the other."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self._folder, self._most = folder, shard_bytes
        self._stream: BinaryIO | None = None
        self._sizes: list[int] = []

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, features: dict[str, Values], content: bytes) -> Stretch:
        """Write a record; return where its image lies, the shard by its number."""
        example = encode_example({**features, "image/encoded": [content]})
        if self._stream is None or self._sizes[-1] >= self._most:
            self._close()
            self._stream = (self._folder / self._name(len(self._sizes))).open("xb")
            self._sizes.append(0)
        start = self._sizes[-1] + BEFORE + len(example) - len(content)
        self._sizes[-1] += self._stream.write(frame_record(example))
        assert self._sizes[-1] == start + len(content) + AFTER
        return Stretch(str(len(self._sizes) - 1), start, len(content))

    def list_shards(self) -> Iterator[ShardFacts]:
        """Yield what was written."""
        for number, size in enumerate(self._sizes):
            yield ShardFacts(name=self._name(number), size=size)

    def _close(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            with stream:  # closed whatever a full disk says
                stream.flush()
                os.fsync(stream.fileno())

    @staticmethod
    def _name(number: int) -> str:
        return f"images-{number:05d}{SHARD_ENDING}"
