"""How long a network takes on a device.

Owns: choosing and naming the device, warm-up, repetition, and the times of the whole and
of its parts. Does not own: the records (``results``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from tfclassify.errors import ProfileError, RequestError
from tfclassify.profiler.kernels import Owner, Shares, find_layers, record_kernels, share_out
from tfclassify.profiler.results import Latency, LayerProfile, Profile, Timing
from tfclassify.profiler.roofline import Roof, rate
from tfclassify.profiler.tracing import Shape, call_model, trace_model
from tfclassify.runs.environment import count_cores, describe_processor


def choose_device(wanted: str | None) -> str:
    """Return the device to use: the one asked for, else a GPU if there is one.

    Args:
        wanted: ``cpu``, ``cpu:0``, ``gpu``, ``gpu:0`` and so on, or None.

    Raises:
        RequestError: If TensorFlow does not see the device.
    """
    seen = list_devices()
    if wanted is None:
        return next((name for name in seen if name.startswith("gpu")), "cpu:0")
    name = wanted.lower()
    name = name if ":" in name else f"{name}:0"
    if name not in seen:
        raise RequestError(
            f"--device: TensorFlow sees no {wanted!r} here, only {', '.join(seen)}; name one of "
            "these, or install the GPU build: pip install 'tfclassify[gpu]'"
        )
    return name


def list_devices() -> list[str]:
    """Return the processors and GPUs that TensorFlow sees, such as ``cpu:0``."""
    kinds = ("CPU", "GPU")
    return [
        f"{kind.lower()}:{number}"
        for kind in kinds
        for number, _ in enumerate(tf.config.list_logical_devices(kind))
    ]


def name_device(device: str) -> str:
    """Return the name that the device's maker gave it."""
    kind, _, number = device.partition(":")
    if kind == "gpu":
        found = tf.config.list_physical_devices("GPU")[int(number)]
        details = tf.config.experimental.get_device_details(found)
        return str(details.get("device_name", "GPU"))
    return describe_processor()


#: Side of the square matrices whose product shows what a device can compute.
_PEAK_SIDE = {"cpu": 1536, "gpu": 8192}
#: Numbers in the array whose copy shows what its memory can move: no cache holds them.
_PEAK_NUMBERS = {"cpu": 2**25, "gpu": 2**28}


def measure(
    run: Callable[[], Any], *, warm_ups: int, least: int, most: int, seconds: float
) -> list[float]:
    """Return the milliseconds of each run.

    Args:
        run: What to time; it is waited for, also on a GPU.
        warm_ups: Runs before the first that counts.
        least: Runs at least.
        most: Runs at most.
        seconds: Once so long was measured, no further run starts.
    """
    for _ in range(warm_ups):
        run()
    wait_for_device()
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < least or (len(times) < most and time.perf_counter() - started < seconds):
        before = time.perf_counter()
        run()
        wait_for_device()
        times.append(1000 * (time.perf_counter() - before))
    return times


def wait_for_device() -> None:
    """Wait until all that was started on GPUs is done; a CPU is done when a call returns."""
    if tf.config.list_logical_devices("GPU"):
        tf.test.experimental.sync_devices()


def summarise(times: list[float], batch_size: int) -> Timing:
    """Return the median and the two ends of some runs."""
    p5, median, p95 = (float(value) for value in np.percentile(times, [5, 50, 95]))
    return Timing(batch_size, len(times), median, p5, p95)


def measure_dispatch() -> float:
    """Return the milliseconds that calling a function takes which does nothing."""
    nothing = tf.function(lambda x: x).get_concrete_function(tf.TensorSpec((1,), tf.float32))
    tensor = tf.zeros((1,))
    times = measure(lambda: nothing(tensor), warm_ups=10, least=50, most=50, seconds=1)
    return float(np.median(times))


def measure_roof(device: str) -> Roof:
    """Return what a large matrix product and the copy of a large array reach: their best runs.

    A roof is what the machine can do: the median of a busy machine would be exceeded.
    """
    kind = device.partition(":")[0]
    side, numbers = _PEAK_SIDE[kind], _PEAK_NUMBERS[kind]
    left, right = tf.random.normal((2, side, side))
    product = tf.function(tf.matmul).get_concrete_function(left, right)
    times = measure(lambda: product(left, right), warm_ups=2, least=5, most=20, seconds=1)
    gflops = 2 * side**3 / min(times) / 1e6
    array = tf.zeros((numbers,))
    copy = tf.function(lambda x: tf.raw_ops.DeepCopy(x=x)).get_concrete_function(array)
    times = measure(lambda: copy(array), warm_ups=2, least=5, most=20, seconds=1)
    return Roof(gflops, 2 * 4 * numbers / min(times) / 1e6)


#: Time spent on the whole network, in seconds, and runs that are traced.
_WHOLE_SECONDS, _TRACED_RUNS = 2.0, 10


def add_latency(
    profile: Profile, model: Any, shapes: Sequence[Shape], batch_size: int, device: str
) -> Profile:
    """Time a Keras model, and its layers inside of it.

    Args:
        profile: Of the same model; its layers say what is timed.
        model: The network.
        shapes: The shape of each input, batch left out.
        batch_size: Images a run, besides one.
        device: Such as ``cpu:0``.

    Returns:
        The profile with its latency, and with one for each layer.

    Raises:
        ProfileError: If the model cannot be run.
    """
    with tf.device(device):
        batches = [draw_inputs(model.inputs, shapes, size) for size in {1, batch_size}]
        run = tf.function(lambda *tensors: call_model(model, tensors), autograph=False)
        latency = measure_whole(profile, run, {len(each[0]): each for each in batches}, device)
        trace = trace_model(model, [(batch_size, *shape) for shape in shapes])
        inputs = draw_inputs(model.inputs, shapes, batch_size)
        finder = partial(find_layers, trace=trace)
        return time_layers(
            replace(profile, latency=latency), lambda: trace.function(*inputs), finder
        )


def time_layers(
    profile: Profile,
    run: Callable[[], Any],
    find_owners: Callable[[Shares], Mapping[Owner, float]],
) -> Profile:
    """Return a profile with the time of each layer within one run of the whole.

    Tracing itself takes time, so a few runs are traced for what part of them each layer has,
    and those parts are taken of the whole as it was timed without.

    Args:
        profile: With the latency of the whole, at the batch size of ``run``.
        run: Runs the whole.
        find_owners: Gives each layer's part of the whole by those of the kernels.
    """
    latency = profile.latency
    assert latency is not None  # see above

    def finish() -> None:
        run()
        wait_for_device()

    for _ in range(2):
        finish()
    shared = share_out(*record_kernels(finish, _TRACED_RUNS))
    whole = latency.batch.median_ms
    times = {path: share * whole for path, share in find_owners(shared.shares).items()}
    layers = tuple(
        _time_layer(layer, times.get(layer.path, 0.0), latency) if layer.calls else layer
        for layer in profile.layers
    )
    latency = replace(
        latency,
        parts_ms=sum(layer.latency_ms for layer in layers if layer.latency_ms is not None),
        calling_ms=shared.calling * whole,
        between_ms=shared.between * whole,
    )
    return replace(profile, layers=layers, latency=latency)


def _time_layer(layer: LayerProfile, latency_ms: float, latency: Latency) -> LayerProfile:
    images = latency.batch.batch_size
    moved = images * layer.moved_bytes + layer.read_weight_bytes
    rated = rate(images * layer.flops, moved, latency_ms, latency.roof)
    return replace(layer, latency_ms=latency_ms, rated=rated)


def draw_inputs(tensors: Sequence[Any], shapes: Sequence[Shape], batch_size: int) -> list[Any]:
    """Return random inputs, in 0..255 like images; whole numbers where those are asked for."""
    generator = np.random.default_rng(0)
    drawn = []
    for tensor, shape in zip(tensors, shapes, strict=True):
        values = generator.uniform(0, 255, (batch_size, *shape))
        is_whole = tf.as_dtype(tensor.dtype).is_integer
        drawn.append(tf.constant(values % 2 if is_whole else values, dtype=tensor.dtype))
    return drawn


def measure_whole(
    profile: Profile, run: Callable[..., Any], batches: Mapping[int, list[Any]], device: str
) -> Latency:
    """Time a whole network at one image a run, and at the largest batch given.

    Args:
        profile: For its MACs.
        run: The network as a ``tf.function`` of its inputs.
        batches: The inputs by their batch size.
        device: Such as ``cpu:0``.

    Raises:
        ProfileError: If the network cannot be run.
    """
    before = measure_roof(device)
    single = _time_run(profile, run, batches[1], 1)
    size = max(batches)
    batch = single if size == 1 else _time_run(profile, run, batches[size], size)
    # The machine may have become quicker or slower meanwhile: the higher roof counts.
    after = measure_roof(device)
    roof = Roof(max(before.gflops, after.gflops), max(before.gbytes, after.gbytes))
    return Latency(
        device,
        name_device(device),
        tf.config.threading.get_intra_op_parallelism_threads(),
        count_cores(),
        profile.precision,
        single,
        batch,
        measure_dispatch(),
        roof,
        2 * profile.macs * size / batch.median_ms / 1e6,
    )


def _time_run(profile: Profile, run: Callable[..., Any], inputs: list[Any], size: int) -> Timing:
    try:
        times = measure(lambda: run(*inputs), warm_ups=3, least=10, most=50, seconds=_WHOLE_SECONDS)
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())[:200]
        raise ProfileError(
            f"{profile.model}: cannot be run at batch {size}: {type(error).__name__}: {reason}; "
            "use a smaller --batch-size, or --no-latency"
        ) from error
    return summarise(times, size)
