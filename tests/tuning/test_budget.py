from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tfclassify.errors import RequestError
from tfclassify.recipe.schema import PhaseRecipe
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.tuning.budget import Pace, PhaseCost, TrainingCost, fit_phases, foresee_cost
from tfclassify.tuning.probes import Probed, rank_probes

HEAD = PhaseRecipe(name="head", train="head", epochs=31, features={"views": 4})
WHOLE = PhaseRecipe(name="whole", epochs=11, schedule={"kind": "cosine", "warmup_epochs": 2})
#: 10 s before, 20 s after; 5 s a cached view and 1 s an epoch; 30 s an epoch.
COST = TrainingCost(10.0, (PhaseCost(5.0, 1.0), PhaseCost(0.0, 30.0)), 20.0)


def test_what_a_training_takes_by_hand() -> None:
    assert COST.total([HEAD, WHOLE]) == 10 + (4 * 5 + 31 * 1) + 11 * 30 + 20


def test_phases_that_fit_stay_as_they_are() -> None:
    assert fit_phases([HEAD, WHOLE], COST, 411.0) == (HEAD, WHOLE)


def test_the_phase_that_takes_longest_is_cut() -> None:
    """Beside 10 + 4 * 5 + 20 and all 31 epochs of the head, 150 s are left: 5 epochs of 30 s."""
    head, whole = fit_phases([HEAD, WHOLE], COST, 231.0)
    assert (head.epochs, whole.epochs) == (31, 5)
    assert COST.total([head, whole]) == 231.0
    assert whole.schedule.warmup_epochs == pytest.approx(2 * 5 / 11)
    assert whole.schedule.kind == "cosine"


def test_phases_that_take_long_are_cut_to_one_length() -> None:
    cost = TrainingCost(0.0, (PhaseCost(0.0, 10.0), PhaseCost(0.0, 30.0)), 0.0)
    phases = [HEAD.model_copy(update={"features": None}), WHOLE]
    assert [each.epochs for each in fit_phases(phases, cost, 125.0)] == [6, 2]


@pytest.mark.parametrize("seconds", range(66, 400, 7))
def test_the_time_is_kept_and_used(seconds: int) -> None:
    fitted = fit_phases([HEAD, WHOLE], COST, float(seconds))
    total = COST.total(fitted)
    assert total <= seconds
    # An epoch of each phase less, or three views.
    assert seconds - total < 46


def test_views_go_before_epochs_beyond_a_tenth_of_the_time() -> None:
    """A view takes 5 s, or 20 s: 41 s are a tenth."""
    head, whole = fit_phases([HEAD, WHOLE], COST, 410.0)
    assert (head.features.views, head.epochs, whole.epochs) == (4, 31, 10)
    slow = TrainingCost(10.0, (PhaseCost(20.0, 1.0), PhaseCost(0.0, 30.0)), 20.0)
    head, whole = fit_phases([HEAD, WHOLE], slow, 431.0)
    assert (head.features.views, head.epochs, whole.epochs) == (2, 31, 11)


def test_a_time_too_short_is_told_with_what_it_takes() -> None:
    told = r"--time: 1 min 5 s are left, but .* one epoch of each phase .* take about 1 min 6 s"
    with pytest.raises(RequestError, match=told):
        fit_phases([HEAD, WHOLE], COST, 65.0)


class TestPace:
    """The head: 31 epochs of 1 s; the whole: 11 of 30 s; 20 s behind them."""

    def make(self, seconds: float, elapsed: float, *phases: PhaseRecipe) -> Pace:
        return Pace(phases or (HEAD, WHOLE), COST, seconds, lambda: elapsed)

    def record(self, number: int, *seconds: float) -> list[EpochRecord]:
        name = ("head", "whole")[number]
        rows = enumerate(seconds, start=1)
        return [EpochRecord(name, number, epoch, 0.1, took, 1.0) for epoch, took in rows]

    def test_what_is_in_time_stays(self) -> None:
        # 40 s gone; 28 + 4 * 5 + 11 * 30 + 20 s to come, and 0.97 * 455 = 441.35.
        pace = self.make(455.0, 40.0)
        assert pace.replan(self.record(0, 9.0, 1.0, 1.0)) == ()

    def test_a_slow_phase_is_cut_by_hand(self) -> None:
        # Twice as slow as planned: 0.97 * 500 - 200 - 2 * 20 = 245 s are left: 4 epochs of 60 s.
        pace = self.make(500.0, 200.0)
        assert pace.replan(self.record(0, 1.0) + self.record(1, 70.0, 60.0)) == (31, 6)

    def test_later_phases_are_taken_to_be_as_slow(self) -> None:
        # 30 epochs of the head at 3 s: three times everything. 0.97 * 1000 - 10 - 3 * 20 = 900 s,
        # less 3 s of the head, whose views are there: 897 s are 9 epochs of 90 s.
        records = self.record(0, *[3.0] * 30)
        assert self.make(1000.0, 10.0).replan(records) == (31, 9)

    def test_short_epochs_tell_nothing_of_long_ones(self) -> None:
        """A head on stored features: estimated at 1 ms an epoch, 100 ms with its validation."""
        cost = TrainingCost(10.0, (PhaseCost(5.0, 0.001), PhaseCost(0.0, 10.0)), 20.0)
        pace = Pace((HEAD, WHOLE), cost, 360.0, lambda: 40.0)
        assert pace.replan(self.record(0, 0.12)) == ()
        assert pace.replan(self.record(0, *[0.1] * 31)) == ()

    def test_no_time_at_all_leaves_one_epoch_of_each(self) -> None:
        pace = self.make(60.0, 200.0)
        assert pace.replan(self.record(0, 1.0, 1.0, 1.0)) == (3, 1)
        assert pace.replan(self.record(0, 1.0) + self.record(1, 30.0, 30.0)) == (31, 2)

    def test_a_first_epoch_decides_only_where_there_is_no_time_for_another(self) -> None:
        # 90 s, most of it compiling: three times as slow as planned would cut much.
        first = self.record(0, 1.0) + self.record(1, 90.0)
        # One more takes 90 s, the end 3 * 20 s.
        assert self.make(300.0, 130.0).replan(first) == ()
        assert self.make(280.0, 130.0).replan(first) == (31, 1)

    def test_what_prunes_or_averages_its_last_epochs_is_not_cut_short(self) -> None:
        mean = WHOLE.model_copy(update={"swa": 3})
        records = self.record(0, 1.0) + self.record(1, 30.0, 30.0)
        assert self.make(60.0, 200.0, HEAD, mean).replan(records) == (31, 3)
        pruned = PhaseRecipe(name="whole", epochs=11, prune={"sparsity": 0.5})
        assert self.make(60.0, 200.0, HEAD, pruned).replan(records) == ()

    def test_a_cut_holds_for_the_next_decision(self) -> None:
        records = self.record(0, 1.0) + self.record(1, 70.0, 60.0)
        records[-1] = replace(records[-1], plan=(31, 6))
        records += [replace(records[-1], epoch=3, plan=())]
        assert self.make(500.0, 265.0).replan(records) == ()


def test_what_a_network_would_cost_is_foreseen_by_hand() -> None:
    """0.1 s an image: 100 s a view of 1,000; 3.5 times that an epoch, and 200 looked at."""
    cost = foresee_cost([HEAD, WHOLE], 0.1, train=1000, held_out=200, views=3)
    assert cost.phases == (PhaseCost(pytest.approx(100.0), 0.02), PhaseCost(0.0, 370.0))
    assert (cost.start, cost.end) == (0.0, 60.0)


def probe(name: str, losses: list[float], image_ms: float) -> Probed:
    return Probed(name, 96, 0.5, np.array(losses), image_ms)


def test_a_faster_network_goes_before_one_that_is_no_better() -> None:
    ranked = rank_probes(
        [
            probe("a", [0.9, 0.9, 0.9, 0.9], 5),
            probe("b", [0.1, 0.5, 0.3, 0.3], 9),
            probe("c", [0.2, 0.4, 0.4, 0.3], 3),  # worse by 0.025, of a standard error of 0.041
            probe("d", [0.9, 0.9, 0.9, 0.8], 2),
        ]
    )
    assert [each.backbone for each in ranked] == ["c", "b", "d", "a"]
    assert ranked[0].name == "c at 96 pixels"


def test_networks_are_told_apart_image_by_image() -> None:
    """A small difference at every image counts, though images differ far more."""
    hard = np.linspace(0.1, 5.0, 50)
    better, worse = probe("big", list(hard), 9), probe("small", list(hard + 0.02), 3)
    assert [each.backbone for each in rank_probes([worse, better])] == ["big", "small"]
