from __future__ import annotations

import pytest

from tfclassify.errors import RequestError
from tfclassify.recipe.schema import PhaseRecipe
from tfclassify.tuning.budget import (
    Cost,
    PhaseCost,
    Probed,
    fit_phases,
    rank_probes,
    shorten_phase,
)

HEAD = PhaseRecipe(name="head", train="head", epochs=31, features={"views": 4})
WHOLE = PhaseRecipe(name="whole", epochs=11, schedule={"kind": "cosine", "warmup_epochs": 2})
#: 10 s before, 20 s after; 5 s a cached view and 1 s an epoch; 30 s an epoch.
COST = Cost(10.0, (PhaseCost(5.0, 1.0), PhaseCost(0.0, 30.0)), 20.0)


def test_what_a_training_takes_by_hand() -> None:
    assert COST.total([HEAD, WHOLE]) == 10 + (4 * 5 + 31 * 1) + 11 * 30 + 20


def test_phases_that_fit_stay_as_they_are() -> None:
    assert fit_phases([HEAD, WHOLE], COST, 411.0) == (HEAD, WHOLE)


def test_the_phase_that_takes_longest_is_cut() -> None:
    """Beside 10 + 5 + 20 and all 31 epochs of the head, 165 s are left: 5 epochs of 30 s."""
    head, whole = fit_phases([HEAD, WHOLE], COST, 231.0)
    assert (head.epochs, whole.epochs) == (31, 5)
    assert COST.total([head, whole]) == 216.0
    assert whole.schedule.warmup_epochs == pytest.approx(2 * 5 / 11)
    assert whole.schedule.kind == "cosine"


def test_phases_that_take_long_are_cut_to_one_length() -> None:
    cost = Cost(0.0, (PhaseCost(0.0, 10.0), PhaseCost(0.0, 30.0)), 0.0)
    phases = [HEAD.model_copy(update={"features": None}), WHOLE]
    assert [each.epochs for each in fit_phases(phases, cost, 125.0)] == [6, 2]


@pytest.mark.parametrize("seconds", range(66, 400, 7))
def test_the_time_is_kept_and_used(seconds: int) -> None:
    fitted = fit_phases([HEAD, WHOLE], COST, float(seconds))
    total = COST.total(fitted)
    assert total <= seconds
    # An epoch of each phase less, or three views.
    assert seconds - total < 46


def test_views_go_before_epochs() -> None:
    head, whole = fit_phases([HEAD, WHOLE], COST, 410.0)
    assert (head.features.views, head.epochs, whole.epochs) == (1, 31, 11)


def test_a_time_too_short_is_told_with_what_it_takes() -> None:
    told = r"--time: 1 min 5 s are left, but .* one epoch of each phase .* take about 1 min 6 s"
    with pytest.raises(RequestError, match=told):
        fit_phases([HEAD, WHOLE], COST, 65.0)


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(20, (10, 15)), (10, (5, 8)), (4, (2, 3)), (2, (1,))]
)
def test_milestones_shrink_with_their_phase(epochs: int, milestones: tuple[int, ...]) -> None:
    schedule = {"kind": "multi_step", "milestones": [10, 15]}
    phase = PhaseRecipe(name="a", epochs=20, schedule=schedule, swa=5, keep_best=None)
    short = shorten_phase(phase, epochs)
    assert short.schedule.milestones == milestones
    assert short.swa == min(5, epochs)
    single = shorten_phase(phase, 1)
    assert (single.schedule.kind, single.swa) == ("constant", None)


def probe(name: str, score: float, image_ms: float, error: float = 0.02) -> Probed:
    return Probed(name, 96, score, error, image_ms)


def test_a_faster_network_goes_before_one_that_is_no_better() -> None:
    ranked = rank_probes(
        [probe("a", 0.80, 5), probe("b", 0.91, 9), probe("c", 0.905, 3), probe("d", 0.795, 2)]
    )
    assert [each.backbone for each in ranked] == ["c", "b", "d", "a"]
    assert ranked[0].name == "c at 96 pixels"
