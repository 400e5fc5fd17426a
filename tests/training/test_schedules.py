from __future__ import annotations

import keras
import pytest

from tests.training.test_history import records
from tfclassify.recipe.schema import PhaseRecipe
from tfclassify.training.schedules import learning_rate_at


def make_phase(**schedule: object) -> PhaseRecipe:
    return PhaseRecipe.model_validate(
        {"name": "p", "epochs": 4, "learning_rate": 0.1, "schedule": schedule}
    )


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
