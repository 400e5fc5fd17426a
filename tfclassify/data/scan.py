"""Looks at every image once: can it be decoded, what is it, is it there twice.

Owns: reading in threads, checksums, fingerprints, what is quarantined, and whether the files
of an index are still what they were. Does not own: the kinds of findings (``integrity``),
near-duplicates (``leaks``).
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tfclassify.data.images import MAX_PIXELS, ImageFacts, decode_with_facts
from tfclassify.data.index import Index
from tfclassify.data.integrity import KINDS, Finding, IntegrityReport, make_report
from tfclassify.data.places import hash_image, read_image_file, stat_image
from tfclassify.data.scan_cache import THUMBNAIL, ScanCache, Seen
from tfclassify.errors import ImageError
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


#: Images that one thread looks at before it hands over.
_TOGETHER = 32
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


class _Look(NamedTuple):
    """What one image showed."""

    sha256: str
    facts: ImageFacts | None = None
    thumbnail: np.ndarray | None = None
    fault: tuple[str, str] = ("", "")


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
        workers: Threads; one a processor if None.

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
    looks = _look_at_all([paths[row] for row in todo], max_pixels, workers)
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


def _look_at_all(paths: list[str], max_pixels: int, workers: int | None) -> Iterator[_Look]:
    """Look at images that are not known already, in order, with few results waiting at a time."""
    workers = workers or os.cpu_count() or 1
    cache = ScanCache(paths)
    known = [cache.find(path, max_pixels) for path in paths]
    unknown = [path for path, seen in zip(paths, known, strict=True) if seen is None]

    def look_at_some(some: list[str]) -> list[_Look]:
        looks = []
        for path in some:
            facts = stat_image(path)
            look = _look_at(path, max_pixels)
            if look.facts is not None and look.thumbnail is not None:
                cache.add(path, Seen(look.sha256, look.facts, look.thumbnail), facts)
            looks.append(look)
        return looks

    with ThreadPoolExecutor(workers) as pool:
        fresh = _look_ahead(pool, look_at_some, unknown, 4 * workers)
        for seen in known:
            yield next(fresh) if seen is None else _Look(*seen)
    cache.save()


def _look_ahead(
    pool: ThreadPoolExecutor, look: Callable[[list[str]], list[_Look]], paths: list[str], ahead: int
) -> Iterator[_Look]:
    """Yield what images show, several to a task, since handing over costs as much as looking."""
    # A sliding window, since `pool.map` would queue a million images at once.
    window: deque[Future[list[_Look]]] = deque()
    for start in range(0, len(paths), _TOGETHER):
        window.append(pool.submit(look, paths[start : start + _TOGETHER]))
        if len(window) > ahead:
            yield from window.popleft().result()
    while window:
        yield from window.popleft().result()


def _look_at(path: str, max_pixels: int) -> _Look:
    digest = ""
    try:
        data = read_image_file(path, max_pixels)
        digest = hashlib.sha256(data).hexdigest()
        facts, thumbnail = decode_with_facts(
            data, (THUMBNAIL, THUMBNAIL), max_pixels=max_pixels, where=path
        )
    except ImageError as error:
        # The image's name stands beside the detail, so the path need not be in it.
        return _Look(digest, fault=(error.kind, str(error).removeprefix(f"{path}: ")))
    return _Look(digest, facts, thumbnail)


def _compare_packed(look: _Look, sha256: str) -> _Look:
    """Bar an image whose bytes are not those that its source says they are."""
    if not sha256 or look.sha256 in ("", sha256):
        return look
    fault = f"its bytes are not those that were packed, got sha256 {look.sha256}, expected {sha256}"
    return _Look(look.sha256, fault=("unreadable", fault))


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
