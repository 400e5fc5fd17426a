"""Suspects as a session: what is shown, and what the answers come to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tfclassify.data.corrections import Correction
from tfclassify.data.journals import Answer
from tfclassify.errors import RequestError
from tfclassify.labelling.board import Board
from tfclassify.labelling.issues import Issue, Suspect
from tfclassify.labelling.review import DROP, list_corrections, open_review
from tfclassify.scoring.verdicts import Answers

CLASSES = ("dress", "shirt", "skirt")
SUSPECTS = tuple(
    Suspect(number, f"{number}.png", f"/photos/{number}.png", given, (issue,))
    for number, given, issue in (
        (4, "dress", Issue(4, "label", 0.1, "the model says skirt", "skirt")),
        (2, "shirt", Issue(2, "dark", 0.3, "is dark")),
        (9, "skirt", Issue(9, "label", 0.4, "the model says shirt", "shirt")),
        (1, "dress", Issue(1, "blurred", 0.5, "is blurred")),
        (7, "dress", Issue(7, "blurred", 0.6, "is blurred too")),
    )
)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return open_review(tmp_path / "session", SUSPECTS, make_answers(), {"source": "photos"})


def make_answers(classes: tuple[str, ...] = CLASSES, *, is_set: bool = False) -> Answers:
    """Make a model that is sure of the third class of image 4, and of the first of others."""
    names = tuple(f"{number}.png" for number in range(10))
    said = np.tile(np.array([0.7, 0.2, 0.1], np.float32)[: len(classes)], (10, 1))
    said[4] = said[4][::-1]
    said /= 1.0 if is_set else said.sum(axis=1, keepdims=True)
    limits = np.full(said.shape, 0.5) if is_set else None
    empty = ("",) * 10
    targets = np.eye(len(classes), dtype=np.float32)[[0] * 10]
    return Answers(classes, names, names, empty, empty, targets, said, None, limits)


def test_suspects_come_in_their_order_with_label_and_reason(board: Board) -> None:
    assert board.images.names == ("4.png", "2.png", "9.png", "1.png", "7.png")
    assert board.images.given[0] == ("dress",)
    assert board.adviser is not None
    first, second = (board.adviser.suggest(place) for place in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.labels, first.reason) == (("skirt",), "the model says skirt")
    assert first.probability == pytest.approx(0.7)
    # What the model says, which need not be what makes the image suspect.
    assert (second.labels, second.reason) == (("dress",), "is dark")
    with pytest.raises(RequestError, match=r"train again with data\.corrections"):
        board.adviser.retrain({})
    assert list(board.adviser.order("name", {})) == [0, 1, 2, 3, 4]
    assert board.adviser.find_alike(0, 3) == ()


def test_answers_become_corrections(board: Board) -> None:
    def say(*labels: str, marks: frozenset[str] = frozenset(), **more: bool) -> Answer:
        return Answer("", "", labels, marks=marks, **more)  # type: ignore[arg-type]

    board.sit_down("ann").answer(
        {
            "4.png": say("skirt"),
            "2.png": say("shirt"),
            "9.png": say(marks=frozenset({DROP})),
            "1.png": say(is_skipped=True),
        }
    )
    board.close()
    given = {each.image: (each.given,) for each in SUSPECTS}
    found = list_corrections(board.session, given, {"4.png": "the model says skirt"})
    assert found == [
        Correction("2.png", "keep"),
        Correction("4.png", "relabel", "skirt", "the model says skirt"),
        Correction("9.png", "drop"),
    ]
    # What is no image of the data any more decides nothing.
    del given["4.png"]
    assert [each.file for each in list_corrections(board.session, given, {})] == ["2.png", "9.png"]


def test_a_set_may_be_emptied(tmp_path: Path) -> None:
    board = open_review(tmp_path / "s", SUSPECTS[:1], make_answers(is_set=True), {})
    assert board.adviser is not None
    said = board.adviser.suggest(0)
    assert said is not None
    # Dress 0.1 and shirt 0.2 left out, skirt 0.7 named: least sure of the skirt.
    assert (said.labels, said.probability) == (("skirt",), pytest.approx(0.7))
    board.sit_down("ann").answer({"4.png": Answer("", "", ())})
    board.close()
    (found,) = list_corrections(board.session, {"4.png": ("dress",)}, {})
    assert (found.action, found.label) == ("relabel", "")


def test_a_review_goes_on_where_it_was(board: Board) -> None:
    board.sit_down("ann").answer({"4.png": Answer("", "", ("skirt",))})
    board.close()
    folder = board.session.folder
    again = open_review(folder, SUSPECTS[:2], make_answers(), {})
    assert again.sit_down("ann").answers["4.png"].labels == ("skirt",)
    again.close()
    with pytest.raises(RequestError, match=r"other labels \(dress, shirt, skirt\); use another"):
        open_review(folder, SUSPECTS, make_answers(("a", "b")), {})


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--review: there is nothing to look at"):
        open_review(tmp_path / "s", (), make_answers(), {})
