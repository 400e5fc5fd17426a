"""The queue before a model: what goes together, what waits, who is told of a fault."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import numpy as np
import pytest

from tfclassify.web.batching import Batcher


def images(*values: float) -> np.ndarray:
    """Make one image of one pixel a value."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


class Model:
    """Doubles what it is asked, and notes each call; waits while ``is_open`` is not set."""

    def __init__(self) -> None:
        self.calls: list[list[float]] = []
        self.is_open = threading.Event()
        self.is_open.set()
        self.has_begun = threading.Event()

    def __call__(self, asked: np.ndarray) -> np.ndarray:
        self.calls.append(asked.ravel().tolist())
        self.has_begun.set()
        self.is_open.wait(300)
        if 13 in asked:
            raise ValueError("13 is too much")
        return asked.reshape(-1, 1) * 2


async def ask_all(batcher: Batcher, *questions: np.ndarray) -> list[Any]:
    work = (batcher.ask(question) for question in questions)
    return await asyncio.gather(*work, return_exceptions=True)


def test_what_comes_while_the_model_works_goes_together() -> None:
    model, batches = Model(), []

    async def run() -> list[Any]:
        batcher = Batcher(model, batch_size=4, on_batch=lambda n, seconds: batches.append(n))
        model.is_open.clear()
        first = asyncio.create_task(batcher.ask(images(1)))
        await asyncio.to_thread(model.has_begun.wait, 300)
        rest = asyncio.create_task(ask_all(batcher, images(2, 3), images(4), images(5, 6)))
        await asyncio.sleep(0)
        model.is_open.set()
        answers = [await first, *(await rest)]
        await batcher.close()
        return answers

    answers = [answer.ravel().tolist() for answer in asyncio.run(run())]
    assert answers == [[2], [4, 6], [8], [10, 12]]
    # Those of one question stay together: 2 more would be 5.
    assert model.calls == [[1], [2, 3, 4], [5, 6]]
    assert batches == [1, 3, 2]


def test_one_client_alone_does_not_wait_but_others_on_their_way_are_waited_for() -> None:
    model = Model()
    coming = [False]

    async def run() -> None:
        batcher = Batcher(model, wait_ms=60_000, is_more_coming=lambda: coming[0])
        await batcher.ask(images(1))  # would take a minute
        coming[0] = True
        first = asyncio.create_task(batcher.ask(images(2)))
        await asyncio.sleep(0.01)
        assert model.calls == [[1]]
        second = asyncio.create_task(batcher.ask(images(3)))
        await asyncio.sleep(0)
        coming[0] = False
        third = asyncio.create_task(batcher.ask(images(4)))
        await asyncio.gather(first, second, third)
        coming[0] = True
        await Batcher(model, wait_ms=1, is_more_coming=lambda: True).ask(images(5))
        await batcher.close()

    asyncio.run(run())
    assert model.calls == [[1], [2, 3, 4], [5]]


def test_a_full_batch_waits_for_nothing() -> None:
    model = Model()

    async def run() -> None:
        batcher = Batcher(model, batch_size=2, wait_ms=60_000, is_more_coming=lambda: True)
        await ask_all(batcher, images(1), images(2))
        await batcher.ask(images(1, 2, 3, 4, 5))  # more than a batch, but one question
        await batcher.close()

    asyncio.run(run())
    assert model.calls == [[1, 2], [1, 2, 3, 4, 5]]


def test_a_fault_is_told_to_those_of_the_batch_and_the_next_is_answered() -> None:
    model = Model()

    async def run() -> list[Any]:
        batcher = Batcher(model)
        found = await ask_all(batcher, images(13), images(1))
        found.append(await batcher.ask(images(2)))
        await batcher.close()
        return found

    first, second, third = asyncio.run(run())
    assert str(first) == str(second) == "13 is too much"
    assert third.tolist() == [[4]]


def test_who_has_gone_is_not_computed() -> None:
    model = Model()

    async def run() -> None:
        batcher = Batcher(model)
        model.is_open.clear()
        first = asyncio.create_task(batcher.ask(images(1)))
        await asyncio.to_thread(model.has_begun.wait, 300)
        gone = asyncio.create_task(batcher.ask(images(2)))
        last = asyncio.create_task(batcher.ask(images(3)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        model.is_open.set()
        await asyncio.gather(first, last)
        with pytest.raises(asyncio.CancelledError):
            await gone
        await batcher.close()

    asyncio.run(run())
    assert model.calls == [[1], [3]]


def test_closing_answers_what_was_asked() -> None:
    model = Model()

    async def run() -> list[Any]:
        batcher = Batcher(model, batch_size=1)
        model.is_open.clear()
        asked = asyncio.create_task(ask_all(batcher, images(1), images(2)))
        await asyncio.to_thread(model.has_begun.wait, 300)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0.02)
        assert not closing.done()
        model.is_open.set()
        await closing
        return await asked

    assert [answer.tolist() for answer in asyncio.run(run())] == [[[2]], [[4]]]


def test_other_work_runs_in_the_model_s_thread() -> None:
    async def run() -> str:
        batcher = Batcher(Model())
        name = await batcher.run(lambda: threading.current_thread().name)
        await batcher.close()
        return name

    assert asyncio.run(run()).startswith("model")
