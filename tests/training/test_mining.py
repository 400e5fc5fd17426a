"""Hits, misses, and what hard-example mining makes of them, up to the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.tiny_run import make_labelled_photos, write_recipe
from tests.training.builders import HEAD, WHOLE, make_recipe, make_trainer, weights_of
from tfclassify.data.index import Index, make_frame
from tfclassify.errors import InterruptedTraining, RunError
from tfclassify.events import Observer
from tfclassify.pipeline.stream import epoch_order
from tfclassify.recipe.schema import MiningRecipe
from tfclassify.training.mining import (
    HardExamples,
    mine_weights,
    read_hardest,
    write_hard_examples,
)
from tfclassify.training.steps import TrainingStep
from tfclassify.workflows.train import TrainRequest, resume_training, train_recipe

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
            self.batches.append((np.asarray(weights), logits.numpy()))
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


class StopsAfter(Observer):
    """Presses Ctrl-C when so many epochs are done."""

    def __init__(self, epochs: int) -> None:
        self._left = epochs

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


def test_the_hardest_images_come_first(tmp_path: Path) -> None:
    names = ["a.png", "=b.png", "c.png"]
    index = Index(make_frame(names, names, label=["red", "blue", "red"]), ("blue", "red"), "x")
    examples = HardExamples(MiningRecipe(delta=0.5, ceiling=2.0), np.array([1.0, 1.0, 3.0]))
    examples.count(np.array([False, True, True]))
    examples.count(np.array([False, True, False]))
    write_hard_examples(tmp_path / "mining.csv", index, examples)
    assert (tmp_path / "mining.csv").read_text("utf-8").splitlines() == [
        "image,label,start,weight,misses",
        "'=b.png,blue,1,2,2",
        "c.png,red,3,3,1",
        "a.png,red,1,1,0",
    ]
    # Read back under their own names, without those that were never missed.
    hardest = read_hardest(tmp_path / "mining.csv", index, limit=9)
    assert hardest == [("=b.png", 2, 2.0), ("c.png", 1, 3.0)]
    assert read_hardest(tmp_path / "mining.csv", index, limit=1) == hardest[:1]


@pytest.mark.slow
def test_a_stopped_mining_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    photos = make_labelled_photos(tmp_path / "photos")
    changes = [
        (
            "batch_size: 8\n",
            "batch_size: 8\nmining: {delta: 0.5, ceiling: 2.0}\nkeep_phase: best\n",
        ),
        ("  source: photos", f"  source: {photos}"),
        ("tta: {flips: [horizontal]}\n", ""),
    ]
    recipe = write_recipe(tmp_path, *changes)
    whole = train_recipe(TrainRequest(recipe, out=tmp_path / "whole"))
    with pytest.raises(InterruptedTraining):
        train_recipe(TrainRequest(recipe, out=tmp_path / "broken"), StopsAfter(2))
    resumed = resume_training(tmp_path / "broken", None, ())
    assert resumed.kept_phase == whole.kept_phase
    for name in ("mining.csv", "predictions.csv"):
        assert (resumed.run / name).read_bytes() == (whole.run / name).read_bytes()
    table = pd.read_csv(whole.run / "mining.csv")
    index = pd.read_csv(whole.run / "index.csv")
    assert set(table["image"]) == set(index["image"][index["split"] == "train"])
    assert table["misses"].is_monotonic_decreasing
    assert table["misses"].between(0, 3).all()
    np.testing.assert_allclose(table["weight"], np.minimum(2.0, 1.0 + 0.5 * table["misses"]))
    metrics = json.loads((whole.run / "metrics.json").read_text("utf-8"))
    assert metrics["kept_phase"] == whole.kept_phase
    page = (whole.run / "report.html").read_text("utf-8")
    assert "Best phase" in page
    assert "Hard examples" in page
    assert "Hardest training images" in page
