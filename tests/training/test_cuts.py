"""A training that is cut to keep a time: what is left of it, and that a kill changes nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.builders import (
    HEAD,
    WHOLE,
    StopsAfter,
    comparable,
    make_material,
    make_recipe,
    weights_of,
)
from tfclassify.events import SILENT, Observer
from tfclassify.model.assembly import build_classifier
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.training.trainer import Trainer

RECIPE = make_recipe(
    [
        HEAD | {"epochs": 9, "features": {"views": 4}, "schedule": "cosine"},
        WHOLE | {"epochs": 8, "swa": 3, "keep_best": None, "schedule": "one_cycle"},
    ],
    augment={"flip": ["horizontal"], "rotate": 0.1},
)
#: After which epoch of which phase what is decided.
PLANS = {(0, 2): (3, 6), (1, 2): (3, 4)}


class Listener(Observer):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.reasons: list[str] = []

    def on_note(self, message: str) -> None:
        self.notes.append(message)

    def on_phase_end(self, name: str, reason: str) -> None:
        self.reasons.append(reason)


def decide(records: Sequence[EpochRecord]) -> tuple[int, ...]:
    return PLANS.get((records[-1].phase_number, records[-1].epoch), ())


def never(records: Sequence[EpochRecord]) -> tuple[int, ...]:
    return ()


def make(folder: Path, state: Path, replan: Any = decide, observer: Observer = SILENT) -> Trainer:
    material = make_material(RECIPE, folder / "photos")
    network = build_classifier(RECIPE.model, 3, RECIPE.data.image_size, seed=RECIPE.seed)
    return Trainer(RECIPE, network, material, state, replan=replan, observer=observer)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cuts")


@pytest.fixture(scope="module")
def whole(home: Path) -> tuple[list[np.ndarray], list[EpochRecord], Listener]:
    listener = Listener()
    trainer = make(home, home / "state", observer=listener)
    records = trainer.run()
    return weights_of(trainer), records, listener


def test_a_cut_training_ends_where_it_was_cut_with_its_schedule_run_out(whole: Any) -> None:
    _, records, listener = whole
    assert [(record.phase_number, record.epoch) for record in records] == [
        *((0, epoch) for epoch in (1, 2, 3)),
        *((1, epoch) for epoch in (1, 2, 3, 4)),
    ]
    assert records[2].learning_rate == pytest.approx(0.0, abs=1e-9)  # cosine of three epochs
    assert records[-1].learning_rate < 0.05 * max(record.learning_rate for record in records[3:])
    assert [record.plan for record in records if record.plan] == [(3, 6), (3, 4)]
    assert listener.reasons == [
        "3 of 9 epochs done, to keep the time",
        "4 of 8 epochs done, to keep the time",
    ]
    cuts = [note for note in listener.notes if "cut after" in note]
    assert "cut after its epoch 2 to keep the time: epochs head 3 of 9, whole 6 of 8" in cuts[0]
    assert "epochs whole 4 of 6" in cuts[1]


@pytest.mark.parametrize("epochs", [2, 5, pytest.param(3, marks=pytest.mark.slow)])
def test_a_kill_changes_nothing(home: Path, tmp_path: Path, whole: Any, epochs: int) -> None:
    weights, records, _ = whole
    with pytest.raises(KeyboardInterrupt):
        make(home, tmp_path / "state", observer=StopsAfter(epochs)).run()
    # What was decided stands in the state: the last cut is made after five epochs.
    again = make(home, tmp_path / "state", replan=never if epochs == 5 else decide)
    assert comparable(again.run(resume=True)) == comparable(records)
    for first, second in zip(weights, weights_of(again), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_mean_of_last_epochs_is_that_of_those_after_the_cut(home: Path, tmp_path: Path) -> None:
    """Cut after two of eight epochs to four, the mean is over epochs three and four."""
    seen: dict[int, np.ndarray] = {}

    class Watch(Observer):
        def on_epoch_end(self, epoch: int, values: object, is_best: bool) -> None:
            seen[epoch] = trainer.classifier.head.get_layer("logits").kernel.numpy()

    trainer = make(home, tmp_path / "state", observer=Watch())
    trainer.run()
    kernel = trainer.classifier.head.get_layer("logits").kernel.numpy()
    np.testing.assert_allclose(kernel, (seen[3] + seen[4]) / 2, atol=1e-6)


def test_records_hold_a_plan_only_where_there_is_one(whole: Any) -> None:
    _, records, _ = whole
    lines = [json.loads(json.dumps(record.to_dict())) for record in records]
    assert [("plan" in line) for line in lines] == [False, True, False, False, True, False, False]
    assert [EpochRecord.from_dict(line) for line in lines] == records
