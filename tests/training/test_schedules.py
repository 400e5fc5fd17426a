from __future__ import annotations

import keras
import pytest

from tfclassify.errors import TrainingError
from tfclassify.recipe import names
from tfclassify.recipe.schema import EarlyStoppingRecipe, PhaseRecipe, ScheduleRecipe
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.training.schedules import (
    describe_cut,
    follow_plans,
    learning_rate_at,
    plateau_scale,
    register_schedule,
    shorten_phase,
    should_stop,
)


def make_phase(**schedule: object) -> PhaseRecipe:
    return PhaseRecipe.model_validate(
        {"name": "p", "epochs": 4, "learning_rate": 0.1, "schedule": schedule}
    )


def records(*values: float, metric: str = "loss") -> list[EpochRecord]:
    return [
        EpochRecord("p", 0, number + 1, 0.1, 1.0, 10.0, {}, {metric: value})
        for number, value in enumerate(values)
    ]


def test_constant_stays() -> None:
    phase = make_phase(kind="constant")
    assert [learning_rate_at(phase, step, 5, []) for step in (0, 7, 19)] == [0.1] * 3


def test_warm_up_is_linear_and_reaches_the_peak() -> None:
    phase = make_phase(kind="constant", warmup_epochs=1)
    rates = [learning_rate_at(phase, step, 4, []) for step in range(5)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])


def test_cosine_agrees_with_keras() -> None:
    phase = make_phase(kind="cosine", final=0.1)
    # 4 epochs of 5 steps: the last step, 19, is the end of the fall.
    oracle = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=19, alpha=0.1)
    for step in (0, 3, 10, 19):
        assert learning_rate_at(phase, step, 5, []) == pytest.approx(float(oracle(step)), rel=1e-5)


def test_cosine_ends_at_its_final_share_after_a_warm_up() -> None:
    phase = make_phase(kind="cosine", final=0.2, warmup_epochs=1)
    assert learning_rate_at(phase, 5, 5, []) == pytest.approx(0.1)
    assert learning_rate_at(phase, 19, 5, []) == pytest.approx(0.02)


def test_plateau_follows_the_records_down_to_its_floor() -> None:
    phase = make_phase(kind="plateau", factor=0.1, patience=1, min_rate=0.005)
    assert learning_rate_at(phase, 0, 5, []) == pytest.approx(0.1)
    assert learning_rate_at(phase, 10, 5, records(1.0, 1.0)) == pytest.approx(0.01)
    assert learning_rate_at(phase, 15, 5, records(1.0, 1.0, 1.0)) == pytest.approx(0.005)


#: PyTorch 2's OneCycleLR(max_lr=0.1, total_steps=20, pct_start=0.3), rate of each step.
ONE_CYCLE = [
    0.004, 0.013167184, 0.037167184, 0.066832816, 0.090832816, 0.1, 0.098746401, 0.095048463,
    0.089091618, 0.081174565, 0.071694300, 0.061126202, 0.0500002, 0.038874198, 0.028306100,
    0.018825835, 0.010908782, 0.004951937, 0.001253999, 4e-07,
]  # fmt: skip


def test_one_cycle_agrees_with_pytorch() -> None:
    phase = make_phase(kind="one_cycle")
    rates = [learning_rate_at(phase, step, 5, []) for step in range(20)]
    assert rates == pytest.approx(ONE_CYCLE, abs=1e-9)


def test_one_cycle_takes_its_divisors_and_the_place_of_its_peak() -> None:
    phase = make_phase(kind="one_cycle", peak_at=0.5, start_divisor=10, final_divisor=100)
    rates = [learning_rate_at(phase, step, 5, []) for step in range(20)]
    assert rates[0] == pytest.approx(0.01)
    assert rates.index(max(rates)) == 9
    assert rates[9] == pytest.approx(0.1)
    assert rates[19] == pytest.approx(0.0001)


@pytest.mark.parametrize("peak_at", [0.05, 0.25, 0.5, 0.95])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_short_cycle_has_rates(steps: int, peak_at: float) -> None:
    phase = PhaseRecipe.model_validate(
        {"name": "p", "epochs": 1, "learning_rate": 0.1}
        | {"schedule": {"kind": "one_cycle", "peak_at": peak_at}}
    )
    rates = [learning_rate_at(phase, step, steps, []) for step in range(steps)]
    assert all(0.0 < rate <= 0.1 for rate in rates)


def test_multi_step_falls_after_its_milestones() -> None:
    phase = make_phase(kind="multi_step", milestones=[1, 3], factor=0.1)
    rates = [learning_rate_at(phase, 2 * epoch, 2, []) for epoch in range(4)]
    assert rates == pytest.approx([0.1, 0.01, 0.01, 0.001])
    assert learning_rate_at(phase, 1, 2, []) == 0.1  # the last step of the first epoch


def test_exponential_falls_each_epoch_after_the_warm_up() -> None:
    plain = make_phase(kind="exponential", factor=0.5)
    rates = [learning_rate_at(plain, step, 2, []) for step in range(8)]
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125])
    warmed = make_phase(kind="exponential", factor=0.5, warmup_epochs=1)
    rates = [learning_rate_at(warmed, step, 2, []) for step in range(8)]
    assert rates == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def test_a_phase_stops_after_its_patience() -> None:
    stopping = EarlyStoppingRecipe(metric="loss", patience=2)
    assert not should_stop(records(1.0, 0.5, 0.6), stopping)
    assert should_stop(records(1.0, 0.5, 0.6, 0.5), stopping)
    assert not should_stop(records(1.0, 0.5, 0.6, 0.4), stopping)
    assert not should_stop(records(1.0, 2.0, 3.0), None)
    assert not should_stop([], stopping)


def test_no_stop_without_validation() -> None:
    silent = [EpochRecord("p", 0, n, 0.1, 1.0, 1.0) for n in range(1, 9)]
    assert not should_stop(silent, EarlyStoppingRecipe(metric="loss", patience=1))


def test_plateau_halves_after_each_wait() -> None:
    schedule = ScheduleRecipe(kind="plateau", factor=0.5, patience=2)
    assert plateau_scale([], schedule) == 1.0
    assert plateau_scale(records(1.0, 1.0), schedule) == 1.0
    assert plateau_scale(records(1.0, 1.0, 1.1), schedule) == 0.5
    assert plateau_scale(records(1.0, 1.0, 1.1, 1.2, 1.3), schedule) == 0.25
    assert plateau_scale(records(1.0, 1.0, 1.1, 0.9, 1.3), schedule) == 0.5


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(names.OWN_FUNCTIONS, "schedules", {})


@pytest.mark.usefixtures("own")
def test_a_schedule_of_ones_own_goes_from_the_warm_up_to_the_last_step() -> None:
    register_schedule("line", lambda progress: 9.0)
    register_schedule("line", lambda progress: 1.0 - progress / 2)  # as a notebook's cell does
    phase = make_phase(custom="line", warmup_epochs=1)
    rates = [learning_rate_at(phase, step, 5, []) for step in (0, 4, 5, 12, 19)]
    # 5 steps of warm-up, then 15 steps whose last, 19, is 14 steps after the first.
    assert rates == pytest.approx([0.02, 0.1, 0.1, 0.075, 0.05])


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize("share", [-0.1, float("nan"), float("inf")])
def test_a_schedule_of_ones_own_must_give_a_share(share: float) -> None:
    register_schedule("odd", lambda progress: share)
    with pytest.raises(TrainingError, match=r"'odd' must give a share .* at 0 of the phase"):
        learning_rate_at(make_phase(custom="odd"), 0, 5, [])


def test_a_schedule_needs_a_name_that_recipes_can_write() -> None:
    with pytest.raises(TrainingError, match=r"register_schedule: a name is .* got 'a b'"):
        register_schedule("a b", lambda progress: 1.0)


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


def record_of(number: int, epoch: int, plan: tuple[int, ...] = ()) -> EpochRecord:
    return EpochRecord(f"phase {number}", number, epoch, 0.1, 40.0, 1.0, plan=plan)


def test_plans_cut_phases_one_after_another() -> None:
    first = PhaseRecipe(name="first", epochs=10)
    second = PhaseRecipe(name="second", epochs=20, swa=5, keep_best=None)
    records = [record_of(0, 1), record_of(0, 2, (4, 12)), record_of(1, 6, (4, 8))]
    assert [phase.epochs for phase in follow_plans([first, second], records[:1])] == [10, 20]
    cut = follow_plans([first, second], records[:2])
    assert [(phase.epochs, phase.swa) for phase in cut] == [(4, None), (12, 5)]
    cut = follow_plans([first, second], records)
    # Of the mean over the last five epochs, two are still to come.
    assert [(phase.epochs, phase.swa) for phase in cut] == [(4, None), (8, 2)]


def test_a_cut_is_told_with_what_it_came_from() -> None:
    phases = [PhaseRecipe(name="phase 0", epochs=10), PhaseRecipe(name="phase 1", epochs=20)]
    records = [record_of(0, 1), record_of(0, 2, (4, 12)), record_of(1, 1)]
    told = [describe_cut(phases, records[:count]) for count in (1, 2, 3)]
    assert told[0] == told[2] == ""
    assert told[1] == (
        "epochs take longer than estimated, 40 s in phase 0: cut after its epoch 2 to keep the "
        "time: epochs phase 0 4 of 10, phase 1 12 of 20"
    )
