"""The journal of trials, whole and damaged, and the front of score against cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfclassify.errors import RunError
from tfclassify.tuning.trials import Asked, Ended, Trial, TrialJournal, find_front


def ask(number: int, **values: float) -> Asked:
    return Asked(number=number, values=values, known=())


def end(number: int, score: float, cost: float | None = None) -> Ended:
    return Ended(number=number, state="complete", score=score, cost=cost)


def test_what_was_noted_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "search" / "trials.jsonl"
    journal = TrialJournal.open(path)
    journal.note(ask(0, rate=0.1))
    journal.note(ask(1, rate=0.2))
    journal.note(end(1, 0.75, cost=3.0))
    again = TrialJournal.open(path)
    assert again.trials == journal.trials
    assert [trial.number for trial in again.list_ended()] == [1]
    assert [trial.number for trial in again.list_running()] == [0]
    assert again.trials[1].asked.values == {"rate": 0.2}


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "trials.jsonl"
    journal = TrialJournal.open(path)
    journal.note(ask(0, rate=0.1))
    whole = path.read_bytes()
    journal.note(end(0, 0.5))
    path.write_bytes(path.read_bytes()[:-cut])
    again = TrialJournal.open(path)
    assert again.trials[0].state == "asked"
    assert path.read_bytes() == whole
    again.note(end(0, 0.5))
    assert TrialJournal.open(path).trials == journal.trials


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "line 2: cannot be read"),
        ('{"event": "ended", "number": 7, "state": "complete"}', "trial 7 cannot end"),
        ('{"event": "asked", "number": 4, "values": {}, "known": []}', "does not follow 0"),
        ('{"event": "ended", "number": 0, "state": "won"}', "cannot be read"),
        ('{"event": "ended", "number": 0, "state": "complete", "score": 1e999}', "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("\xff", "cannot be read"),
    ],
)
def test_a_damaged_journal_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "trials.jsonl"
    TrialJournal.open(path).note(ask(0))
    with path.open("ab") as stream:
        stream.write(line.encode("latin-1") + b"\n")
    with pytest.raises(RunError, match=reason):
        TrialJournal.open(path)


def make_trials(*pairs: tuple[float, float]) -> list[Trial]:
    return [
        Trial(ask(number), end(number, score, cost)) for number, (score, cost) in enumerate(pairs)
    ]


def test_the_front_holds_what_nothing_beats() -> None:
    trials = make_trials((0.70, 5), (0.60, 1), (0.80, 9), (0.65, 6), (0.60, 2), (0.80, 8))
    front = find_front(trials, higher_is_better=True)
    assert [trial.number for trial in front] == [1, 0, 5]


def test_the_front_of_a_loss() -> None:
    trials = make_trials((0.7, 5), (0.6, 1), (0.5, 9))
    assert [trial.number for trial in find_front(trials, higher_is_better=False)] == [1, 2]
