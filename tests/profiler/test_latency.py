from __future__ import annotations

import time

import keras
import pytest
import tensorflow as tf

from tests.profiler.networks import L
from tfclassify.errors import ProfileError, RequestError
from tfclassify.profiler import latency
from tfclassify.profiler.keras_profile import profile_model
from tfclassify.profiler.latency import (
    add_latency,
    choose_device,
    draw_inputs,
    list_devices,
    measure_whole,
    name_device,
)


def make_network():
    image = keras.Input((16, 16, 3))
    inner_in = keras.Input((16, 16, 8))
    inner = keras.Model(inner_in, L.Conv2D(8, 3, name="inside")(inner_in), name="inner")
    x = inner(L.Conv2D(8, 3, padding="same", name="outside")(image))
    x = L.Reshape((196, 8), name="tokens")(x)
    x = L.MultiHeadAttention(2, 4, name="attention")(x, x)
    return keras.Model(image, L.Dense(2, name="logits")(L.Flatten(name="flat")(x)))


def test_the_whole_and_every_layer_are_timed() -> None:
    model = make_network()
    profile = profile_model(model, [(16, 16, 3)], title="m", target="m")
    timed = add_latency(profile, model, [(16, 16, 3)], 2, "cpu:0")
    latency = timed.latency
    assert latency.single.batch_size == 1
    assert latency.batch.batch_size == 2
    assert latency.batch.p5_ms <= latency.batch.median_ms <= latency.batch.p95_ms
    assert all(layer.latency_ms is not None for layer in timed.layers)
    assert latency.parts_ms == pytest.approx(sum(layer.latency_ms for layer in timed.layers))
    assert 0 < latency.parts_share <= 1  # kernels never take more than the run that they are in
    names = {layer.name for layer in timed.layers if layer.latency_ms > 0}
    assert {"outside", "inner/inside", "logits"} <= names
    assert latency.batch.images_per_second == pytest.approx(2000 / latency.batch.median_ms)
    expected = 2 * 2 * profile.macs / (latency.batch.median_ms / 1000) / 1e9
    assert latency.achieved_gflops == pytest.approx(expected)
    assert timed.cost == profile.cost
    assert all("call" not in vars(layer) for layer in model.layers)
    content = timed.to_dict()["latency"]
    assert content["parts_share"] == latency.parts_ms / latency.batch.median_ms
    assert content["peak_gbytes"] == latency.roof.gbytes
    rest = latency.calling_ms + latency.between_ms
    assert latency.parts_ms + rest <= latency.batch.median_ms * (1 + 1e-9)
    outside = next(layer for layer in timed.layers if layer.name == "outside")
    maps = 4 * 2 * 16 * 16  # bytes of one channel of a batch of two
    assert outside.rated.moved_bytes == (3 + 8) * maps + 4 * (3 * 3 * 3 * 8 + 8)
    assert outside.rated.flops == 2 * outside.flops
    assert outside.rated.latency_ms == outside.latency_ms
    assert content["single"]["batch_size"] == 1


def test_inputs_are_like_images() -> None:
    specs = [tf.TensorSpec((None, 4, 4, 3)), tf.TensorSpec((None, 5), tf.int32)]
    image, tokens = draw_inputs(specs, [(4, 4, 3), (5,)], 2)
    assert image.shape == (2, 4, 4, 3)
    assert 100 < float(tf.reduce_max(image)) <= 255
    assert set(tokens.numpy().ravel()) <= {0, 1}


def test_a_network_that_fails_when_it_runs() -> None:
    model = make_network()
    profile = profile_model(model, [(16, 16, 3)], title="m", target="m")

    def fail(*tensors):
        raise tf.errors.ResourceExhaustedError(None, None, "out of memory")

    with pytest.raises(ProfileError, match="m: cannot be run at batch 1: Resource"):
        measure_whole(profile, fail, {1: [tf.zeros((1,))]}, "cpu:0")


def test_measuring_waits_warms_up_and_stops() -> None:
    calls = []
    times = latency.measure(
        lambda: (calls.append(1), time.sleep(0.002)), warm_ups=2, least=3, most=4, seconds=60
    )
    assert len(times) == 4
    assert len(calls) == 6
    assert min(times) >= 2
    assert len(latency.measure(lambda: None, warm_ups=0, least=3, most=9, seconds=0)) == 3


def test_summary_by_hand() -> None:
    timing = latency.summarise([float(n) for n in range(1, 102)], 4)
    assert (timing.p5_ms, timing.median_ms, timing.p95_ms) == (6.0, 51.0, 96.0)
    assert timing.runs == 101


def test_devices() -> None:
    assert choose_device("cpu") == choose_device("CPU:0") == "cpu:0"
    assert choose_device(None) in list_devices()
    assert name_device("cpu:0")
    roof = latency.measure_roof("cpu:0")
    assert roof.gflops > 0.1
    assert roof.gbytes > 0.01
    with pytest.raises(RequestError, match="TensorFlow sees no 'gpu:7' here, only cpu:0"):
        choose_device("gpu:7")
