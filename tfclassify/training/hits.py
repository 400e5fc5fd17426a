"""What a batch's answers got right.

Owns: the score of each image in a training step, what counts as a miss of it, and the
sums of an epoch.
Does not own: the metrics of validation (``scoring``), what follows from a miss (``mining``).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tfclassify.scoring.tasks import Task

FloatArray = npt.NDArray[np.float32]


@dataclass
class EpochTally:
    """What the batches of an epoch came to.

    Attributes:
        missed: ``(n,)`` bool, by row of the training set; what no batch held is False.
        loss: Sum of the batches' losses, each times its images.
        score: Sum of the images' scores.
        seen: Images so far.
        started: When the epoch began, in seconds of ``time.perf_counter``.
    """

    missed: npt.NDArray[np.bool_]
    loss: float = 0.0
    score: float = 0.0
    seen: int = 0
    started: float = field(default_factory=time.perf_counter)

    def add(self, images: int, loss: float, scores: npt.NDArray[np.float64]) -> None:
        """Take in a batch of so many images, its mean loss and their scores."""
        self.loss += loss * images
        self.score += float(scores.sum())
        self.seen += images

    @property
    def images_per_second(self) -> float:
        """Speed up to now."""
        return self.seen / (time.perf_counter() - self.started)


def score_images(task: Task, targets: FloatArray, logits: FloatArray) -> npt.NDArray[np.float64]:
    """Score each image of a training batch: ``(b,)`` from 0 to 1.

    Under ``multi_class`` 1 where the likeliest class is the largest of the soft label;
    under ``multi_label`` the share of classes in both sets among those in either, with
    classes of at least 0.5 in the label and in the answer, and 1 where both are empty.

    Args:
        task: What the logits mean.
        targets: Soft labels as trained on, ``(b, classes)``.
        logits: ``(b, classes)``.
    """
    if not task.is_multi_label:
        return (logits.argmax(axis=1) == targets.argmax(axis=1)).astype(np.float64)
    wanted, found = targets >= 0.5, logits >= 0.0
    both, either = (wanted & found).sum(axis=1), (wanted | found).sum(axis=1)
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def find_missed(task: Task, targets: FloatArray, logits: FloatArray) -> npt.NDArray[np.bool_]:
    """Tell which images of a batch the training answered wrongly: ``(b,)``.

    Args:
        task: What the logits mean.
        targets: The images' own labels, before any mixing, ``(b, classes)``.
        logits: ``(b, classes)``. Under ``multi_class`` the likeliest class must be the
            image's, under ``multi_label`` the classes of at least 0.5 must be its set.
    """
    if not task.is_multi_label:
        missed: npt.NDArray[np.bool_] = logits.argmax(axis=1) != targets.argmax(axis=1)
        return missed
    wrong: npt.NDArray[np.bool_] = ((logits >= 0.0) != (targets >= 0.5)).any(axis=1)
    return wrong
