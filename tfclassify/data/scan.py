"""Looks at every image once: can it be decoded, what is it, is it there twice.

Owns: what is quarantined, fingerprints, exact duplicates, and whether the files of an index are
still what they were. Does not own: looking (``looks``), the kinds of findings (``integrity``),
near-duplicates (``leaks``).
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tfclassify.data.images import MAX_PIXELS, ImageFacts
from tfclassify.data.index import Index
from tfclassify.data.integrity import KINDS, Finding, IntegrityReport, make_report
from tfclassify.data.looks import Look, look_at_all
from tfclassify.data.places import hash_image
from tfclassify.data.scan_cache import THUMBNAIL
from tfclassify.events import SILENT, Observer

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
        got = hash_image(path)
    except FileNotFoundError:
        return f"image {image}: removed, it was {path}"
    except OSError as error:
        return f"image {image}: cannot be read any more: {error.strerror}"
    return f"image {image}: its bytes have changed" if sha256 and got != sha256 else ""


_TASK = "checking images"


@dataclass(frozen=True)
class Scan:
    """An index whose images were looked at.

    Attributes:
        index: With checksum, size, status and reason filled in.
        findings: What was found.
        thumbnails: ``(n, THUMBNAIL, THUMBNAIL, 3)`` uint8, in row order; black where an
            image cannot be read.
    """

    index: Index
    findings: tuple[Finding, ...]
    thumbnails: np.ndarray

    @property
    def report(self) -> IntegrityReport:
        """The findings as a report."""
        quarantined = int((self.index.frame["status"] != "ok").sum())
        return make_report(self.index.source, len(self.index), quarantined, self.findings)


def scan(
    index: Index,
    *,
    max_pixels: int = MAX_PIXELS,
    observer: Observer = SILENT,
    workers: int | None = None,
) -> Scan:
    """Decode every image of an index and report what is wrong or unusual.

    Images that are quarantined already are not opened.

    Args:
        index: What to look at.
        max_pixels: Images of more pixels are quarantined unread.
        observer: Told how many images are done.
        workers: Processes, where there is work for several; one a core if None. The result is
            the same for any number.

    Returns:
        The index, the findings and the thumbnails, in the order of ``index``.
    """
    columns = {
        name: index.frame[name].tolist()
        for name in ("sha256", "width", "height", "status", "reason")
    }
    thumbnails = np.zeros((len(index), THUMBNAIL, THUMBNAIL, 3), dtype=np.uint8)
    findings: list[Finding] = []
    images, paths = index.frame["image"].tolist(), index.paths()
    todo = [row for row, status in enumerate(columns["status"]) if status == "ok"]
    looks = look_at_all(
        [paths[row] for row in todo], max_pixels, workers=workers, observer=observer
    )
    observer.on_task_start(_TASK, len(todo))
    for done, (row, look) in enumerate(zip(todo, looks, strict=True), start=1):
        look = _compare_packed(look, columns["sha256"][row])
        columns["sha256"][row] = look.sha256
        if look.facts is None or look.thumbnail is None:
            kind, detail = look.fault
            findings.append(Finding(images[row], kind, detail))
            columns["status"][row] = "quarantined"
            columns["reason"][row] = KINDS[kind].title
        else:
            thumbnails[row] = look.thumbnail
            columns["width"][row], columns["height"][row] = look.facts.width, look.facts.height
            remarks = [columns["reason"][row], *(KINDS[kind].title for kind in look.facts.remarks)]
            columns["reason"][row] = "; ".join(filter(None, remarks))
            findings += _to_remarks(images[row], look.facts)
        observer.on_task_step(_TASK, done)
    observer.on_task_end(_TASK)
    scanned, repeated = find_duplicates(index.with_frame(index.frame.assign(**columns)))
    return Scan(scanned, (*findings, *repeated), thumbnails)


def _compare_packed(look: Look, sha256: str) -> Look:
    """Bar an image whose bytes are not those that its source says they are."""
    if not sha256 or look.sha256 in ("", sha256):
        return look
    fault = f"its bytes are not those that were packed, got sha256 {look.sha256}, expected {sha256}"
    return Look(look.sha256, fault=("unreadable", fault))


def _to_remarks(image: str, facts: ImageFacts) -> list[Finding]:
    detail = f"{facts.format}, {facts.width}x{facts.height}, mode {facts.mode}"
    return [Finding(image, kind, detail) for kind in facts.remarks]


def find_duplicates(index: Index) -> tuple[Index, list[Finding]]:
    """Find images with the same bytes.

    Copies under one label are remarked on. Copies under different labels are all
    quarantined, since at most one of the labels is right.

    Returns:
        The index with such images quarantined, and a finding for each copy.
    """
    frame = index.frame.copy()
    usable = frame[(frame["status"] == "ok") & (frame["sha256"] != "")]
    copies = usable[usable["sha256"].duplicated(keep=False)]
    findings = []
    for _, group in copies.groupby("sha256", sort=True):
        rows = group.sort_values("image")
        if rows["label"].nunique() == 1:
            findings += [
                Finding(image, "duplicate", f"same bytes as {rows['image'].iloc[0]}")
                for image in rows["image"].iloc[1:]
            ]
            continue
        findings += _describe_conflict(rows)
        frame.loc[rows.index, "status"] = "quarantined"
        frame.loc[rows.index, "reason"] = KINDS["label_conflict"].title
    return index.with_frame(frame), findings


def _describe_conflict(rows: pd.DataFrame) -> list[Finding]:
    named = [
        f"{image} ({label or 'no label'})"
        for image, label in zip(rows["image"], rows["label"], strict=True)
    ]
    return [
        Finding(image, "label_conflict", "same bytes: " + ", ".join(named))
        for image in rows["image"]
    ]
