"""Suspects as a session: what is shown, and what the answers come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.data.corrections import Correction
from tfclassify.data.journals import Answer
from tfclassify.errors import RequestError
from tfclassify.labelling.board import Board
from tfclassify.labelling.issues import Issue, Suspect
from tfclassify.labelling.review import DROP, list_corrections, open_review

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
    return open_review(
        tmp_path / "session", SUSPECTS, CLASSES, {"source": "photos"}, is_multi_label=False
    )


def test_suspects_come_in_their_order_with_label_and_reason(board: Board) -> None:
    assert board.images.names == ("4.png", "2.png", "9.png", "1.png", "7.png")
    assert board.images.given[0] == ("dress",)
    assert board.adviser is not None
    first, second = (board.adviser.suggest(place) for place in (0, 1))
    assert first is not None
    assert second is not None
    assert (first.labels, first.reason) == (("skirt",), "the model says skirt")
    assert second.labels == ("shirt",)  # nothing else is suggested
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
    board = open_review(tmp_path / "s", SUSPECTS[:1], CLASSES, {}, is_multi_label=True)
    board.sit_down("ann").answer({"4.png": Answer("", "", ())})
    board.close()
    (found,) = list_corrections(board.session, {"4.png": ("dress",)}, {})
    assert (found.action, found.label) == ("relabel", "")


def test_a_review_goes_on_where_it_was(board: Board) -> None:
    board.sit_down("ann").answer({"4.png": Answer("", "", ("skirt",))})
    board.close()
    folder = board.session.folder
    again = open_review(folder, SUSPECTS[:2], CLASSES, {}, is_multi_label=False)
    assert again.sit_down("ann").answers["4.png"].labels == ("skirt",)
    again.close()
    with pytest.raises(RequestError, match=r"other labels \(dress, shirt, skirt\); use another"):
        open_review(folder, SUSPECTS, ("a", "b"), {}, is_multi_label=False)


def test_nothing_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--review: there is nothing to look at"):
        open_review(tmp_path / "s", (), CLASSES, {}, is_multi_label=False)
