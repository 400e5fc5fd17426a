"""What is proposed: reproducible, within the space, and better than chance."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tfclassify.errors import MissingExtraError, RequestError
from tfclassify.recipe.search_schema import DimensionRecipe
from tfclassify.tuning.proposals import (
    Goal,
    find_importance,
    list_grid,
    propose,
)
from tfclassify.tuning.trials import Asked, Ended, Trial

pytest.importorskip("optuna")

SPACE = {
    "rate": DimensionRecipe(log=(1e-5, 1e-1)),
    "kind": DimensionRecipe(choices=("x", "y", (1, 2))),
    "layers": DimensionRecipe(int=(1, 9)),
    "depth": DimensionRecipe(range=(0.0, 1.0), when={"kind": "x"}),
}
UP = Goal(higher_is_better=True)


def score(values: dict[str, Any]) -> float:
    """Best at a rate of 1e-3 and four layers."""
    return -((math.log10(values["rate"]) + 3) ** 2) - abs(values["layers"] - 4) / 9


def make_trial(number: int, values: dict[str, Any], value: float | None = None, **ended: Any):
    asked = Asked(number=number, values=values, known=())
    return Trial(
        asked,
        Ended(**({"number": number, "state": "complete", "score": value} | ended)),
    )


def search(count: int, **options: Any) -> list[Trial]:
    trials: list[Trial] = []
    for number in range(count):
        values = propose(SPACE, number, trials, [], **({"goal": UP} | options))
        assert values is not None
        cost = {"cost": float(values["layers"])} if options.get("goal", UP).has_cost else {}
        trials.append(make_trial(number, values, score(values), **cost))
    return trials


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_proposals_lie_in_the_space(sampler: str) -> None:
    for trial in search(25, sampler=sampler):
        values = trial.asked.values
        assert 1e-5 <= values["rate"] <= 1e-1
        assert values["kind"] in ("x", "y", (1, 2))
        assert values["layers"] in range(1, 10)
        assert ("depth" in values) == (values["kind"] == "x")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_journal_gives_the_same_proposal(sampler: str) -> None:
    trials = search(20, sampler=sampler, seed=3)
    for number in (0, 9, 19):
        again = propose(SPACE, number, trials[:number], [], goal=UP, sampler=sampler, seed=3)
        assert again == trials[number].asked.values
    other = propose(SPACE, 19, trials[:19], [], goal=UP, sampler=sampler, seed=4)
    assert other != trials[19].asked.values


def test_tpe_learns_and_random_does_not() -> None:
    def mean_of_last(sampler: str) -> float:
        trials = [search(40, sampler=sampler, seed=seed)[20:] for seed in range(3)]
        scores = [score(trial.asked.values) for last in trials for trial in last]
        return sum(scores) / len(scores)

    assert mean_of_last("tpe") > mean_of_last("random") / 2  # both are below 0


def test_two_aims_are_searched_at_once() -> None:
    trials = search(30, goal=Goal(True, has_cost=True))
    cheap = [trial for trial in trials[15:] if trial.asked.values["layers"] <= 4]
    assert len(cheap) >= 5


def test_running_trials_are_kept_away_from() -> None:
    trials = search(15)
    running: list[Trial] = []
    for number in range(15, 19):
        values = propose(SPACE, number, trials, running, goal=UP)
        assert values is not None
        running.append(Trial(Asked(number=number, values=values, known=())))
    assert len({str(trial.asked.values) for trial in running}) == 4


def test_a_pruned_and_a_failed_trial_do_not_disturb() -> None:
    trials = search(11)
    trials.append(make_trial(11, trials[0].asked.values, state="pruned"))
    trials.append(make_trial(12, trials[0].asked.values, state="failed", reason="no memory"))
    assert propose(SPACE, 13, trials, [], goal=UP) is not None


FINITE = {
    "kind": DimensionRecipe(choices=("x", "y")),
    "size": DimensionRecipe(int=(2, 6), step=2, when={"kind": "x"}),
    "share": DimensionRecipe(range=(0.0, 0.5), step=0.25, when={"kind": "y"}),
}


def test_the_grid_of_a_space_with_conditions() -> None:
    assert list_grid(FINITE) == [
        {"kind": "x", "size": 2},
        {"kind": "x", "size": 4},
        {"kind": "x", "size": 6},
        {"kind": "y", "share": 0.0},
        {"kind": "y", "share": 0.25},
        {"kind": "y", "share": 0.5},
    ]
    assert list_grid(SPACE) is None


@pytest.mark.parametrize("sampler", ["tpe", "random", "grid"])
def test_a_finite_space_is_tried_once_and_no_more(sampler: str) -> None:
    trials: list[Trial] = []
    while (
        values := propose(FINITE, len(trials), trials, [], goal=UP, sampler=sampler)
    ) is not None:
        trials.append(make_trial(len(trials), values, 0.5))
        assert len(trials) <= 6
    assert len({str(trial.asked.values) for trial in trials}) == 6


def test_a_grid_needs_an_end() -> None:
    with pytest.raises(RequestError, match="--sampler grid: needs choices"):
        propose(SPACE, 0, [], [], goal=UP, sampler="grid")


def test_cma_es_has_one_aim() -> None:
    with pytest.raises(RequestError, match="--sampler cma_es: has one aim only"):
        propose(SPACE, 0, [], [], goal=Goal(True, has_cost=True), sampler="cma_es")


@pytest.mark.parametrize(
    ("package", "call"),
    [
        ("optuna", lambda: propose(SPACE, 0, [], [], goal=UP)),
        ("cmaes", lambda: propose(SPACE, 0, [], [], goal=UP, sampler="cma_es")),
    ],
)
def test_a_missing_extra(
    package: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=f"needs the package {package}"):
        call()


def test_importance_finds_what_matters() -> None:
    space = {"rate": SPACE["rate"], "layers": SPACE["layers"]}
    trials = [
        make_trial(
            number, {"rate": 10.0 ** -(1 + number % 4), "layers": 1 + number % 9}, float(number % 4)
        )
        for number in range(36)
    ]
    shares = find_importance(space, trials, higher_is_better=True)
    assert list(shares) == ["rate", "layers"]
    assert shares["rate"] > 0.9
    assert sum(shares.values()) == pytest.approx(1.0)


def test_importance_needs_variation() -> None:
    space = {"layers": SPACE["layers"]}
    assert find_importance(space, search(3)[:3], higher_is_better=True) == {}
    alike = [make_trial(number, {"layers": 1 + number}, 0.5) for number in range(6)]
    assert find_importance(space, alike, higher_is_better=True) == {}
