"""What a run's model suggests to labellers, and what it learns from them meanwhile.

Owns: suggestions, the orders in which images are worth labelling, training a new head on
cached features. Does not own: the features (``features``), whose turn it is (``board``).

The first suggestions are the run's own. Once enough is labelled, a logistic regression on the
features takes its place; it knows the session's labels, whatever the run's classes are.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfclassify.data.journals import Answer
from tfclassify.errors import RequestError
from tfclassify.events import SILENT, Observer
from tfclassify.labelling.board import Suggestion
from tfclassify.labelling.features import Features, read_features
from tfclassify.labelling.lookalikes import (
    find_alike,
    on_one_thread,
    order_by_cluster,
    project,
)
from tfclassify.labelling.vocabulary import Vocabulary
from tfclassify.scoring.tasks import MULTI_CLASS, MULTI_LABEL, get_task

Floats = NDArray[np.floating[Any]]
#: Dimensions that a head learns from, where the features have more.
LEARNED = 256
#: Parts that answers are cut into to say how well the head does on answers it did not see.
_PARTS = 5
#: The orders, each with what it means.
ORDERS = {
    "doubt": "the model is least sure first",
    "disagreement": "the model most surely says another label than the image has first",
    "lookalikes": "images that look alike one after another",
}


class ModelAdviser:
    """A model's help with the images of a session, by their places.

    Attributes:
        orders: Those that it knows, each with what it means.
        learns: It does.

    Args:
        features: Of the images, in their order.
        vocabulary: The session's.
        given: The labels that the images have already; empty tuples where they have none.
        seed: Of the clusters.
    """

    orders: Mapping[str, str] = ORDERS
    learns = True

    def __init__(
        self,
        features: Features,
        vocabulary: Vocabulary,
        given: Sequence[tuple[str, ...]],
        *,
        seed: int = 0,
    ) -> None:
        self._features, self._words, self._given = features, vocabulary, given
        self._task = get_task(MULTI_LABEL if vocabulary.is_multi_label else MULTI_CLASS)
        self._learn = train_sets if vocabulary.is_multi_label else train_labels
        self._seed = seed
        self._unit = project(features.values, dimensions=LEARNED)
        self._probabilities = map_classes(features, vocabulary.names)
        self._clusters: NDArray[np.int64] | None = None

    def suggest(self, place: int) -> Suggestion | None:
        """Say what the model takes an image for; None where it cannot say."""
        if self._probabilities is None or not self._features.is_there[place]:
            return None
        row = self._probabilities[place]
        said = self._task.decide(row)
        labels = tuple(self._words.names[number] for number in np.flatnonzero(said))
        return Suggestion(labels, float(self._task.find_likelihoods(said, row).min()))

    def order(self, kind: str, answers: Mapping[int, Answer]) -> Sequence[int]:
        """Return all places, those most worth a look first.

        Args:
            kind: A name of ``orders``.
            answers: The answers so far, which an image has instead of its given label.

        Raises:
            RequestError: If there is no such order.
        """
        if kind not in self.orders:
            raise RequestError(
                f"order: there is no {kind!r}, a model knows {', '.join(self.orders)}"
            )
        if kind == "lookalikes":
            if self._clusters is None:
                self._clusters, _ = order_by_cluster(self._features.values, seed=self._seed)
            return [int(place) for place in self._clusters]
        scores = self._score_doubt() if kind == "doubt" else self._score_disagreement(answers)
        return [int(place) for place in np.argsort(-scores, kind="stable")]

    def find_alike(self, place: int, count: int) -> Sequence[int]:
        """Return the places of the images most like one, the most alike first."""
        return find_alike(self._features.values, place, count)

    def retrain(self, answers: Mapping[int, Answer]) -> str:
        """Train a new head on the answers so far; suggestions are its own from then on.

        Returns:
            What came of it, in words.

        Raises:
            RequestError: If fewer than two labels were given.
        """
        started = time.perf_counter()
        places = [
            place
            for place, answer in sorted(answers.items())
            if not answer.is_skipped
            and self._features.is_there[place]
            and (answer.labels or self._words.is_multi_label)
        ]
        marks = np.zeros((len(places), len(self._words.names)), dtype=bool)
        for row, place in enumerate(places):
            marks[row, [self._words.positions[name] for name in answers[place].labels]] = True
        self._probabilities = self._learn(self._unit, np.array(places, np.int64), marks)
        seconds = time.perf_counter() - started
        share = self._check(np.array(places, np.int64), marks)
        told = f"learned from {len(places):,} images in {seconds:.1f} s"
        if share is None:
            return told
        return (
            f"{told}; of images held back from it in turn, {100 * share:.0f} % right. These are "
            "the images that were labelled; only a random order makes them speak for all"
        )

    def _score_doubt(self) -> Floats:
        """Score how near the two most probable answers are, ``(n,)``; -1 without an answer."""
        if self._probabilities is None:
            return np.where(self._features.is_there, 0.0, -1.0)
        doubts = self._task.find_doubts(self._probabilities)
        return np.where(self._features.is_there, doubts, -1.0)

    def _score_disagreement(self, answers: Mapping[int, Answer]) -> Floats:
        """Score how improbable each image's label is, ``(n,)``; -1 where it has none."""
        scores = np.full(len(self._given), -1.0)
        if self._probabilities is None:
            return scores
        positions = self._words.positions
        for place, given in enumerate(self._given):
            answer = answers.get(place)
            labels = given if answer is None or answer.is_skipped else answer.labels
            known = [positions[name] for name in labels if name in positions]
            if not self._features.is_there[place] or not known:
                continue
            row = self._probabilities[place]
            is_there = np.isin(np.arange(len(row)), known)
            scores[place] = 1 - self._task.find_likelihoods(is_there, row).min()
        return scores

    def _check(self, places: NDArray[np.int64], marks: NDArray[np.bool_]) -> float | None:
        """Judge the answers by heads that learned from the others; None where they are few."""
        if len(places) < 2 * _PARTS:
            return None
        part = np.random.default_rng(0).permutation(len(places)) % _PARTS
        right = 0
        for number in range(_PARTS):
            kept, held = part != number, part == number
            try:
                found = self._learn(self._unit[places], np.flatnonzero(kept), marks[kept])[held]
            except RequestError:  # the others have one label alone
                return None
            right += int((self._task.decide(found) == marks[held]).all(axis=1).sum())
        return right / len(places)


def map_classes(features: Features, names: Sequence[str]) -> Floats | None:
    """Put a network's probabilities into the order of a vocabulary, ``(n, labels)``.

    Returns:
        0 for a label that the network does not know; None where it knows none of them.
    """
    columns = {name: number for number, name in enumerate(features.classes)}
    if not any(name in columns for name in names):
        return None
    mapped = np.zeros((len(features.probabilities), len(names)), np.float32)
    for number, name in enumerate(names):
        if name in columns:
            mapped[:, number] = features.probabilities[:, columns[name]]
    return mapped


def train_labels(unit: Floats, places: NDArray[np.int64], marks: NDArray[np.bool_]) -> Floats:
    """Train a head on images with one label each, and ask it about all.

    Args:
        unit: Features of all images, rows of length 1, ``(n, d)``.
        places: Rows of the labelled ones, ``(m,)``.
        marks: Their labels, one-hot ``(m, labels)``.

    Returns:
        Probabilities ``(n, labels)``, 0 for a label that was never given.

    Raises:
        RequestError: If fewer than two labels were given.
    """
    from sklearn.linear_model import LogisticRegression

    labels = marks.argmax(axis=1)
    given = np.unique(labels)
    if len(places) < 2 or len(given) < 2:
        raise RequestError(
            f"train: needs images of two labels at least, got {len(places)} of {len(given)}; label "
            "more first"
        )
    probabilities = np.zeros((len(unit), marks.shape[1]))
    with on_one_thread():  # many small steps: threads would mostly wait for one another
        head = LogisticRegression(C=_STRENGTH, max_iter=300).fit(unit[places], labels)
        probabilities[:, head.classes_] = head.predict_proba(unit)
    return probabilities


def train_sets(unit: Floats, places: NDArray[np.int64], marks: NDArray[np.bool_]) -> Floats:
    """Train a head for each label of images with any number of them, and ask it about all.

    Args:
        unit: Features of all images, rows of length 1, ``(n, d)``.
        places: Rows of the labelled ones, ``(m,)``.
        marks: Their labels, ``(m, labels)``.

    Returns:
        Probabilities ``(n, labels)``; a label that all have, or none, keeps that share.

    Raises:
        RequestError: If no label is on some images and not on others.
    """
    from sklearn.linear_model import LogisticRegression

    is_mixed = marks.any(axis=0) & ~marks.all(axis=0) if len(marks) else np.zeros(0, bool)
    if not is_mixed.any():
        raise RequestError(
            f"train: needs a label that some images have and others do not, got {len(places)} "
            "images; label more first"
        )
    probabilities = np.tile(marks.mean(axis=0), (len(unit), 1))
    with on_one_thread():
        for column in np.flatnonzero(is_mixed):
            head = LogisticRegression(C=_STRENGTH, max_iter=300).fit(unit[places], marks[:, column])
            probabilities[:, column] = head.predict_proba(unit)[:, 1]
    return probabilities


#: Inverse strength of the penalty on the head's weights; rows have length 1.
_STRENGTH = 30.0


def make_adviser(
    bundle: Path,
    paths: Sequence[str],
    given: Sequence[tuple[str, ...]],
    vocabulary: Vocabulary,
    store: Path,
    observer: Observer = SILENT,
) -> ModelAdviser:
    """Have a run's model look at all images, or read what it saw before.

    Args:
        bundle: The run's bundle.
        paths: Where the images are.
        given: The labels that they have already; empty tuples where they have none.
        vocabulary: The session's.
        store: Folder that the features are kept in.
        observer: Told of progress.

    Raises:
        BundleError: If the bundle is damaged.
        ModelError: If its network has no feature map.
    """
    features = read_features(bundle, paths, store, observer)
    if map_classes(features, vocabulary.names) is None:
        observer.on_warning(
            f"{bundle}: the model knows none of the labels; it suggests once it was trained on "
            "some answers"
        )
    return ModelAdviser(features, vocabulary, given)
