"""Suspects as a labelling session: somebody looks at each and keeps, relabels or drops it.

Owns: the session that holds the decisions, what is shown beside a suspect, what the decisions
come to. Does not own: finding suspects (``issues``), the journal, undo and the page, which are
those of any session (``session``, ``board``, ``web.studio``), the table (``data.corrections``).

The label that an image has, given again, keeps it; another one relabels it; the mark ``drop``
drops it; skipping it decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfclassify.data.corrections import Correction
from tfclassify.data.journals import Answer
from tfclassify.errors import RequestError
from tfclassify.labelling.board import Board, Images, Suggestion
from tfclassify.labelling.issues import Suspect
from tfclassify.labelling.session import Facts, Session, create_session, is_session, open_session
from tfclassify.labelling.vocabulary import check_vocabulary
from tfclassify.recipe.data_schema import JOINING_SIGN
from tfclassify.scoring.verdicts import Answers, name_labels

#: The mark of an image that is to be left out, and its key.
DROP, _DROP_KEY = "drop", "x"


class SuspectAdviser:
    """What the model said of each suspect, and why it is one.

    Attributes:
        orders: None beside the suspects' own, in which the images are.
        learns: It does not: what is decided here trains the next model.

    Args:
        suspects: The images, in order.
        answers: What the model said of all images.
    """

    orders: Mapping[str, str] = {}
    learns = False

    def __init__(self, suspects: Sequence[Suspect], answers: Answers) -> None:
        self._suspects = suspects
        rows = np.array([each.row for each in suspects], np.int64)
        is_said = np.asarray(answers.outcome.is_predicted)[rows]
        self._labels = name_labels(answers.classes, is_said)
        # Under multi_label what it leaves out is an answer too.
        likelihoods = answers.task.find_likelihoods(is_said, answers.probabilities[rows])
        self._sure = likelihoods.min(axis=1)

    def suggest(self, place: int) -> Suggestion | None:
        """Say what the model takes an image for, and why it is suspect."""
        reason = self._suspects[place].reason
        return Suggestion(self._labels[place], float(self._sure[place]), reason)

    def order(self, kind: str, answers: Mapping[int, Answer]) -> Sequence[int]:
        """Return all places, the most suspect first."""
        return range(len(self._suspects))

    def find_alike(self, place: int, count: int) -> Sequence[int]:
        """Return nothing: suspects are looked at one by one."""
        return ()

    def retrain(self, answers: Mapping[int, Answer]) -> str:
        """Refuse: what is decided here trains the next model.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            "train: suspects are judged by the models that found them; train again with "
            "data.corrections when you are done"
        )


def open_review(
    folder: Path,
    suspects: Sequence[Suspect],
    answers: Answers,
    data: Mapping[str, Any],
) -> Board:
    """Open the session of a review, or make it.

    Args:
        folder: Of the session.
        suspects: The images to look at.
        answers: What the model said of all images.
        data: The section ``data`` of the recipe that they come from.

    Raises:
        RequestError: If there is nothing to look at, or the session there has other labels.
    """
    if not suspects:
        raise RequestError("--review: there is nothing to look at")
    words = check_vocabulary(
        {
            "labels": list(answers.classes),
            "marks": [{"name": DROP, "key": _DROP_KEY}],
            "several": answers.task.is_multi_label,
        },
        "--review",
    )
    if not is_session(folder):
        create_session(folder, Facts(data=dict(data), vocabulary=words, images=len(suspects)))
    session = open_session(folder)
    if session.vocabulary.names != words.names:
        raise RequestError(
            f"{folder}: holds the review of images with other labels "
            f"({', '.join(session.vocabulary.names[:8])}); use another --out"
        )
    images = Images(
        tuple(each.image for each in suspects),
        tuple(each.path for each in suspects),
        tuple(_split(each.given) for each in suspects),
    )
    return Board(session, images, SuspectAdviser(suspects, answers))


def list_corrections(
    session: Session, given: Mapping[str, Sequence[str]], reasons: Mapping[str, str]
) -> list[Correction]:
    """Return what the answers of a review decide, by the images' names.

    Args:
        session: The review.
        given: The labels that the images have; answers on others decide nothing.
        reasons: Why an image was looked at, where it is known.
    """
    corrections = []
    for image, each in session.settle().items():
        if each.outcome == "rejected" or image not in given:
            continue
        reason = reasons.get(image, "")
        if DROP in each.marks:
            corrections.append(Correction(image, "drop", "", reason))
        elif set(each.labels) == set(given[image]):
            corrections.append(Correction(image, "keep", "", reason))
        elif each.labels or session.vocabulary.is_multi_label:
            label = JOINING_SIGN.join(each.labels)
            corrections.append(Correction(image, "relabel", label, reason))
    return corrections


def _split(label: str) -> tuple[str, ...]:
    return tuple(name for name in label.split(JOINING_SIGN) if name)
