"""The index: one row an image, everything known about it before it is decoded.

Owns: the table's columns, the safe ways to narrow it, and its file, ``index.csv`` of a run.
Does not own: where rows come from (``readers``), how they are split (``splits``).

The file is plain CSV, for any program. What a table cannot hold, the order of the
classes, the name of the source and whether images may have several labels, lies in
``index.json`` beside it. A text that a spreadsheet would run as a formula has an
apostrophe in front in the file, and not in the index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from tfclassify.errors import DataError, explain_unread
from tfclassify.files import Document, guard_formula, render_csv, write_json, write_text
from tfclassify.recipe.data_schema import JOINING_SIGN

#: Column -> dtype of an index, in the order of ``index.csv``.
COLUMNS = {
    "image": "str",  # stable name: POSIX path relative to the source; unique
    "path": "str",  # where the file is now
    "label": "str",  # class name, "" if unlabelled; multi-label: names joined with JOINING_SIGN
    "group": "str",  # rows of one group never straddle a split; "" if none
    "split": "str",  # train | validation | test | "" (not yet split)
    "weight": "float64",  # per-image weight, 1.0 by default
    "flags": "str",  # marks of the image, such as "blurred", joined with JOINING_SIGN
    "status": "str",  # ok | quarantined
    "reason": "str",  # why it was quarantined, or a remark; "" if nothing
    "sha256": "str",  # of the file's bytes; "" until scanned
    "width": "int64",  # pixels after EXIF rotation; 0 until scanned
    "height": "int64",
}


@dataclass(frozen=True)
class Index:
    """A table of images and the names of their classes.

    Attributes:
        frame: One row an image, with the columns of ``COLUMNS``, numbered from 0.
        classes: Class names; a label's position here is its class id.
        source: What the index was read from, for messages.
        is_multi_label: Whether an image may have several labels, or none; an empty
            label then says that none of the classes is in the image.
    """

    frame: pd.DataFrame
    classes: tuple[str, ...]
    source: str
    is_multi_label: bool = False

    @property
    def task(self) -> str:
        """What can be trained on it, as in a recipe."""
        return "multi_label" if self.is_multi_label else "multi_class"

    def __len__(self) -> int:
        return len(self.frame)

    def with_frame(self, frame: pd.DataFrame) -> Index:
        """Return this index over other rows, renumbered from 0."""
        return replace(self, frame=frame.reset_index(drop=True))

    def usable(self) -> Index:
        """Return the rows that are not quarantined."""
        return self.with_frame(self.frame[self.frame["status"] == "ok"])

    def in_split(self, split: str) -> Index:
        """Return the usable rows of one split."""
        is_in = (self.frame["split"] == split) & (self.frame["status"] == "ok")
        return self.with_frame(self.frame[is_in])

    def paths(self) -> list[str]:
        """Return where the files are, in row order."""
        return self.frame["path"].tolist()

    def label_sets(self) -> list[tuple[str, ...]]:
        """Return the labels of each image, in row order; none for an unlabelled one."""
        labels = self.frame["label"].tolist()
        if self.is_multi_label:
            return [tuple(label.split(JOINING_SIGN)) if label else () for label in labels]
        return [(label,) if label else () for label in labels]

    def targets(self) -> np.ndarray:
        """Return what a model should answer, ``(n, classes)`` float32.

        Each row is one-hot, or in a multi-label index multi-hot: 1 for each class that
        is in the image, all 0 where none is.

        Raises:
            DataError: If a label is not among the classes, or an image of a multi-class
                index has none.
        """
        marks = self.mark_labels()
        if not self.is_multi_label and not marks.any(axis=1).all():
            image = self.frame["image"].iloc[int(np.argmin(marks.any(axis=1)))]
            raise DataError(
                f"{self.source}: image {image!r} has no label; label it or leave it out"
            )
        return marks.astype(np.float32)

    def mark_labels(self) -> np.ndarray:
        """Return which labels each image has, bool ``(n, classes)``; any may have none.

        Raises:
            DataError: If a label is not among the classes.
        """
        positions = {name: number for number, name in enumerate(self.classes)}
        marks = np.zeros((len(self), len(self.classes)), dtype=bool)
        for row, labels in enumerate(self.label_sets()):
            for label in labels:
                if label not in positions:
                    raise self._unknown_class(self.frame["image"].iloc[row], label)
                marks[row, positions[label]] = True
        return marks

    def _unknown_class(self, image: str, label: str) -> DataError:
        return DataError(
            f"{self.source}: image {image!r} has the class {label!r}, "
            f"which is not among the {len(self.classes)} classes"
        )

    def keys(self) -> np.ndarray:
        """Return the address of each image for randomness, ``(n,)`` int64.

        A key depends on the image's stable name alone, so neither its row nor
        the folder that the data lies in changes what happens to it.
        """
        return np.array([image_key(name) for name in self.frame["image"]], dtype=np.int64)


def image_key(name: str) -> int:
    """Hash an image's stable name to a non-negative 63-bit integer."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_frame(images: Sequence[str], paths: Sequence[str], **columns: object) -> pd.DataFrame:
    """Build a frame with every column, filled with defaults where not given.

    Raises:
        DataError: If two rows have the same image name.
    """
    frame = pd.DataFrame({"image": list(images), "path": list(paths)})
    defaults = {"str": "", "float64": 1.0, "int64": 0}
    for name, dtype in COLUMNS.items():
        if name not in frame:
            frame[name] = columns.get(name, "ok" if name == "status" else defaults[dtype])
        frame[name] = frame[name].astype(dtype)
    repeated = frame["image"].duplicated()
    if repeated.any():
        raise DataError(f"image {frame['image'][repeated].iloc[0]!r} is listed twice")
    return frame[list(COLUMNS)]


#: Columns that earlier versions did not write; all are empty there.
_LATER = ("flags",)
_TEXTS = ("image", "path", "label", "group", "flags", "reason")
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class IndexFacts(Document):
    """What a table cannot hold: ``index.json``.

    Attributes:
        source: As the user named it.
        classes: In their order.
        is_multi_label: Whether an image may have several labels.
        guarded: Whether texts that are formulas have an apostrophe in front.
    """

    source: str
    classes: tuple[str, ...]
    is_multi_label: bool = False
    guarded: bool = False


def save_index(index: Index, path: Path) -> None:
    """Write an index to ``path`` and its ``.json`` neighbour, each atomically."""
    frame = guard_texts(index.frame, _TEXTS)
    facts = IndexFacts(
        source=index.source, classes=index.classes, is_multi_label=index.is_multi_label
    )
    write_json(path.with_suffix(".json"), facts.model_dump() | {"guarded": True})
    write_text(path, render_csv(frame))


def load_index(path: Path) -> Index:
    """Read an index that ``save_index`` wrote, of this version or an earlier one.

    Raises:
        DataError: If a file is absent, damaged, or is no such index.
    """
    try:
        frame = pd.read_csv(
            path, dtype=COLUMNS, keep_default_na=False, encoding_errors="surrogateescape"
        )
        facts = IndexFacts.read(path.with_suffix(".json"))
    except _DAMAGE as error:
        reason = explain_unread(error, "train again")
        raise DataError(f"{path}: the index cannot be read: {reason}") from error
    if list(frame.columns) == [name for name in COLUMNS if name not in _LATER]:
        frame = frame.assign(**dict.fromkeys(_LATER, "")).astype(COLUMNS)[list(COLUMNS)]
    if list(frame.columns) != list(COLUMNS):
        raise DataError(
            f"{path}: this is no index, got the columns {', '.join(map(str, frame.columns))}; "
            f"expected {', '.join(COLUMNS)}"
        )
    if facts.guarded:
        frame = unguard_texts(frame, _TEXTS)
    return Index(frame, facts.classes, facts.source, facts.is_multi_label)


def guard_texts(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Put an apostrophe before each text of a table that a spreadsheet would run."""
    return frame.assign(**{name: frame[name].map(_guard) for name in names})


def unguard_texts(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Undo ``guard_texts``."""
    return frame.assign(**{name: frame[name].str.removeprefix("'").astype("str") for name in names})


def _guard(text: str) -> str:
    """Put an apostrophe before a formula, and before an apostrophe to tell them apart."""
    return f"'{text}" if text.startswith("'") else guard_formula(text)
