from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.agreement import FEW, OPTIMIZERS
from tfclassify.training.replicas import ONE, WHOLE, Replicas, Rows


def make_replicas(count: int, workers: int = 1, worker: int = 0) -> Replicas:
    """Make replicas that know their number, without the devices."""
    replicas = Replicas(None, workers, worker)
    replicas.count = count
    return replicas


def test_several_devices_train_as_one() -> None:
    """Contract 12, within one process; a fresh one, since devices are made at its start."""
    command = [sys.executable, "-m", "tests.agreement", "--json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-2000:] + told.stdout
    rows = [json.loads(line) for line in told.stdout.splitlines() if line.startswith("{")]
    assert [row["optimizer"] for row in rows] == [optimizer for optimizer, _ in FEW]
    assert {row["optimizer"] for row in rows} == set(OPTIMIZERS)
    for row in rows:
        assert abs(row["learnt"]) > 0.01, row  # mined images weigh more, so it may rise
        assert row["gap"] < 1e-5, row
        assert row["gap_validation"] is None or row["gap_validation"] < 1e-5, row


@pytest.mark.slow
@pytest.mark.parametrize("several", ["--devices=2", "--devices=3", "--processes=2"])
def test_every_optimizer_with_every_option(several: str) -> None:
    command = [sys.executable, "-m", "tests.agreement", "--full", several]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr[-2000:]


@pytest.mark.parametrize(
    ("images", "devices", "expected"),
    [
        (5, 2, [(0, 2, 0.4), (2, 5, 0.6)]),
        (4, 3, [(0, 1, 0.25), (1, 2, 0.25), (2, 4, 0.5)]),
        # Fewer than devices: each computes all of them, and counts for a third.
        (2, 3, [(0, 2, 1 / 3)] * 3),
    ],
)
def test_rows_of_a_device(
    images: int, devices: int, expected: list[tuple[int, int, float]]
) -> None:
    for device, (start, stop, share) in enumerate(expected):
        rows = Rows.choose(tf.constant(device), devices, tf.constant(images))
        assert (int(rows.start), int(rows.stop)) == (start, stop)
        assert float(rows.share) == pytest.approx(share)


def test_what_devices_spread_adds_up_to_the_batch() -> None:
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    for images, devices in ((6, 4), (3, 4)):
        batch, total = tf.constant(values[:images]), tf.zeros((images, 2))
        for device in range(devices):
            rows = Rows.choose(tf.constant(device), devices, tf.constant(images))
            total += rows.spread(rows.take(batch))
        np.testing.assert_allclose(total, values[:images])


def test_rows_of_a_process_are_those_of_its_devices() -> None:
    assert make_replicas(6, workers=3, worker=1).own_rows(12) == slice(4, 8)
    assert make_replicas(6, workers=3, worker=2).own_rows(7) == slice(4, 7)
    assert make_replicas(6, workers=3, worker=2).own_rows(5) == slice(0, 5)


def test_one_device_computes_the_batch_as_it_is() -> None:
    seen: list[object] = []

    def work(*given: object) -> tuple[str, str, list[str]]:
        seen.extend(given)
        return "loss", "logits", ["gradient"]

    assert ONE.add_up(work, [], 1, 2, 3) == ("loss", "logits", ["gradient"])
    assert seen == [1, 2, 3, WHOLE]
    assert WHOLE.weigh(0.5) == 0.5
    assert WHOLE.weigh_penalty(0.5) == 0.5


class AddsNoise(keras.layers.Layer):
    """Adds random numbers: a random layer that is no dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.draws = keras.random.SeedGenerator(5)

    def call(self, inputs: object) -> object:
        return inputs + keras.random.normal(keras.ops.shape(inputs), seed=self.draws)


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Dropout(0.5, seed=3),
        lambda: keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1), seed=3),
        lambda: keras.layers.SpatialDropout2D(0.5, seed=3),
        AddsNoise,
    ],
)
def test_what_is_random_is_drawn_for_the_whole_batch(make: object) -> None:
    from tfclassify.training.replicas import _draw_for_batch

    inputs = np.random.default_rng(1).normal(size=(5, 4, 4, 3)).astype(np.float32)
    options = {} if make is AddsNoise else {"training": True}
    whole = make()(inputs, **options)  # type: ignore[operator]
    rows = Rows.choose(tf.constant(1), 2, tf.constant(5))
    layer = make()  # type: ignore[operator]
    part = _draw_for_batch(layer, rows)(tf.constant(inputs[2:]), **options)
    np.testing.assert_array_equal(part, whole[2:])
