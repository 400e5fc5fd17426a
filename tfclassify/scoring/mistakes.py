"""The images that a classifier is most sure of and wrong about.

Owns: which they are and their order. Does not own: how they are shown (``report``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tfclassify.scoring.outcome import Outcome


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


def find_mistakes(
    targets: ArrayLike, probabilities: ArrayLike, *, limit: int = 24
) -> list[WrongImage]:
    """Find the wrong predictions, the most confident first; equal ones in row order.

    Such images are worth a look: a wrong label shows up here before anything else.

    Args:
        targets: True class ids, ``(n,)``.
        probabilities: ``(n, C)``, rows summing to 1.
        limit: How many at most.

    Raises:
        ScoringError: If the arrays do not fit together.
    """
    outcome = Outcome(targets, probabilities)
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
