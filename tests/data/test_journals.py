"""Journals of labellers: replaying, damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tfclassify.data import journals
from tfclassify.data.journals import Answer, replay_journal
from tfclassify.errors import DataError


def act(number: int, **answers: Any) -> str:
    said = {
        image: None if label is None else {"labels": [label]} for image, label in answers.items()
    }
    return json.dumps({"n": number, "at": "now", "seconds": 3.0, "answers": said}) + "\n"


def undo(number: int, other: int) -> str:
    return json.dumps({"n": number, "undo": other}) + "\n"


def write(path: Path, *lines: str) -> Path:
    path.write_text("".join(lines), "utf-8")
    return path


def labels_of(replay: journals.Replay) -> dict[str, str]:
    return {image: ",".join(answer.labels) for image, answer in replay.answers.items()}


def test_an_answer_replaces_the_last_one_and_undoing_brings_it_back(tmp_path: Path) -> None:
    path = write(
        tmp_path / "ann.jsonl",
        act(1, a="pen"),
        act(2, a="ruler", b="ruler"),
        act(3, a=None),
        undo(4, 3),
        undo(5, 2),
        act(6, c="pen"),
        undo(7, 6),
    )
    replay = replay_journal(path, "ann")
    assert labels_of(replay) == {"a": "pen"}
    assert replay.answers["a"] == Answer("a", "ann", ("pen",), seconds=3.0, at="now", entry=1)
    assert (replay.count, replay.size) == (7, path.stat().st_size)
    assert [number for number, _ in replay.acts] == [1]


def test_seconds_of_one_act_are_shared_among_its_images(tmp_path: Path) -> None:
    path = write(tmp_path / "ann.jsonl", act(1, a="pen", b="pen", c="pen"))
    assert {each.seconds for each in replay_journal(path, "ann").answers.values()} == {1.0}


def test_a_line_without_an_end_counts_for_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "ann.jsonl", act(1, a="pen"), act(2, b="pen")[:-1])
    replay = replay_journal(path, "ann")
    assert labels_of(replay) == {"a": "pen"}
    assert replay.size == len(act(1, a="pen"))
    # When the end comes, the same replay goes on.
    with path.open("a") as stream:
        stream.write("\n" + act(3, c="ruler"))
    assert labels_of(replay_journal(path, "ann", replay)) == {"a": "pen", "b": "pen", "c": "ruler"}


def test_an_absent_journal_is_empty(tmp_path: Path) -> None:
    assert replay_journal(tmp_path / "no.jsonl", "no").count == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("\x00\x00\x00\n", r"line 2 is no act of a labeller .*got b'\\x00"),
        ("[]\n", "line 2 is no act"),
        ("[" * 100_000 + "\n", "line 2 is no act"),
        (act(3, a="pen"), r"the line has number 3, expected 2"),
        (undo(2, 7), r"it undoes 7, which is not the last act"),
        ('{"n": 2}\n', r"'answers' is missing"),
        ('{"n": 2, "answers": {}}\n', r"it answers nothing"),
        ('{"n": 2, "answers": {"a": {"labels": "pen"}}}\n', r"a list of names is expected"),
        ('{"n": 2, "answers": {"a": {"marks": [1]}}}\n', r"a list of names is expected"),
        ('{"n": 2, "answers": {"a": 1}}\n', "line 2 is no act"),
        ('{"n": 2, "seconds": "x", "answers": {"a": {}}}\n', "line 2 is no act"),
        ('{"n": 2, "seconds": NaN, "answers": {"a": {}}}\n', "a number from 0 on, got nan"),
        (f'{{"n": 2, "seconds": 1{400 * "0"}, "answers": {{"a": {{}}}}}}\n', "line 2 is no act"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_guessed(
    tmp_path: Path, line: str, words: str
) -> None:
    path = write(tmp_path / "ann.jsonl", act(1, a="pen"), line, act(3, b="pen"))
    with pytest.raises(DataError, match=words):
        replay_journal(path, "ann")


def test_a_journal_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MAX_BYTES", 10)
    with pytest.raises(DataError, match=r"larger than the 10 B allowed; split the work"):
        replay_journal(write(tmp_path / "ann.jsonl", act(1, a="pen")), "ann")
