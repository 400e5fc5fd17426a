from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.builders import HEAD, WHOLE, make_recipe, make_trainer, weights_of
from tfclassify.errors import RunError, TrainingError
from tfclassify.events import Observer
from tfclassify.scoring.epochs import EpochRecord

SLOW = pytest.mark.slow
AUGMENT = {"flip": ["horizontal"], "rotate": 0.1, "mix": {"cutmix": 0.5, "mixup": 0.5}}


class StopsAfter(Observer):
    """Stops the training as Ctrl-C would, in the middle of a later epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.finished = 0

    def on_epoch_end(self, epoch: int, values: object, is_best: bool) -> None:
        self.finished += 1

    def on_step(self, epoch: int, step: int, images_per_second: float, loss: float) -> None:
        if self.finished == self.epochs and step == 2:
            raise KeyboardInterrupt


def comparable(records: list[EpochRecord]) -> list[tuple[object, ...]]:
    return [(r.phase, r.epoch, r.learning_rate, dict(r.train), dict(r.validation)) for r in records]


def test_it_learns_colours(tmp_path: Path) -> None:
    recipe = make_recipe([WHOLE | {"epochs": 15, "learning_rate": 0.01}])
    records = make_trainer(recipe, tmp_path / "photos", tmp_path / "state").run()
    assert records[-1].train["loss"] < 0.6 * records[0].train["loss"]
    assert max(record.validation["accuracy"] for record in records) == 1.0


def test_same_recipe_same_weights(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD, WHOLE], augment=AUGMENT)
    results = []
    for name in ("a", "b"):
        trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / name)
        records = trainer.run()
        results.append((weights_of(trainer), comparable(records)))
    assert results[0][1] == results[1][1]
    for first, second in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "epochs", [1, pytest.param(0, marks=SLOW), 3, pytest.param(4, marks=SLOW), 5]
)
def test_a_resumed_training_ends_where_an_unbroken_one_does(tmp_path: Path, epochs: int) -> None:
    phases = [HEAD, WHOLE | {"schedule": "cosine", "keep_best": "loss"}]
    recipe = make_recipe(phases, augment=AUGMENT)
    whole = make_trainer(recipe, tmp_path / "photos", tmp_path / "whole")
    expected = whole.run()
    observer = StopsAfter(epochs)
    broken = make_trainer(recipe, tmp_path / "photos", tmp_path / "broken", observer=observer)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    resumed = make_trainer(recipe, tmp_path / "photos", tmp_path / "broken")
    records = resumed.run(resume=True)
    assert comparable(records) == comparable(expected)
    for first, second in zip(weights_of(whole), weights_of(resumed), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_finished_training_resumes_to_itself(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD, WHOLE])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    trainer.run()
    again = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    assert len(again.run(resume=True)) == 6
    for first, second in zip(weights_of(trainer), weights_of(again), strict=True):
        np.testing.assert_array_equal(first, second)


def test_the_phase_ends_with_its_best_epoch(tmp_path: Path) -> None:
    # So high a rate that later epochs undo what the first ones learnt.
    recipe = make_recipe([WHOLE | {"epochs": 4, "learning_rate": 0.7, "keep_best": "loss"}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    best = min(record.validation["loss"] for record in records)
    assert records[-1].validation["loss"] > best
    assert trainer.validation_metrics()["loss"] == pytest.approx(best, abs=1e-6)


def test_the_last_epoch_is_kept_where_asked(tmp_path: Path) -> None:
    recipe = make_recipe([WHOLE | {"epochs": 3, "learning_rate": 0.1, "keep_best": None}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    expected = records[-1].validation["loss"]
    assert trainer.validation_metrics()["loss"] == pytest.approx(expected, abs=1e-6)


UNDOING = {"epochs": 2, "learning_rate": 0.9, "keep_best": None}


@pytest.mark.parametrize("phases", [["good", "bad"], ["bad", "good"]])
def test_the_best_phase_is_kept_where_asked(tmp_path: Path, phases: list[str]) -> None:
    kinds = {"good": WHOLE | {"learning_rate": 0.01}, "bad": WHOLE | UNDOING}
    recipe = make_recipe(
        [kinds[name] | {"name": name} for name in phases], keep_phase="best", metric="loss"
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    best = min(record.validation["loss"] for record in records)
    assert trainer.kept_phase == "good"
    assert trainer.validation_metrics()["loss"] == pytest.approx(best, abs=1e-6)


def test_the_last_phase_is_kept_without_being_asked(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD | {"epochs": 1}, WHOLE | UNDOING])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    assert trainer.kept_phase == "whole"
    expected = records[-1].validation["loss"]
    assert trainer.validation_metrics()["loss"] == pytest.approx(expected, abs=1e-6)


def test_early_stopping_ends_a_phase(tmp_path: Path) -> None:
    stopping = {"metric": "accuracy", "patience": 1, "min_delta": 1.0}
    recipe = make_recipe([HEAD | {"epochs": 9, "early_stopping": stopping}, WHOLE])
    records = make_trainer(recipe, tmp_path / "photos", tmp_path / "state").run()
    assert [record.phase for record in records] == ["head"] * 2 + ["whole"] * 3


def test_whole_dataset_mode_runs_all_epochs(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state", validation=0)
    records = trainer.run()
    assert [dict(record.validation) for record in records] == [{}, {}, {}]


def test_a_head_phase_leaves_the_backbone_alone(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    before = [np.array(value) for value in trainer.classifier.backbone.get_weights()]
    heads = [np.array(value) for value in trainer.classifier.head.get_weights()]
    trainer.run()
    after = trainer.classifier.backbone.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    changed = trainer.classifier.head.get_weights()
    assert not any(np.array_equal(a, b) for a, b in zip(heads, changed, strict=True))


def test_cached_features_learn_what_the_stream_learns(tmp_path: Path) -> None:
    results = []
    for features in (None, {"views": 1}):
        recipe = make_recipe([HEAD | {"features": features}])
        trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / f"{features is None}")
        results.append((trainer.run(), weights_of(trainer)))
    for streamed, cached in zip(results[0][0], results[1][0], strict=True):
        assert cached.train["loss"] == pytest.approx(streamed.train["loss"], abs=1e-5)
    for first, second in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_as_many_views_as_epochs_are_the_augmented_stream(tmp_path: Path) -> None:
    losses = []
    for features in (None, {"views": 3}):
        recipe = make_recipe([HEAD | {"features": features}], augment=AUGMENT)
        trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / f"{features is None}")
        losses.append([record.train["loss"] for record in trainer.run()])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


def test_fewer_views_than_epochs_repeat(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD | {"features": {"views": 2}, "epochs": 5}], augment=AUGMENT)
    assert len(make_trainer(recipe, tmp_path / "photos", tmp_path / "state").run()) == 5


def test_class_weights_change_what_is_learnt(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD])
    plain = make_trainer(recipe, tmp_path / "photos", tmp_path / "a").run()
    doubled = make_trainer(
        recipe, tmp_path / "photos", tmp_path / "b", class_weights=np.full(3, 2.0, np.float32)
    ).run()
    assert doubled[0].train["loss"] > 1.5 * plain[0].train["loss"]


def test_a_loss_that_is_not_finite_stops_and_keeps_the_state(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD, WHOLE | {"learning_rate": 99.0, "optimizer": "sgd", "epochs": 50}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    with pytest.raises(TrainingError, match=r"phase 'whole', epoch \d+, step \d: the loss is"):
        trainer.run()
    assert (tmp_path / "state" / "last.npz").exists()


def test_no_training_image_is_an_error(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD])
    with pytest.raises(TrainingError, match="no training image"):
        make_trainer(recipe, tmp_path / "photos", tmp_path / "state", validation=18)


def test_the_state_of_another_network_is_refused(tmp_path: Path) -> None:
    make_trainer(make_recipe([HEAD]), tmp_path / "photos", tmp_path / "state").run()
    (tmp_path / "state" / "phase-0.npz").unlink()
    other = make_recipe([HEAD], model=make_recipe([HEAD]).model.model_dump() | {"head": {}})
    with pytest.raises(RunError, match="the saved state is of another network"):
        make_trainer(other, tmp_path / "photos", tmp_path / "state").run(resume=True)


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    make_trainer(make_recipe([HEAD]), tmp_path / "photos", tmp_path / "state").run()
    (tmp_path / "state" / "last.npz").write_bytes(b"not a state")
    with pytest.raises(RunError, match=r"last\.npz: the training state is damaged"):
        make_trainer(make_recipe([HEAD]), tmp_path / "photos", tmp_path / "state").run(resume=True)
