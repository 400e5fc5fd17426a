"""Micro-batching: what many clients ask at once goes through the network together.

Owns: the queue before a model, the one thread that it runs in, and when a batch is full
enough. Does not own: how many may wait (``service``).

A batch is sent as soon as nothing more is on its way, so that one client alone never waits;
while others are still being decoded it waits for them, up to a deadline. While the network
works, what comes meanwhile makes the next batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")

#: How much the last batch counts in the pace.
_PACE_SHARE = 0.2


@dataclass
class _Question:
    """Images that came together, and where their answer goes."""

    images: np.ndarray
    answer: asyncio.Future[np.ndarray]
    asked_at: float = field(default_factory=time.perf_counter)


class Batcher:
    """The queue before one model; use it from one event loop.

    Args:
        ask: Images ``(n, H, W, 3)`` float32 to answers ``(n, ...)``; called in a thread of
            its own, never twice at a time.
        batch_size: Images that go through the network together at most; those of one
            question stay together, however many.
        wait_ms: Longest wait of the first of a batch for others that are on their way.
        is_more_coming: Whether there are requests that have not asked yet.
        on_batch: Told of the images of each batch, and of the seconds it took.

    Attributes:
        pace: Seconds that an image takes, of late; 0 before the first.
    """

    def __init__(
        self,
        ask: Callable[[np.ndarray], np.ndarray],
        *,
        batch_size: int = 32,
        wait_ms: float = 5.0,
        is_more_coming: Callable[[], bool] = lambda: False,
        on_batch: Callable[[int, float], None] = lambda count, seconds: None,
    ) -> None:
        self._ask, self._batch_size, self._wait = ask, batch_size, wait_ms / 1000
        self._is_more_coming, self._on_batch = is_more_coming, on_batch
        self._waiting: deque[_Question] = deque()
        self._has_come = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._work: asyncio.Task[None] | None = None
        self._is_busy = False
        self.pace = 0.0

    @property
    def waiting(self) -> int:
        """Images in the queue."""
        return sum(len(question.images) for question in self._waiting)

    async def ask(self, images: np.ndarray) -> np.ndarray:
        """Return what the model says of images ``(n, H, W, 3)``."""
        if self._work is None:
            self._work = asyncio.create_task(self._answer_all())
        question = _Question(images, asyncio.get_running_loop().create_future())
        self._waiting.append(question)
        self._has_come.set()
        return await question.answer

    async def run(self, work: Callable[..., Result], *given: Any) -> Result:
        """Do other work in the model's thread, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *given)

    async def close(self) -> None:
        """Answer what was asked, then end; nothing may be asked any more."""
        while self._waiting or self._is_busy:
            await asyncio.sleep(0.005)
        if self._work is not None:
            self._work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._work
        self._thread.shutdown(wait=False)

    async def _answer_all(self) -> None:
        while True:
            self._has_come.clear()
            if not self._waiting:
                await self._has_come.wait()
            await self._gather()
            batch = self._take()
            if batch:
                self._is_busy = True
                await self._answer(batch)
                self._is_busy = False

    async def _gather(self) -> None:
        """Wait until the batch is full, nothing more is coming, or the first waited enough."""
        while self._waiting and self.waiting < self._batch_size and self._is_more_coming():
            rest = self._waiting[0].asked_at + self._wait - time.perf_counter()
            if rest <= 0:
                return
            self._has_come.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._has_come.wait(), rest)

    def _take(self) -> list[_Question]:
        """Take the questions of the next batch; who does not wait any more is left out."""
        batch: list[_Question] = []
        count = 0
        while self._waiting:
            question = self._waiting[0]
            if question.answer.done():
                self._waiting.popleft()
                continue
            if batch and count + len(question.images) > self._batch_size:
                break
            batch.append(self._waiting.popleft())
            count += len(question.images)
        return batch

    async def _answer(self, batch: list[_Question]) -> None:
        images = np.concatenate([question.images for question in batch])
        started = time.perf_counter()
        try:
            answers = await self.run(self._ask, images)
        except Exception as error:  # every client is told; the next batch may do
            for question in batch:
                if not question.answer.done():
                    question.answer.set_exception(error)
            return
        seconds = time.perf_counter() - started
        self._on_batch(len(images), seconds)
        self.pace += (seconds / len(images) - self.pace) * (_PACE_SHARE if self.pace else 1.0)
        start = 0
        for question in batch:
            end = start + len(question.images)
            if not question.answer.done():
                question.answer.set_result(answers[start:end])
            start = end
