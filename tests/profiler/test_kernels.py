"""Times of layers from a trace: whose a kernel is, and what part of the run it took."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from tests.profiler.networks import L
from tfclassify.profiler.kernels import (
    Kernel,
    find_layers,
    read_trace,
    record_kernels,
    share_out,
)
from tfclassify.profiler.tracing import trace_model


def run(begin: int, length: int) -> Kernel:
    return Kernel("", "tfclassify run", begin, length)


def test_time_is_shared_by_kernels_side_by_side() -> None:
    # 0..4 a alone, 4..8 a and b, 8..10 b alone, 10..20 nobody; by hand of 20.
    kernels = [Kernel("a", "Conv2D", 0, 8), Kernel("b", "Relu", 4, 6)]
    shared = share_out([run(0, 20)], kernels)
    assert shared.shares == {
        ("a", "Conv2D"): pytest.approx(0.3),
        ("b", "Relu"): pytest.approx(0.2),
    }


def test_the_rest_is_the_call_and_the_gaps() -> None:
    # Two runs of 20: nothing for 3, a for 8, nothing for 1, b for 3, nothing for 5.
    kernels = [
        Kernel(name, "Mul", start + begin, length)
        for start in (0, 100)
        for name, begin, length in (("a", 3, 8), ("b", 12, 3))
    ]
    shared = share_out([run(0, 20), run(100, 20)], kernels)
    assert shared.calling == pytest.approx(8 / 20)
    assert shared.between == pytest.approx(1 / 20)
    assert sum(shared.shares.values()) == pytest.approx(11 / 20)
    silent = share_out([run(0, 20)], [])
    assert (silent.shares, silent.calling, silent.between) == ({}, 1.0, 0.0)
    # A kernel on a device may end after the call that began it.
    late = share_out([run(0, 20)], [Kernel("a", "Mul", 0, 30)])
    assert (late.calling, late.between) == (0.0, 0.0)


def test_runs_that_were_disturbed_are_left_out() -> None:
    runs = [run(0, 10), run(100, 50), run(200, 10), run(300, 90)]
    kernels = [Kernel("a", "Conv2D", each.begin, length) for each, length in
               zip(runs, (5, 50, 7, 90), strict=True)]  # fmt: skip
    assert share_out(runs, kernels).shares == {("a", "Conv2D"): pytest.approx(12 / 20)}
    assert share_out([], kernels).shares == {}


def make_model() -> keras.Model:
    image = keras.Input((16, 16, 3))
    x = L.Conv2D(8, 3, padding="same", name="conv")(image)
    x = L.ReLU(name="relu")(x)
    grouped = L.Conv2D(8, 3, padding="same", groups=8, use_bias=False, name="grouped")(x)
    return keras.Model(image, L.Dense(4, name="dense")(L.Flatten(name="flat")(grouped)))


def test_kernels_belong_to_the_layers_whose_work_they_do() -> None:
    trace = trace_model(make_model(), [(1, 16, 16, 3)])
    names = {node.type: node.name for node in trace.nodes}
    shares = {
        (names["Relu"], "_FusedConv2D"): 0.5,  # convolution, bias and activation in one
        (names["MatMul"], "MatMul"): 0.125,
        (names["MatMul"] + "-0-TransposeNHWCToNCHW-LayoutOptimizer", "Transpose"): 0.125,
        ("somewhere/else", "Mul"): 0.125,
    }
    found = find_layers(shares, trace)
    assert dict(found) == {("conv",): 0.5, ("dense",): 0.25}
    call = next(node for node in trace.nodes if node.type.endswith("PartitionedCall"))
    inside = {(f"{call.name}/Conv2D", "DepthwiseConv2dNative"): 0.5}
    assert dict(find_layers(inside, trace)) == {("grouped",): 0.5}


def test_sums_that_were_arranged_anew_stay_with_their_layer() -> None:
    image = keras.Input((4, 4, 3))
    x = L.Add(name="skip")([L.Conv2D(3, 1, name="conv")(image), image])
    trace = trace_model(keras.Model(image, x, name="net"), [(1, 4, 4, 3)])
    scope = next(n.name for n in trace.nodes if n.type == "AddV2").rpartition("/")[0]
    shares = {
        (f"{scope}/ArithmeticOptimizer/AddOpsRewrite_Leaf_1_Add", "AddN"): 0.25,
        (f"{scope}/ArithmeticOptimizer/AddOpsRewrite_Add", "AddV2"): 0.5,
        ("elsewhere/ArithmeticOptimizer/AddOpsRewrite_Add", "AddV2"): 0.125,
    }
    assert dict(find_layers(shares, trace)) == {("skip",): 0.75}


def test_a_trace_of_this_processor_names_the_operations() -> None:
    trace = trace_model(make_model(), [(1, 16, 16, 3)])
    image = tf.constant(np.ones((1, 16, 16, 3), np.float32))
    trace.function(image)
    runs, kernels = record_kernels(lambda: trace.function(image), 3)
    assert len(runs) == 3
    found = find_layers(share_out(runs, kernels).shares, trace)
    assert {("conv",), ("grouped",), ("dense",)} <= set(found)
    assert 0 < sum(found.values()) <= 1


def test_a_gpus_kernels_are_those_of_its_streams() -> None:
    """As TensorFlow writes it where there is a GPU: the operation stands beside the kernel."""
    space = xplane_pb2.XSpace()
    host = space.planes.add(name="/host:CPU")
    host.event_metadata[1].name = "tfclassify run"
    host.event_metadata[2].name = "model/conv/Conv2D:Conv2D"  # only puts it on the stream
    line = host.lines.add(name="python", timestamp_ns=1)
    line.events.add(metadata_id=1, offset_ps=0, duration_ps=1000)
    line.events.add(metadata_id=2, offset_ps=0, duration_ps=10)
    device = space.planes.add(name="/device:GPU:0")
    device.event_metadata[1].name = "sm90_xmma_fprop_implicit_gemm"
    device.stat_metadata[1].name = "tf_op"
    device.stat_metadata[2].name = "model/conv/Conv2D:Conv2D"
    for name in ("Stream #13(Compute)", "TensorFlow Ops"):
        event = device.lines.add(name=name, timestamp_ns=1).events.add(
            metadata_id=1, offset_ps=100, duration_ps=700
        )
        event.stats.add(metadata_id=1, ref_value=2)
    runs, kernels = read_trace(space.SerializeToString())
    assert [each.length for each in runs] == [1000]
    assert kernels == [Kernel("model/conv/Conv2D", "Conv2D", 1100, 700)]
    shares = share_out(runs, kernels).shares
    assert shares == {("model/conv/Conv2D", "Conv2D"): pytest.approx(0.7)}
