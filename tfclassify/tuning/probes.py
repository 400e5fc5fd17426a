"""Linear probes: what a network's features are worth before anything is trained.

Owns: fitting a linear classifier to features, crosswise, its score, and the order of networks
by it. Does not own: the features (``workflows.fitting``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfclassify.scoring.tasks import get_task

_FOLDS = 4
#: Inverse strength of the penalty, over standardised features.
_STRENGTH = 0.01
#: A probability that a class gets at least, such as one that no learnt image has.
_LEAST = 1e-3


def probe_features(
    features: np.ndarray,
    targets: np.ndarray,
    groups: Sequence[str],
    *,
    task: str,
    metric: str,
    seed: int,
) -> tuple[float, np.ndarray]:
    """Score a linear classifier on features, each image by one that did not learn from it.

    Args:
        features: ``(n, d)``.
        targets: ``(n, classes)``, one-hot or multi-hot.
        groups: Of each image, ``""`` for none; a group stays in one fold.
        task: ``multi_class`` or ``multi_label``.
        metric: Of the task; a loss is turned round, so that more is better.
        seed: Of the folds.

    Returns:
        The score, and the log loss at each image, ``(n,)``; of ``multi_label`` the mean over
        the classes.
    """
    probabilities = np.zeros(targets.shape, np.float64)
    for rows, held in _deal(targets, groups, seed):
        scale = features[rows].std(axis=0) + 1e-6
        centre = features[rows].mean(axis=0)
        learnt, judged = ((features[part] - centre) / scale for part in (rows, held))
        probabilities[held] = _fit(learnt, targets[rows], judged, task)
    kind = get_task(task)
    score = kind.compute([metric], targets, probabilities, 0.5)[metric]
    if not kind.metrics[metric].higher_is_better:
        score = -score
    return score, _find_losses(targets, probabilities, task)


def _find_losses(targets: np.ndarray, probabilities: np.ndarray, task: str) -> np.ndarray:
    """Return the log loss at each image, ``(n,)``."""
    sure = np.clip(probabilities, _LEAST, 1 - _LEAST)
    if task == "multi_class":
        return -np.sum(targets * np.log(sure), axis=1)
    return -np.mean(targets * np.log(sure) + (1 - targets) * np.log(1 - sure), axis=1)


def _deal(
    targets: np.ndarray, groups: Sequence[str], seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Deal images into folds: by group, and evenly over the first class of each."""
    from sklearn.model_selection import StratifiedGroupKFold

    names = [group or f"alone {place}" for place, group in enumerate(groups)]
    folds = min(_FOLDS, len(set(names)))
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(dealer.split(targets, targets.argmax(axis=1), names))


def _fit(learnt: np.ndarray, targets: np.ndarray, judged: np.ndarray, task: str) -> np.ndarray:
    """Fit a penalised logistic regression; return its probabilities, ``(n, classes)``."""
    from sklearn.linear_model import LogisticRegression

    def fit(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(np.unique(labels)) == 1:
            return labels[:1], np.ones((len(judged), 1))
        model = LogisticRegression(C=_STRENGTH, max_iter=100)
        model.fit(learnt, labels)
        return model.classes_, model.predict_proba(judged)

    found = np.zeros((len(judged), targets.shape[1]))
    if task == "multi_class":
        classes, probabilities = fit(targets.argmax(axis=1))
        found[:, classes] = probabilities
        return found
    for place in range(targets.shape[1]):
        classes, probabilities = fit(targets[:, place].astype(int))
        found[:, place] = probabilities[:, list(classes).index(1)] if 1 in classes else 0.0
    return found


@dataclass(frozen=True, eq=False)
class Probed:
    """A network at a size that was looked at.

    Attributes:
        backbone: Its name.
        size: Side of its images, in pixels.
        score: Of cross-fitted linear probes on its features, by the recipe's metric.
        losses: ``(n,)``, their log loss at each image; all networks looked at the same.
        image_ms: What its features of one image take.
    """

    backbone: str
    size: int
    score: float
    losses: np.ndarray
    image_ms: float

    @property
    def name(self) -> str:
        """Return what messages call it."""
        return f"{self.backbone} at {self.size} pixels"

    @property
    def key(self) -> tuple[str, int]:
        """Return what tells it from others: backbone and size."""
        return self.backbone, self.size

    @property
    def loss(self) -> float:
        """Return the mean log loss."""
        return float(np.mean(self.losses))

    def ties_with(self, best: Probed) -> bool:
        """Say whether it is worse by less than the standard error of the paired difference."""
        worse = self.losses - best.losses
        return bool(np.mean(worse) <= np.std(worse) / np.sqrt(len(worse)))


def rank_probes(probes: Sequence[Probed]) -> list[Probed]:
    """Order networks for a closer look: the best first, but a faster one where they tie.

    By log loss, image by image, which tells networks apart on far fewer images than scores
    that count right answers. Those that tie with the best come first, then the best of the
    others with those that tie with it, and so on.
    """
    left, ranked = list(probes), []
    while left:
        best = min(left, key=lambda probe: probe.loss)
        ties = [probe for probe in left if probe.ties_with(best)]
        ties.sort(key=lambda probe: probe.image_ms)
        ranked += ties
        left = [probe for probe in left if probe not in ties]
    return ranked
