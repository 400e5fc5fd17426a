from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.builders import HEAD, WHOLE, make_recipe, make_trainer, weights_of
from tfclassify.errors import RunError
from tfclassify.pipeline.stream import epoch_order
from tfclassify.recipe.schema import MiningRecipe
from tfclassify.training.mining import HardExamples, mine_weights
from tfclassify.training.steps import TrainingStep

MIXED = {"flip": ["horizontal"], "mix": {"mixup": 0.5}}


@pytest.mark.parametrize(
    ("start", "misses", "expected"),
    [
        (1.0, 0, 1.0),
        (1.0, 1, 1.5),
        (1.0, 4, 3.0),
        (1.0, 9, 3.0),  # the ceiling
        (2.0, 1, 2.5),
        (0.5, 1, 1.0),
        (4.0, 0, 4.0),  # above the ceiling from the start
        (4.0, 9, 4.0),
    ],
)
def test_weights_rise_to_the_ceiling(start: float, misses: int, expected: float) -> None:
    recipe = MiningRecipe(delta=0.5, ceiling=3.0)
    weights = mine_weights(np.array([start], np.float32), np.array([misses]), recipe)
    assert weights.tolist() == [expected]


def test_misses_are_counted_and_taken_over() -> None:
    examples = HardExamples(MiningRecipe(delta=1.0, ceiling=9.0), np.array([1.0, 2.0], np.float32))
    assert examples.factors().tolist() == [1.0, 1.0]
    examples.count(np.array([False, True]))
    examples.count(np.array([True, True]))
    assert examples.weights.tolist() == [2.0, 4.0]
    assert examples.factors().tolist() == [2.0, 2.0]
    other = HardExamples(MiningRecipe(delta=1.0, ceiling=9.0), examples.start)
    other.restore(examples.misses, Path("last.npz"))
    assert other.weights.tolist() == [2.0, 4.0]


def test_misses_of_other_images_are_refused() -> None:
    examples = HardExamples(MiningRecipe(), np.ones(3, np.float32))
    with pytest.raises(RunError, match=r"last\.npz: .* misses of 2 images, but there are 3"):
        examples.restore(np.zeros(2, np.int64), Path("last.npz"))


class Spy:
    """Notes what each step was given and what it answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.batches: list[tuple[np.ndarray, np.ndarray]] = []
        call = TrainingStep.__call__

        def watch(step: Any, inputs: Any, targets: Any, weights: Any, *rest: Any, **more: Any):
            loss, logits = call(step, inputs, targets, weights, *rest, **more)
            self.batches.append((np.asarray(weights), logits))
            return loss, logits

        monkeypatch.setattr(TrainingStep, "__call__", watch)


@pytest.mark.parametrize("task", ["multi_class", "multi_label"])
@pytest.mark.parametrize("views", [None, 1])
def test_what_was_missed_weighs_more_from_the_next_epoch_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, views: int | None
) -> None:
    phase = HEAD | {"epochs": 4, "features": views and {"views": views}}
    mining = {"delta": 0.5, "ceiling": 2.0}
    recipe = make_recipe([phase], task=task, augment=MIXED, mining=mining, metric="f1_macro")
    start = np.linspace(0.5, 2.5, 12).astype(np.float32)
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state", weights=start)
    own = trainer._material.train.targets
    spy = Spy(monkeypatch)
    trainer.run()
    weights = dict(enumerate(start.tolist()))
    misses = dict.fromkeys(weights, 0)
    for epoch in range(4):
        order = epoch_order(12, recipe.seed, epoch)
        before = dict(weights)
        for number, row in enumerate(order.tolist()):
            given, logits = (values[number % 4] for values in spy.batches[3 * epoch + number // 4])
            assert given == pytest.approx(before[row], rel=1e-6)
            if task == "multi_class":
                is_missed = logits.argmax() != own[row].argmax()
            else:
                is_missed = set(np.flatnonzero(logits > 0)) != set(np.flatnonzero(own[row]))
            if is_missed:
                misses[row] += 1
                weights[row] = max(start[row], min(2.0, weights[row] + 0.5))
    assert trainer.hard_examples is not None
    assert trainer.hard_examples.misses.tolist() == list(misses.values())
    assert 0 < sum(misses.values()) < 48
    np.testing.assert_allclose(trainer.hard_examples.weights, list(weights.values()), rtol=1e-6)


def test_before_the_first_miss_nothing_is_different(tmp_path: Path) -> None:
    results = []
    for mining in (None, {"delta": 0.5, "ceiling": 3.0}):
        recipe = make_recipe([WHOLE | {"epochs": 1}], augment=MIXED, mining=mining)
        trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / f"{mining is None}")
        trainer.run()
        results.append(weights_of(trainer))
    for plain, mined in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, mined)


def test_misses_are_counted_through_all_phases(tmp_path: Path) -> None:
    recipe = make_recipe(
        [HEAD | {"features": {"views": 1}}, WHOLE | {"learning_rate": 1e-9}],
        mining={"delta": 0.5, "ceiling": 99.0},
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    trainer.run()
    assert trainer.hard_examples is not None
    assert trainer.hard_examples.misses.max() > 3  # more than either phase has epochs
