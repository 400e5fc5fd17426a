"""Looking at many images once, on as many cores as there are.

Owns: what one look shows, looking here or in worker processes, in order, what is known already.
Does not own: what is made of it (``scan``), keeping it (``scan_cache``), processes
(``executors``).

Pillow decodes small images for less time than Python takes around it, and threads share one
interpreter, so they do not get far: beyond a few seconds of work processes do it. Behind an
address the work is waiting, and threads do it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from tfclassify.data.images import ImageFacts, decode_with_facts
from tfclassify.data.places import Mark, find_stretch, is_remote, read_image_file, stat_image
from tfclassify.data.scan_cache import THUMBNAIL, ScanCache, Seen
from tfclassify.errors import ImageError, JobError
from tfclassify.events import SILENT, Observer
from tfclassify.executors.jobs import Job
from tfclassify.executors.processes import Processes

#: Images looked at before anything is handed over: to a thread, and to a process.
_TOGETHER, _BLOCK = 32, 128
#: Seconds of work left from which processes, which take half a second to start, are worth it.
_WORTH_S = 3.0
#: Threads that wait for what lies behind an address.
_READERS = 16


class Look(NamedTuple):
    """What one image showed.

    Attributes:
        sha256: Of the file's bytes; empty if they could not be read.
        facts: What the file says about its image; None if it is unusable.
        thumbnail: uint8 RGB, ``(THUMBNAIL, THUMBNAIL, 3)``; None if it is unusable.
        fault: Kind and detail of what makes it unusable; both empty if nothing does.
        mark: Of its file, from before it was read.
    """

    sha256: str
    facts: ImageFacts | None = None
    thumbnail: np.ndarray | None = None
    fault: tuple[str, str] = ("", "")
    mark: Mark | None = None


def look_at_all(
    paths: Sequence[str],
    max_pixels: int,
    *,
    workers: int | None = None,
    observer: Observer = SILENT,
) -> Iterator[Look]:
    """Look at images, in order, with few results waiting at a time.

    Args:
        paths: Of the images.
        max_pixels: Images of more pixels are unusable.
        workers: Processes, once there is work for several; None: one a core.
        observer: Told of a worker that died.
    """
    cache = ScanCache(paths)
    known = [cache.find(path, max_pixels) for path in paths]
    unknown = [path for path, seen in zip(paths, known, strict=True) if seen is None]
    fresh = _look_at_new(unknown, max_pixels, workers or os.cpu_count() or 1, observer)
    for path, seen in zip(paths, known, strict=True):
        if seen is not None:
            yield Look(*seen)
            continue
        look = next(fresh)
        if look.facts is not None and look.thumbnail is not None:
            cache.add(path, Seen(look.sha256, look.facts, look.thumbnail), look.mark)
        yield look
    cache.save()


def _look_at_new(
    paths: list[str], max_pixels: int, workers: int, observer: Observer
) -> Iterator[Look]:
    """Look at a first few here, and choose by their time where to look at the others."""
    if paths and _is_remote(paths[0]):
        yield from _look_in_threads(paths, max_pixels, _READERS)
        return
    started = time.perf_counter()
    yield from _look_in_threads(paths[:_BLOCK], max_pixels, workers)
    seconds = time.perf_counter() - started
    rest = paths[_BLOCK:]
    if workers > 1 and seconds * len(rest) / _BLOCK > _WORTH_S:
        yield from _look_in_processes(rest, max_pixels, workers, observer)
    else:
        yield from _look_in_threads(rest, max_pixels, workers)


def _is_remote(path: str) -> bool:
    stretch = find_stretch(path)
    return stretch is not None and is_remote(stretch.shard)


def _look_in_threads(paths: list[str], max_pixels: int, workers: int) -> Iterator[Look]:
    def look_at_some(some: list[str]) -> list[Look]:
        return [look_at(path, max_pixels) for path in some]

    # A sliding window, since `pool.map` would queue a million images at once.
    window: deque[Future[list[Look]]] = deque()
    with ThreadPoolExecutor(workers, "look") as pool:
        for some in _split(paths, _TOGETHER):
            window.append(pool.submit(look_at_some, some))
            if len(window) > 4 * workers:
                yield from window.popleft().result()
        while window:
            yield from window.popleft().result()


def _look_in_processes(
    paths: list[str], max_pixels: int, workers: int, observer: Observer
) -> Iterator[Look]:
    """Look at blocks in worker processes; what fails there is looked at here, and told here."""
    blocks = list(_split(paths, _BLOCK))
    call = f"{look_at_block.__module__}:{look_at_block.__name__}"
    ready: dict[int, list[Look] | None] = {}
    handed = 0
    with Processes(workers, threads=1, observer=observer) as executor:
        for number, block in enumerate(blocks):
            while number not in ready:
                try:
                    while handed < min(len(blocks), number + 4 * workers):
                        arguments = {"paths": blocks[handed], "max_pixels": max_pixels}
                        executor.submit(Job(str(handed), call, arguments))
                        handed += 1
                except JobError:  # no process can be started
                    yield from _look_in_threads(
                        [path for block in blocks[number:] for path in block], max_pixels, workers
                    )
                    return
                done = executor.wait()
                is_done = done.error is None
                ready[int(done.job.name)] = (
                    [_from_plain(*each) for each in done.value] if is_done else None
                )
            looks = ready.pop(number)
            yield from looks or _look_in_threads(block, max_pixels, 1)


def _split(paths: list[str], size: int) -> Iterator[list[str]]:
    return (paths[start : start + size] for start in range(0, len(paths), size))


def look_at_block(
    paths: list[str], max_pixels: int, observer: Observer = SILENT
) -> list[list[Any]]:
    """Look at some images in a worker process, and write what they show as plain JSON."""
    return [_to_plain(look_at(path, max_pixels)) for path in paths]


def _to_plain(look: Look) -> list[Any]:
    small = look.thumbnail
    pixels = None if small is None else base64.b64encode(small.tobytes()).decode()
    facts = look.facts and [getattr(look.facts, name) for name in ImageFacts.__dataclass_fields__]
    return [look.sha256, facts, pixels, look.fault, look.mark]


def _from_plain(
    sha256: str,
    facts: list[Any] | None,
    pixels: str | None,
    fault: list[str],
    mark: list[int] | None,
) -> Look:
    kind, detail = fault
    taken = mark and Mark(*mark)
    if facts is None or pixels is None:
        return Look(sha256, fault=(kind, detail), mark=taken or None)
    width, height, form, mode, remarks = facts
    thumbnail = np.frombuffer(base64.b64decode(pixels), np.uint8)
    thumbnail = thumbnail.reshape(THUMBNAIL, THUMBNAIL, 3)
    return Look(
        sha256, ImageFacts(width, height, form, mode, tuple(remarks)), thumbnail, mark=taken or None
    )


def look_at(path: str, max_pixels: int) -> Look:
    """Read and decode one image."""
    digest, mark = "", stat_image(path)
    try:
        data = read_image_file(path, max_pixels)
        digest = hashlib.sha256(data).hexdigest()
        facts, thumbnail = decode_with_facts(
            data, (THUMBNAIL, THUMBNAIL), max_pixels=max_pixels, where=path
        )
    except ImageError as error:
        # The image's name stands beside the detail, so the path need not be in it.
        return Look(digest, fault=(error.kind, str(error).removeprefix(f"{path}: ")), mark=mark)
    return Look(digest, facts, thumbnail, mark=mark)
