"""The course of a search, with trials that are made up: several at once, bounds, a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfclassify.errors import JobError, RequestError
from tfclassify.events import SILENT
from tfclassify.executors.jobs import Executor, FinishedJob, Job
from tfclassify.recipe.loading import parse_recipe
from tfclassify.tuning.folder import SearchFacts, SearchFolder
from tfclassify.tuning.trials import Ended
from tfclassify.workflows.search import Search

pytest.importorskip("optuna")

RECIPE = parse_recipe(
    """\
name: made_up
data: {source: photos}
model: {backbone: efficientnet_lite0}
phases: [{name: head, train: head, epochs: 2}]
search:
  model.head.dropout: {range: [0.0, 0.5]}
  phases[0].learning_rate: {log: [1.0e-4, 1.0e-2]}
"""
)


class MadeUp(Executor):
    """Three jobs at once; the last one begun ends first, with a score of its number."""

    def __init__(self, ends: int = 99, state: str = "complete", slots: int = 3) -> None:
        self._ends, self._state, self._slots = ends, state, slots
        self.running: list[Job] = []
        self.begun: list[int] = []
        self.most = 0

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, job: Job) -> None:
        self.running.append(job)
        self.begun.append(job.arguments["number"])
        self.most = max(self.most, len(self.running))

    def wait(self) -> FinishedJob:
        if not self._ends:
            raise KeyboardInterrupt
        self._ends -= 1
        job = self.running.pop()
        number = job.arguments["number"]
        if self._state == "broken":
            return FinishedJob(job, error="its worker died 3 times")
        is_done = self._state == "complete"
        ended: dict[str, Any] = {"score": (number * 7 % 10) / 10} if is_done else {}
        ended |= {"state": self._state, "reason": "" if is_done else "9 M MACs, over 1 M"}
        return FinishedJob(job, Ended(number=number, **ended, seconds=1.0).model_dump_json())

    def close(self) -> None:
        self.running.clear()


def open_search(path: Path, place: Executor, recipe: Any = RECIPE, **facts: Any) -> Search:
    given = SearchFacts.model_validate({"trials": 20, "seed": 4} | facts)
    return Search(SearchFolder(path, given), recipe, place, SILENT)


def list_proposals(search: Search) -> list[tuple[dict[str, Any], tuple[int, ...]]]:
    return [(trial.asked.values, trial.asked.known) for trial in search.journal.trials.values()]


def test_the_next_trial_begins_as_soon_as_one_ends(tmp_path: Path) -> None:
    place = MadeUp()
    search = open_search(tmp_path, place)
    search.run()
    assert [trial.state for trial in search.journal.trials.values()] == ["complete"] * 20
    assert place.most == 3
    assert place.begun == list(range(20))
    known = [len(trial.asked.known) for trial in search.journal.trials.values()]
    # The start alone, then three at once, and from there one for each that ends.
    assert known == [0, 1, 1, 1, *range(2, 18)]
    # Trials 1 and 2 run all the while: what came later is ended before them.
    assert search.journal.order[-2:] == [2, 1]


def test_the_same_seed_and_ends_give_the_same_proposals(tmp_path: Path) -> None:
    first, again, other = (
        open_search(tmp_path / name, MadeUp(), seed=seed)
        for name, seed in (("a", 4), ("b", 4), ("c", 5))
    )
    for search in (first, again, other):
        search.run()
    assert list_proposals(first) == list_proposals(again)
    assert list_proposals(first) != list_proposals(other)


@pytest.mark.parametrize("ends", [0, 1, 13])
def test_after_a_kill_what_ran_is_begun_again_and_the_next_is_what_it_would_have_been(
    tmp_path: Path, ends: int
) -> None:
    whole = open_search(tmp_path / "whole", MadeUp())
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        open_search(tmp_path / "broken", MadeUp(ends)).run()
    place = MadeUp()
    again = open_search(tmp_path / "broken", place)
    running = [trial.number for trial in again.journal.list_running()]
    again.run()
    assert place.begun[: len(running)] == running
    assert list_proposals(again) == list_proposals(whole)
    assert again.journal.order == whole.journal.order


def test_failed_trials_are_remembered_and_a_start_that_fails_ends_it(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="the recipe as it is: its worker died 3 times"):
        open_search(tmp_path / "start", MadeUp(state="broken")).run()
    with pytest.raises(KeyboardInterrupt):
        open_search(tmp_path / "s", MadeUp(1)).run()  # the start is complete
    search = open_search(tmp_path / "s", MadeUp(state="broken"), trials=5)
    search.run()
    ended = [trial.ended for trial in search.journal.list_ended()[1:]]
    assert [(each.state, each.reason) for each in ended if each] == [
        ("failed", "its worker died 3 times")
    ] * 4


def test_twenty_refusals_in_a_row_end_it(tmp_path: Path) -> None:
    wide = RECIPE.model_copy(
        update={"search": {"model.head.dense": RECIPE.search["model.head.dropout"]}}
    )
    place = MadeUp(state="refused", slots=1)
    search = open_search(tmp_path, place, wide, trials=50, max_macs=1e6)
    with pytest.raises(RequestError, match="none of the 20 networks that were looked at meets it"):
        search.run()
    assert len(search.journal.trials) == 20
    # Where nothing that is searched changes the network, the first is enough.
    search = open_search(tmp_path / "b", MadeUp(state="refused"), trials=50, max_macs=1e6)
    plain = {"phases[0].learning_rate": RECIPE.search["phases[0].learning_rate"]}
    search.space = plain
    with pytest.raises(RequestError, match=r"none of the 1 network .* \(9 M MACs, over 1 M\)"):
        search.run()


def test_a_trial_that_would_not_fit_is_not_begun(tmp_path: Path) -> None:
    search = open_search(tmp_path, MadeUp(slots=1), seconds=2.5, folds=0)
    search._before = 1.0
    search.run()  # 1 s is gone, each takes 1 s by its own account, and none in truth
    assert len(search.journal.trials) == 20
    late = open_search(tmp_path / "late", MadeUp(slots=1), seconds=2.5)
    late._before = 1.6
    late.run()
    assert len(late.journal.trials) == 1
    reserved = open_search(tmp_path / "reserved", MadeUp(slots=1), seconds=3.5)
    reserved._reserve, reserved._before = 2, 1.0
    reserved.run()
    assert len(reserved.journal.trials) == 1
