"""What the steps of an epoch came to, fetched from the device a few at a time.

Owns: the sums of an epoch, and when the host waits for the device. Does not own: the steps
(``steps``), what counts as a miss (``scoring.tasks``), what misses are good for (``mining``).

A device that works by itself is given its next steps before the last ones are done, so
nothing of a step is looked at until later ones are under way.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tfclassify.scoring.tasks import Task

FloatArray = npt.NDArray[np.float32]

#: Steps that may wait to be fetched, and seconds after which they are fetched anyway.
_MOST, _PATIENCE_S = 64, 0.25
#: Steps that are left under way when those before them are fetched, for the device to work on.
_AHEAD = 1


@dataclass(frozen=True)
class Taken:
    """One step, given to the device.

    Attributes:
        number: Its number in the epoch, from 1.
        rate: Its learning rate.
        rows: The training set's rows of its images, ``(b,)``.
        targets: Their soft labels as trained on, ``(b, classes)``, or more columns behind them.
        loss: Their mean loss, a tensor.
        logits: ``(b, classes)``, a tensor.
    """

    number: int
    rate: float
    rows: npt.NDArray[np.int64]
    targets: Any
    loss: Any
    logits: Any


@dataclass(frozen=True)
class Outcome:
    """One step, fetched.

    Attributes:
        number: Its number in the epoch, from 1.
        rate: Its learning rate.
        loss: The mean loss of its images.
        mean_loss: That of all images of the epoch up to it.
        images_per_second: Speed up to it.
    """

    number: int
    rate: float
    loss: float
    mean_loss: float
    images_per_second: float


class EpochTally:
    """What the batches of an epoch came to.

    Args:
        task: What the logits mean.
        targets: The training images' own labels, before any mixing, ``(n, classes)``.

    Attributes:
        missed: ``(n,)`` bool, by row of the training set; what no batch held is False.
        loss: Sum of the batches' losses, each times its images.
        score: Sum of the images' scores.
        seen: Images so far.
        started: When the epoch began, in seconds of ``time.perf_counter``.
    """

    def __init__(self, task: Task, targets: FloatArray) -> None:
        self._task, self._targets = task, targets
        self._pending: deque[Taken] = deque()
        self.missed = np.zeros(len(targets), bool)
        self.loss, self.score, self.seen = 0.0, 0.0, 0
        self.started = self._fetched = time.perf_counter()

    @property
    def images_per_second(self) -> float:
        """Speed up to now."""
        return self.seen / (time.perf_counter() - self.started)

    def put(self, step: Taken) -> Iterator[Outcome]:
        """Take in a step that is under way; yield the outcomes of those that are now due."""
        self._pending.append(step)
        waited = time.perf_counter() - self._fetched
        if len(self._pending) >= _MOST or waited >= _PATIENCE_S:
            yield from self._fetch(_AHEAD)

    def fetch(self) -> Iterator[Outcome]:
        """Yield the outcomes of all steps that are left."""
        yield from self._fetch(0)

    def _fetch(self, left: int) -> Iterator[Outcome]:
        while len(self._pending) > left:
            yield self._take(self._pending.popleft())
        self._fetched = time.perf_counter()

    def _take(self, step: Taken) -> Outcome:
        loss, logits, rows = float(step.loss), np.asarray(step.logits), step.rows
        self.loss += loss * len(rows)
        labels = np.asarray(step.targets)[:, : logits.shape[1]]  # a teacher's answers follow
        self.score += float(self._task.score_images(labels, logits).sum())
        self.missed[rows] = self._task.find_missed(self._targets[rows], logits)
        self.seen += len(rows)
        mean, speed = self.loss / self.seen, self.images_per_second
        return Outcome(step.number, step.rate, loss, mean, speed)
