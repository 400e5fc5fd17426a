"""Averages of weights, and the statistics that are measured for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.training.builders import WHOLE, make_recipe, make_trainer, score_now, weights_of
from tfclassify.backbones.preprocessing import make_preprocessing
from tfclassify.events import Observer
from tfclassify.training import tally
from tfclassify.training.averages import (
    WeightAverage,
    find_trained_norms,
    mean_share,
    measure_statistics,
    moving_share,
)
from tfclassify.training.trainer import Trainer

PLAIN = {
    "backbone": "custom_cnn",
    "weights": "none",
    "layers": [{"conv": 4, "stride": 2}],
}


@pytest.fixture(autouse=True)
def _told_of_each_step_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an observer look at the weights before the next step changes them."""
    monkeypatch.setattr(tally, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(tally, "_AHEAD", 0)


class Follows(Observer):
    """Remembers the weights after each step and each epoch."""

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self.steps: list[list[np.ndarray]] = []
        self.epochs: list[list[np.ndarray]] = []

    def on_step(self, epoch: int, step: int, images_per_second: float, loss: float) -> None:
        assert self.trainer is not None
        self.steps.append(weights_of(self.trainer))

    def on_epoch_end(self, epoch: int, values: object, is_best: bool) -> None:
        assert self.trainer is not None
        self.epochs.append(weights_of(self.trainer))


def follow(tmp_path: Path, phase: dict[str, object], **sections: object) -> tuple[Trainer, Follows]:
    observer = Follows()
    recipe = make_recipe([phase], model=PLAIN, **sections)
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state", observer=observer)
    observer.trainer = trainer
    return trainer, observer


def assert_close(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


def test_an_average_follows_by_shares() -> None:
    variable = keras.Variable(np.array([0.0, 8.0], np.float32))
    average = WeightAverage([variable])
    variable.assign([4.0, 8.0])
    average.move(0.25)
    assert average.copies[0].numpy().tolist() == [1.0, 8.0]
    variable.assign([3.0, 8.0])
    average.move(0.5)
    assert average.copies[0].numpy().tolist() == [2.0, 8.0]
    average.put()
    assert variable.numpy().tolist() == [2.0, 8.0]


def test_an_average_is_shown_until_the_block_ends() -> None:
    variable = keras.Variable(np.array([1.0], np.float32))
    average = WeightAverage([variable])
    variable.assign([5.0])

    def stop_while_shown() -> None:
        with average.shown():
            assert variable.numpy().tolist() == [1.0]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_while_shown()
    assert variable.numpy().tolist() == [5.0]
    assert average.copies[0].numpy().tolist() == [1.0]


def test_a_moving_average_starts_fast() -> None:
    # decay min(0.9, (1 + t) / (10 + t)): 2/11, 3/12, then 0.9 from t = 80 on.
    assert moving_share(0.9, 1) == pytest.approx(9 / 11)
    assert moving_share(0.9, 2) == pytest.approx(9 / 12)
    assert moving_share(0.9, 80) == pytest.approx(0.1)
    assert moving_share(0.9, 5000) == pytest.approx(0.1)


def test_shares_of_a_mean() -> None:
    total = 0.0
    for count, value in enumerate((3.0, 5.0, 10.0), start=1):
        total += mean_share(count) * (value - total)
    assert total == pytest.approx(6.0)


def test_the_moving_average_is_judged_and_kept(tmp_path: Path) -> None:
    phase = WHOLE | {"epochs": 2, "ema": 0.7, "learning_rate": 0.02, "keep_best": None}
    trainer, observer = follow(tmp_path, phase)
    average = weights_of(trainer)
    records = trainer.run()
    # 12 images in batches of 4: 6 updates, at shares of 9/11, 9/12, 9/13, 9/14, 9/15, 9/16.
    for update, weights in enumerate(observer.steps, start=1):
        share = 9 / (10 + update)
        average = [one + share * (other - one) for one, other in zip(average, weights, strict=True)]
    assert len(observer.steps) == 6
    assert_close(weights_of(trainer), average)
    judged = score_now(trainer)
    assert judged["loss"] == pytest.approx(records[-1].validation["loss"], abs=1e-6)


def test_the_best_moving_average_is_kept(tmp_path: Path) -> None:
    phase = WHOLE | {"epochs": 4, "ema": 0.5, "learning_rate": 0.5, "keep_best": "loss"}
    trainer, _ = follow(tmp_path, phase)
    best = min(record.validation["loss"] for record in trainer.run())
    assert score_now(trainer)["loss"] == pytest.approx(best, abs=1e-6)


def test_the_mean_of_the_last_epochs_is_kept(tmp_path: Path) -> None:
    phase = WHOLE | {"epochs": 4, "swa": 3, "learning_rate": 0.02, "keep_best": None}
    trainer, observer = follow(tmp_path, phase)
    trainer.run()
    expected = [np.mean(values, axis=0) for values in zip(*observer.epochs[1:], strict=True)]
    assert_close(weights_of(trainer), expected)


NORMED = {
    "backbone": "custom_cnn",
    "weights": "none",
    "layers": [{"conv": 4, "stride": 2, "batch_norm": True}],
}


def make_normed(trainable: bool = True) -> keras.Model:
    inputs = keras.Input((1,))
    norm = keras.layers.BatchNormalization(momentum=0.9, trainable=trainable)
    return keras.Model(inputs, norm(inputs))


def test_statistics_are_the_mean_over_the_batches_by_images() -> None:
    model = make_normed()
    norm = model.layers[1]
    batches = [np.array([[1.0], [3.0]], np.float32), np.array([[10.0]], np.float32)]
    measure_statistics([norm], lambda batch: model(batch, training=True), batches)
    # Means 2 (of two images) and 10 (of one), variances 1 and 0.
    np.testing.assert_allclose(norm.moving_mean.numpy(), [14 / 3], rtol=1e-6)
    np.testing.assert_allclose(norm.moving_variance.numpy(), [2 / 3], rtol=1e-6)
    assert norm.momentum == 0.9


def test_only_norms_that_are_trained_are_found() -> None:
    inner = make_normed()
    outer = keras.Model(inner.input, inner(inner.input))
    assert find_trained_norms([outer, make_normed(trainable=False)]) == [inner.layers[1]]


def test_an_average_of_epochs_measures_its_statistics_anew(tmp_path: Path) -> None:
    recipe = make_recipe(
        [WHOLE | {"epochs": 3, "swa": 2, "keep_best": None, "learning_rate": 0.03}],
        model=NORMED,
        augment={"flip": ["horizontal"], "rotate": 0.2},
    )
    trainer = make_trainer(recipe, tmp_path / "photos", tmp_path / "state")
    trainer.run()
    norm = next(iter(find_trained_norms([trainer.classifier.backbone])))
    before = keras.Model(trainer.classifier.extractor.input, norm.input)
    seen = [before(before_norm(trainer, batch)).numpy() for batch in shown_images(trainer)]
    weights = [len(values) / 12 for values in seen]
    mean = sum(w * values.mean(axis=(0, 1, 2)) for w, values in zip(weights, seen, strict=True))
    spread = sum(w * values.var(axis=(0, 1, 2)) for w, values in zip(weights, seen, strict=True))
    np.testing.assert_allclose(norm.moving_mean.numpy(), mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(norm.moving_variance.numpy(), spread, rtol=1e-3, atol=1e-4)


def shown_images(trainer: object) -> list[np.ndarray]:
    """Return the images of the last epoch, as the phase saw them."""
    from tfclassify.training.sources import open_stream

    recipe, material = trainer._recipe, trainer._material  # type: ignore[attr-defined]
    stream = iter(open_stream(material, recipe, recipe.phases[0], first_epoch=2))
    return [next(stream)[0].numpy() for _ in range(3)]


def before_norm(trainer: object, images: np.ndarray) -> np.ndarray:
    """Scale images as the backbone does before its own layers."""
    values = images
    for layer in make_preprocessing(trainer.classifier.spec.contract):  # type: ignore[attr-defined]
        values = layer(values)
    return values
