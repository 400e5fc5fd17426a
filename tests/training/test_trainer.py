from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.training.builders import (
    HEAD,
    WHOLE,
    StopsAfter,
    comparable,
    make_material,
    make_recipe,
    make_trainer,
    score_now,
    weights_of,
)
from tfclassify.errors import ImageError, RunError, TrainingError
from tfclassify.events import SILENT, Observer
from tfclassify.model.assembly import build_classifier
from tfclassify.training.phases import count_updates, start_phase
from tfclassify.training.steps import ForwardPass

SLOW = pytest.mark.slow
AUGMENT = {"flip": ["horizontal"], "rotate": 0.1, "mix": {"cutmix": 0.5, "mixup": 0.5}}


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
    # A rate that rises until later epochs undo what the first ones learnt.
    rising = {"kind": "one_cycle", "peak_at": 0.9, "start_divisor": 1e3}
    recipe = make_recipe(
        [WHOLE | {"epochs": 4, "learning_rate": 9.0, "keep_best": "loss", "schedule": rising}]
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    best = min(record.validation["loss"] for record in records)
    assert records[-1].validation["loss"] > best
    assert score_now(trainer)["loss"] == pytest.approx(best, abs=1e-6)


def test_the_last_epoch_is_kept_where_asked(tmp_path: Path) -> None:
    recipe = make_recipe([WHOLE | {"epochs": 3, "learning_rate": 0.1, "keep_best": None}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    expected = records[-1].validation["loss"]
    assert score_now(trainer)["loss"] == pytest.approx(expected, abs=1e-6)


UNDOING = {"epochs": 2, "learning_rate": 0.9, "keep_best": None}


@pytest.mark.parametrize(
    ("phases", "bad"),
    [(["good", "bad"], UNDOING), (["bad", "good"], {"epochs": 1, "learning_rate": 1e-6})],
)
def test_the_best_phase_is_kept_where_asked(
    tmp_path: Path, phases: list[str], bad: dict[str, object]
) -> None:
    kinds = {"good": WHOLE | {"learning_rate": 0.01}, "bad": WHOLE | bad}
    recipe = make_recipe(
        [kinds[name] | {"name": name} for name in phases], keep_phase="best", metric="loss"
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    best = min(record.validation["loss"] for record in records)
    assert trainer.kept_phase == "good"
    assert score_now(trainer)["loss"] == pytest.approx(best, abs=1e-6)


def test_the_last_phase_is_kept_without_being_asked(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD | {"epochs": 1}, WHOLE | UNDOING])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    records = trainer.run()
    assert trainer.kept_phase == "whole"
    expected = records[-1].validation["loss"]
    assert score_now(trainer)["loss"] == pytest.approx(expected, abs=1e-6)


class Warned(Observer):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def on_warning(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize("is_worse", [True, False])
def test_a_worse_last_phase_does_not_win_silently(tmp_path: Path, is_worse: bool) -> None:
    good, bad = WHOLE | {"name": "good", "learning_rate": 0.01}, WHOLE | {"name": "bad"} | UNDOING
    phases = [good, bad] if is_worse else [bad, good]
    watcher = Warned()
    trainer = make_trainer(
        make_recipe(phases, metric="loss"), tmp_path / "photos", tmp_path / "s", observer=watcher
    )
    records = trainer.run()
    assert trainer.kept_phase == phases[-1]["name"]
    if not is_worse:
        assert (trainer.caution, watcher.warnings) == ("", [])
        return
    best = min(record.validation["loss"] for record in records if record.phase == "good")
    expected = f"worse than good with {best:.4f}; keep_phase: best keeps the better one."
    assert watcher.warnings == [trainer.caution]
    assert trainer.caution.startswith("The last phase, bad, ended with a validation loss of ")
    assert trainer.caution.endswith(expected)


def test_an_epoch_records_how_its_rate_went(tmp_path: Path) -> None:
    phase = HEAD | {"epochs": 2, "learning_rate": 0.1, "schedule": {"kind": "cosine"}}
    records = make_trainer(make_recipe([phase]), tmp_path / "photos", tmp_path / "state").run()
    rates = [rate for record in records for rate in record.learning_rates]
    # A half cosine from 0.1 to 0 over all steps of both epochs.
    steps = np.arange(len(rates)) / (len(rates) - 1)
    np.testing.assert_allclose(rates, 0.05 * (1 + np.cos(np.pi * steps)), atol=1e-12)
    assert [record.learning_rates[-1] for record in records] == [
        record.learning_rate for record in records
    ]


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


@pytest.mark.parametrize("features", [None, {"views": 1}])
def test_a_phase_of_its_own_sizes_is_judged_at_the_recipes(
    tmp_path: Path, features: dict[str, int] | None
) -> None:
    phase = HEAD | {"image_size": [20, 24], "batch_size": 5, "features": features}
    recipe = make_recipe([phase | {"accumulate": 2}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    network = ForwardPass(trainer.classifier.network)
    work = start_phase(recipe, 0, trainer.classifier, trainer._material, network, SILENT)
    shapes = [tuple(images.shape) for images, _, _ in work.source.batches(1)]
    assert [shape[0] for shape in shapes] == [5, 5, 2]
    if features is None:
        assert {shape[1:] for shape in shapes} == {(20, 24, 3)}
    assert (work.batch_size, count_updates(12, recipe, recipe.phases[0])) == (5, 2)
    before = work.source.validation_probabilities()
    records = trainer.run()
    held = trainer._material.validation
    judged = softmax(np.asarray(network(held.read(np.arange(len(held))).astype(np.float32))))
    np.testing.assert_allclose(trainer.validation_probabilities(), judged, atol=1e-5)
    assert np.abs(judged - before).max() > 1e-3  # the recipe's own network learnt
    best = min(record.validation["loss"] for record in records)
    assert score_now(trainer)["loss"] == pytest.approx(best, abs=1e-5)


def test_images_that_were_replaced_between_phases_are_an_error(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD, WHOLE | {"image_size": 24}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    file = sorted((tmp_path / "photos").rglob("*.png"))[0]
    for other in (tmp_path / "photos").rglob("*.png"):
        os.utime(other, ns=(1, 1))
    with pytest.raises(ImageError, match=f"{file.parent.parent}.*changed while it was in use"):
        trainer.run()


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_as_many_views_as_epochs_are_the_augmented_stream(tmp_path: Path) -> None:
    losses = []
    for features in (None, {"views": 3}):
        recipe = make_recipe([HEAD | {"features": features}], augment=AUGMENT)
        trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / f"{features is None}")
        losses.append([record.train["loss"] for record in trainer.run()])
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-5)


def test_fewer_views_than_epochs_repeat_in_turn(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD | {"features": {"views": 2}, "epochs": 5}], augment=AUGMENT)
    material = make_material(recipe, tmp_path / "photos")
    classifier = build_classifier(recipe.model, 3, recipe.data.image_size, seed=recipe.seed)
    network = ForwardPass(classifier.network)
    source = start_phase(recipe, 0, classifier, material, network, SILENT).source

    def see(epoch: int) -> np.ndarray:
        batches = [np.asarray(features) for features, _, _ in source.batches(epoch)]
        return np.concatenate(batches)[np.argsort(source.rows(epoch))]

    first, second, third, fourth, fifth = (see(epoch) for epoch in range(1, 6))
    assert np.array_equal(first, third)
    assert np.array_equal(first, fifth)
    assert np.array_equal(second, fourth)
    assert not np.isclose(first, second, atol=1e-3).all(axis=1).any()
    orders = {tuple(source.rows(epoch)) for epoch in range(1, 6)}
    assert len(orders) == 5


def test_class_weights_weigh_each_class_in_the_loss(tmp_path: Path) -> None:
    # A rate of next to nothing, so that the loss of the epoch is that of the first weights.
    recipe = make_recipe([HEAD | {"epochs": 1, "learning_rate": 1e-12}])

    def find_loss(*weights: float) -> float:
        given = np.array(weights, np.float32) if weights else None
        state = tmp_path / str(weights)
        trainer = make_trainer(recipe, tmp_path / "photos", state, class_weights=given)
        return trainer.run()[0].train["loss"]

    penalty = find_loss(0, 0, 0)  # of the kernels, which no class weighs
    ones = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    each = [find_loss(*weights) - penalty for weights in ones]
    assert min(each) > 0.1
    assert sum(each) + penalty == pytest.approx(find_loss(), rel=1e-5)
    expected = 3.0 * each[0] + 0.5 * each[1] + 2.0 * each[2] + penalty
    assert find_loss(3, 0.5, 2) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_state(tmp_path: Path) -> None:
    recipe = make_recipe([HEAD, WHOLE | {"learning_rate": 99.0, "optimizer": "sgd", "epochs": 50}])
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    place = r"phase 'whole', epoch \d+, step \d(, validation)?: the loss is"
    with pytest.raises(TrainingError, match=place):
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
