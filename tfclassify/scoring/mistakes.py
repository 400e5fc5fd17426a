"""The images that a classifier is most wrong about.

Owns: which they are and their order. Does not own: how they are shown (``report``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfclassify.scoring.metrics import compute_losses
from tfclassify.scoring.outcome import LabelOutcome, Outcome


@dataclass(frozen=True)
class WrongImage:
    """One wrong prediction.

    Attributes:
        position: Row of the image in what was scored.
        target: True class id.
        predicted: Predicted class id.
        probability: What the model gives the predicted class.
        true_probability: What it gives the true class.
    """

    position: int
    target: int
    predicted: int
    probability: float
    true_probability: float


def find_mistakes(outcome: Outcome, *, limit: int = 24) -> list[WrongImage]:
    """Find the wrong predictions, the most confident first; equal ones in row order.

    Such images are worth a look: a wrong label shows up here before anything else.

    Args:
        outcome: The images and their probabilities.
        limit: How many at most.
    """
    wrong = np.flatnonzero(~outcome.correct)
    ranked = wrong[np.argsort(-outcome.confidence[wrong], kind="stable")][:limit]
    return [
        WrongImage(
            position=int(row),
            target=int(outcome.targets[row]),
            predicted=int(outcome.predicted[row]),
            probability=float(outcome.confidence[row]),
            true_probability=float(outcome.true_probability[row]),
        )
        for row in ranked
    ]


@dataclass(frozen=True)
class WrongLabels:
    """One image whose given labels are not its own.

    Attributes:
        position: Row of the image in what was scored.
        loss: Its binary cross-entropy, the mean over classes.
        found: Class ids that it has and was given.
        missed: Class ids that it has and was not given, the least probable first.
        added: Class ids that it was given and does not have, the most probable first.
    """

    position: int
    loss: float
    found: tuple[int, ...]
    missed: tuple[int, ...]
    added: tuple[int, ...]


def find_wrong_labels(outcome: LabelOutcome, *, limit: int = 24) -> list[WrongLabels]:
    """Find the images with a wrong set of labels, the greatest loss first.

    Args:
        outcome: The images, their probabilities and thresholds.
        limit: How many at most.
    """
    losses = compute_losses(outcome)
    wrong = np.flatnonzero((outcome.is_true != outcome.is_predicted).any(axis=1))
    ranked = wrong[np.argsort(-losses[wrong], kind="stable")][:limit]
    return [_describe_wrong(outcome, int(row), float(losses[row])) for row in ranked]


def _describe_wrong(outcome: LabelOutcome, row: int, loss: float) -> WrongLabels:
    is_true, is_given = outcome.is_true[row], outcome.is_predicted[row]
    rising = np.argsort(outcome.probabilities[row], kind="stable")
    return WrongLabels(
        position=row,
        loss=loss,
        found=tuple(np.flatnonzero(is_true & is_given).tolist()),
        missed=tuple(number for number in rising.tolist() if is_true[number] > is_given[number]),
        added=tuple(
            number for number in rising[::-1].tolist() if is_given[number] > is_true[number]
        ),
    )
