"""The one pass that predicts: a network over decoded images, in the order of their rows.

Owns: batches that are read while the network works. Does not own: decoding
(``pipeline.cache``), the views of an image and files of any kind (``inference``).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from tfclassify.errors import ModelError
from tfclassify.events import SILENT, Observer
from tfclassify.pipeline.cache import ImageStore

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Forward passes that go through the network together: enough to keep two cores or
#: a GPU busy, few enough that the activations of a 224-pixel network fit anywhere.
BATCH_SIZE = 64
#: Rows of answers that are looked at together.
_CHECKED = 4096


def predict_store(
    network: Callable[[np.ndarray], Any],
    images: ImageStore,
    batch_size: int = BATCH_SIZE,
    observer: Observer = SILENT,
    make_array: Callable[[tuple[int, ...], np.dtype[Any]], np.ndarray] = np.empty,
) -> np.ndarray:
    """Run a network over every image of a store, in row order.

    Args:
        network: From images ``(b, H, W, 3)`` uint8 to whatever it says of each, an array
            or tensor ``(b, ...)``: logits, probabilities, features.
        images: The decoded images.
        batch_size: Images that go through the network together.
        observer: Told of the task ``predict``.
        make_array: Makes what holds the answers, of a shape and type; in memory by default.

    Returns:
        What it says, ``(images, ...)``.

    Raises:
        ImageError: If an image cannot be read; names its path.
        ModelError: If an answer is not finite.
    """
    starts = range(0, len(images), batch_size)
    positions = [np.arange(start, min(start + batch_size, len(images))) for start in starts]
    if not positions:  # some kernels refuse an empty batch; a black image tells the shape
        return np.asarray(network(np.zeros((1, *images.image_size, 3), np.uint8)))[:0]
    answer: np.ndarray | None = None
    waiting: list[tuple[np.ndarray, Any]] = []

    def collect() -> np.ndarray:
        rows, said = waiting.pop(0)
        part = np.asarray(said)
        whole = make_array((len(images), *part.shape[1:]), part.dtype) if answer is None else answer
        whole[rows] = part
        return whole

    done = 0
    observer.on_task_start("predict", len(images))
    batches = work_ahead(images.read, positions, workers=1, ahead=2)
    for rows, batch in zip(positions, batches, strict=True):
        waiting.append((rows, network(batch)))
        if len(waiting) == 2:
            answer = collect()  # while the network is at the next
        done += len(rows)
        observer.on_task_step("predict", done)
    answer = collect()
    observer.on_task_end("predict")
    refuse_infinite(answer)
    return answer


def refuse_infinite(answer: np.ndarray) -> None:
    """Refuse answers ``(images, ...)`` that hold NaN or infinity.

    Raises:
        ModelError: If there are some.
    """
    broken = 0
    for start in range(0, len(answer), _CHECKED):  # the answers may be larger than the memory
        part = answer[start : start + _CHECKED]
        broken += int((~np.isfinite(part)).reshape(len(part), -1).any(axis=1).sum())
    if broken:
        raise ModelError(
            f"predict: the network's answer is not finite (NaN or infinite) for {broken} of "
            f"{len(answer)} images; its weights or its precision overflow: train again at a lower "
            "learning_rate, or with runtime.precision: float32"
        )


def work_ahead(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int
) -> Iterator[Result]:
    """Yield ``work(item)`` in the order of the items, up to ``ahead`` of them done early.

    What ``work`` raises is raised when its result is due.
    """
    remaining = iter(items)
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
    try:
        pending.extend(pool.submit(work, item) for item in islice(remaining, ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(work, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
