"""What a network would need is told without any of it being there."""

from __future__ import annotations

import resource

import keras
import pytest

from tests.model.classifiers import make_tiny
from tfclassify.backbones import footprint
from tfclassify.backbones.footprint import Footprint, check_need, measure
from tfclassify.errors import ModelError

L = keras.layers


def build(units: int = 5) -> keras.Model:
    """Build 8x8x3 -> convolution 8x8x4 -> flat 256 -> dense, the last two in a network."""
    flat = keras.Input((8, 8, 4))
    inner = keras.Model(flat, L.Dense(units, dtype="float16")(L.Flatten()(flat)))
    images = keras.Input((8, 8, 3))
    return keras.Model(images, inner(L.Conv2D(4, 3, padding="same")(images)))


def test_a_network_is_measured_by_hand() -> None:
    got = measure(build)
    convolution, dense = 3 * 3 * 3 * 4 + 4, 256 * 5 + 5
    # Keras keeps variables of float16 layers in float16.
    features = [4 * 192, 4 * 256, 4 * 256, 2 * 256 // 2 * 2, 2 * 5]
    assert got.parameters == convolution + dense
    assert got.weight_bytes == 4 * convolution + 2 * dense
    assert got.largest_bytes == 4 * 256
    assert got.activation_bytes >= sum(features[:3]) + 2 * 5


def test_what_it_takes_to_run_and_to_train() -> None:
    facts = Footprint(10, weight_bytes=40, activation_bytes=300, largest_bytes=100)
    assert facts.to_run() == 40 + 200
    assert facts.to_run(batch_size=8) == 40 + 1600
    assert facts.to_train(batch_size=8) == 160 + 2400


def test_what_cannot_be_built_is_measured_all_the_same() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    got = measure(lambda: build(units=1 << 40))
    assert got.parameters == 112 + 257 * (1 << 40)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10  # KiB
    # Nothing of it is left for Keras to make later.
    assert make_tiny().network.count_params() < 10_000
    with pytest.raises(ZeroDivisionError):
        measure(lambda: build(units=1 << 40) and 1 // 0)
    assert make_tiny().network.count_params() < 10_000


def test_more_than_the_machine_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "total_memory", lambda: 1000)
    facts = Footprint(200, 800, 4 * 10**8, 10)
    check_need("here", 800, facts, "do less")
    with pytest.raises(
        ModelError,
        match=r"here: needs about .* \(200 parameters, 400\.0 MB of features an image\), "
        r"allowed is 80% of this machine's, .*; do less",
    ):
        check_need("here", 801, facts, "do less")
