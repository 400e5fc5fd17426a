"""What a server of models holds: the models, who is let in, and taking over newer ones.

Owns: admission up to a limit, the models by name, replacing one without dropping a request,
and the way from uploads to answers. Does not own: addresses and words (``serving``).
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tfclassify.data.images import ImageFacts
from tfclassify.errors import ImageError
from tfclassify.web.batching import Batcher
from tfclassify.web.metrics import Metrics
from tfclassify.web.served_model import ServedModel, locate_model
from tfclassify.web.uploads import Limits, Refusal, Upload

Result = TypeVar("Result")


@dataclass(frozen=True)
class Decoded:
    """An upload as the model sees it, or why it cannot be used.

    Attributes:
        upload: What came.
        facts: What its file says; None where it cannot be used.
        pixels: ``(H, W, 3)`` uint8; None where it cannot be used.
        error: Why it cannot be used; None where it can.
    """

    upload: Upload
    facts: ImageFacts | None = None
    pixels: np.ndarray | None = None
    error: ImageError | None = None


class Slot:
    """A place for a model that is served, and its queue; the model in it may be replaced."""

    def __init__(self, model: ServedModel, make_batcher: Callable[[ServedModel], Batcher]) -> None:
        self.model, self.batcher = model, make_batcher(model)
        self._users = 0

    @contextmanager
    def use(self) -> Iterator[Slot]:
        """Keep the model while a request needs it."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1

    async def retire(self) -> None:
        """End the queue when the last request that began with this model is answered."""
        while self._users:
            await asyncio.sleep(0.01)
        await self.batcher.close()


class Service:
    """Models behind one door.

    Attributes:
        limits: What is taken.
        metrics: What is counted.
        is_ready: Whether requests should be sent here.

    Args:
        models: What is served; the first answers where none is named.
        limits: What is taken.
        metrics: Where it is counted.
        batch_size: As ``Batcher``.
        wait_ms: As ``Batcher``.
    """

    def __init__(
        self,
        models: Sequence[ServedModel],
        *,
        limits: Limits | None = None,
        metrics: Metrics | None = None,
        batch_size: int = 32,
        wait_ms: float = 5.0,
    ) -> None:
        self.limits, self.metrics = limits or Limits(), metrics or Metrics()
        self.is_ready = True
        self._batch_size, self._wait_ms = batch_size, wait_ms
        self._inside = 0
        self._slots = {model.name: Slot(model, self._make_batcher) for model in models}
        cores = os.cpu_count() or 1
        self._decoders = ThreadPoolExecutor(min(8, cores), thread_name_prefix="decode")
        self._retiring: set[asyncio.Task[None]] = set()

    def _make_batcher(self, model: ServedModel) -> Batcher:
        return Batcher(
            model.ask,
            batch_size=self._batch_size,
            wait_ms=self._wait_ms,
            is_more_coming=self._is_more_coming,
            on_batch=self.metrics.count_batch,
        )

    def _is_more_coming(self) -> bool:
        """Whether images are under way that are in no queue yet."""
        return self._inside > sum(slot.batcher.waiting for slot in self._slots.values())

    @property
    def models(self) -> list[ServedModel]:
        """The models that are served now."""
        return [slot.model for slot in self._slots.values()]

    def find(self, name: str = "") -> Slot:
        """Return the slot of a model; the first where no name is given.

        Raises:
            Refusal: If there is none of that name.
        """
        if not name:
            return next(iter(self._slots.values()))
        if name not in self._slots:
            raise Refusal(
                404,
                "unknown_model",
                f"model {name!r}: not served here; there is {', '.join(self._slots)}",
            )
        return self._slots[name]

    @contextmanager
    def admit(self) -> Iterator[Callable[[int], None]]:
        """Let a request in, unless too much is under way; yields how to say that it holds more.

        Raises:
            Refusal: If there is no room, with the seconds after which there may be.
        """
        held = 0

        def take(count: int) -> None:
            nonlocal held
            wait = (self._inside + count) * max(slot.batcher.pace for slot in self._slots.values())
            # What would wait longer than half of its time would hardly be answered within it.
            is_late = self._inside > held and wait > self.limits.seconds / 2
            if is_late or self._inside + count > self.limits.waiting:
                self.metrics.add("tfclassify_refused_total")
                raise Refusal(
                    429,
                    "busy",
                    f"{self._inside} images are under way, allowed are {self.limits.waiting}, and "
                    f"no more than half of {self.limits.seconds:g} s takes; try again later",
                    retry_after=max(1, math.ceil(wait / 2)),
                )
            held += count
            self._count(count)

        take(1)
        try:
            yield take
        finally:
            self._count(-held)

    def _count(self, change: int) -> None:
        self._inside += change
        self.metrics.set("tfclassify_waiting_images", self._inside)

    async def within_time(self, work: Awaitable[Result]) -> Result:
        """Await work, for as long as a request may take.

        Raises:
            Refusal: If it takes longer.
        """
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await work
        except TimeoutError:
            raise Refusal(
                504,
                "timeout",
                f"not answered within {self.limits.seconds:g} s; send fewer or smaller images, or "
                "try again later",
                retry_after=1,
            ) from None

    async def decode(self, model: ServedModel, uploads: Sequence[Upload]) -> list[Decoded]:
        """Decode uploads in threads; what cannot be used says why."""

        def decode_one(upload: Upload) -> Decoded:
            try:
                facts, pixels = model.decode(upload.content, upload.name, self.limits.pixels)
            except ImageError as error:
                return Decoded(upload, error=error)
            return Decoded(upload, facts, pixels)

        loop = asyncio.get_running_loop()
        work = [loop.run_in_executor(self._decoders, decode_one, upload) for upload in uploads]
        decoded = list(await asyncio.gather(*work))
        bad = sum(each.error is not None for each in decoded)
        self.metrics.add("tfclassify_bad_images_total", bad)
        self.metrics.add("tfclassify_images_total", len(decoded) - bad)
        return decoded

    async def predict(self, slot: Slot, decoded: Sequence[Decoded]) -> np.ndarray:
        """Return the probabilities of each upload ``(n, classes)``; NaN where it has none."""
        chances = np.full((len(decoded), len(slot.model.classes)), np.nan, np.float32)
        usable = {row: each.pixels for row, each in enumerate(decoded) if each.pixels is not None}
        if usable:
            pixels = np.stack(list(usable.values())).astype(np.float32)
            chances[list(usable)] = await slot.batcher.ask(pixels)
        return chances

    async def replace(self, model: ServedModel) -> None:
        """Put a model in the place of the one of its name; requests that are in go on with that."""
        old = self._slots[model.name]
        self._slots[model.name] = Slot(model, self._make_batcher)
        self.metrics.add("tfclassify_reloads_total")
        retiring = asyncio.create_task(old.retire())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    async def close(self) -> None:
        """Answer what was asked, then end."""
        await asyncio.gather(*(slot.retire() for slot in self._slots.values()), *self._retiring)
        self._decoders.shutdown(wait=False)


async def watch(
    service: Service,
    name: str,
    path: Any,
    reopen: Callable[[], ServedModel],
    seconds: float,
    tell: Callable[[str], None],
) -> None:
    """Take over a newer model where one appears, until cancelled.

    Args:
        service: Which serves.
        name: The model's.
        path: As ``open_model``; a run's name means the newest run.
        reopen: Opens what the path means now, under the same name.
        seconds: Between two looks.
        tell: Told of each model taken over, and of each that could not be.
    """
    loop = asyncio.get_running_loop()
    refused = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            folder, version = await loop.run_in_executor(None, locate_model, path)
            if version in (service.find(name).model.version, refused):
                continue
            refused = version
            await service.replace(await loop.run_in_executor(None, reopen))
            tell(f"{folder}: version {version} is served now")
        except Exception as error:  # the model that is served goes on being served
            tell(f"{path}: the newer model cannot be taken over: {error}")
