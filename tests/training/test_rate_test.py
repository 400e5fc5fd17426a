"""What a range test reads off a loss, and that it takes the phase's own updates."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.builders import WHOLE, make_material, make_recipe
from tfclassify.events import SILENT
from tfclassify.model.assembly import build_classifier
from tfclassify.training.phases import WorkingPhase, start_phase
from tfclassify.training.rate_test import list_rates, read_test, smooth, sweep_rates
from tfclassify.training.steps import ForwardPass


def open_phase(home: Path, **keys: object) -> WorkingPhase:
    recipe = make_recipe([WHOLE | {"optimizer": "sgd", "momentum": 0.0} | keys])
    classifier = build_classifier(recipe.model, 3, (16, 16), seed=1)
    material = make_material(recipe, home / "photos")
    return start_phase(recipe, 0, classifier, material, ForwardPass(classifier.network), SILENT)


def test_the_average_is_the_weighted_mean_of_the_losses() -> None:
    losses = [2.0, 5.0, 1.0]
    weights = np.array([0.81, 0.9, 1.0])
    assert smooth(losses)[-1] == pytest.approx(float(weights @ losses / weights.sum()))


def test_a_valley_is_read_by_hand() -> None:
    # The smoothed loss falls as long as a loss is below the average, here up to the seventh.
    rates = [10.0**power for power in range(-8, 1)]
    losses = [4.0, 4.0, 4.0, 3.0, 1.0, 0.5, 0.5, 9.0, 9.0]
    test = read_test(rates, losses, is_diverged=False)
    assert test.suggestion == pytest.approx(1e-3)
    assert (test.rates, test.is_diverged) == (tuple(rates), False)


def test_a_loss_that_never_falls_suggests_nothing() -> None:
    test = read_test([0.1, 0.2, 0.3], [1.0, 1.0, math.nan], is_diverged=True)
    assert test.suggestion is None


def test_a_network_that_learns_has_a_rate_and_diverges_above(tmp_path: Path) -> None:
    rates = list_rates(1e-4, 100.0, 60)
    assert rates[1] / rates[0] == pytest.approx(rates[-1] / rates[-2])
    test = sweep_rates(open_phase(tmp_path), rates)
    assert test.is_diverged
    assert len(test.losses) < 60
    assert test.suggestion is not None
    assert 1e-4 < test.suggestion < test.rates[-1] / 10


def test_gathered_batches_make_one_update(tmp_path: Path) -> None:
    work = open_phase(tmp_path, accumulate=3)
    test = sweep_rates(work, [1e-3] * 4)
    assert len(test.losses) == 4
    assert int(work.step.optimizer.iterations.numpy()) == 4
