"""How long a network takes on a device: the whole, and each layer on its real input.

Owns: what is timed and how the parts are set against the whole. Does not own: the clock
(``timing``), the device's name (``devices``).

Each layer is compiled by itself and run on the tensors that it receives in a real
inference, less the time that calling an empty function takes. TensorFlow may fuse a
convolution with its neighbours in the whole network, and runs branches side by side, so
the parts need not add up to the whole; how far they do is part of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfclassify.errors import ProfileError
from tfclassify.profiler import timing
from tfclassify.profiler.devices import count_cores, name_device
from tfclassify.profiler.results import Latency, LayerProfile, Profile, Timing
from tfclassify.profiler.tracing import Shape, call_model, hooked_layers

#: Time spent on one layer and on the whole network, in seconds.
_LAYER_SECONDS, _WHOLE_SECONDS = 0.03, 2.0


def add_latency(
    profile: Profile, model: Any, shapes: Sequence[Shape], batch_size: int, device: str
) -> Profile:
    """Time a Keras model and its layers.

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
        inputs = draw_inputs(model.inputs, shapes, batch_size)
        timed = {layer.path for layer in profile.layers if layer.calls}
        times = _time_layers(model, inputs, timed, latency.dispatch_ms)
    layers = tuple(_set_own_time(layer, times) for layer in profile.layers)
    parts = sum(layer.latency_ms for layer in layers if layer.latency_ms is not None)
    return replace(profile, layers=layers, latency=replace(latency, parts_ms=parts))


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
    peak = timing.measure_peak(device)
    single = _time_run(profile, run, batches[1], 1)
    size = max(batches)
    batch = single if size == 1 else _time_run(profile, run, batches[size], size)
    # The machine may have become quicker or slower meanwhile: the better peak counts.
    peak = max(peak, timing.measure_peak(device))
    return Latency(
        device,
        name_device(device),
        tf.config.threading.get_intra_op_parallelism_threads(),
        count_cores(),
        profile.precision,
        single,
        batch,
        None,
        timing.measure_dispatch(),
        peak,
        2 * profile.macs * size / batch.median_ms / 1e6,
    )


def _time_run(profile: Profile, run: Callable[..., Any], inputs: list[Any], size: int) -> Timing:
    try:
        times = timing.measure(
            lambda: run(*inputs), warm_ups=3, least=10, most=50, seconds=_WHOLE_SECONDS
        )
    except tf.errors.OpError as error:
        reason = " ".join(str(error.message).split())[:200]
        raise ProfileError(
            f"{profile.model}: cannot be run at batch {size}: {type(error).__name__}: {reason}; "
            "use a smaller --batch-size, or --no-latency"
        ) from error
    return timing.summarise(times, size)


def _time_layers(
    model: Any, inputs: list[Any], timed: set[tuple[str, ...]], dispatch_ms: float
) -> dict[tuple[str, ...], float]:
    """Return the time of each layer, its sub-layers' included, by its path.

    The model is run once, eagerly; each layer that is reached is timed in passing on
    the very tensors that it was called with.
    """
    stack: list[Any] = []
    times: dict[tuple[str, ...], float] = {}

    def hook(part: Any, original: Callable[..., Any], arguments: Any, keywords: Any) -> Any:
        if not tf.executing_eagerly():
            return original(*arguments, **keywords)
        stack.append(part)
        path = tuple(each.name for each in stack[1:])
        try:
            if path in timed:
                spent = max(0.0, _time_call(original, arguments, keywords) - dispatch_ms)
                times[path] = times.get(path, 0.0) + spent
            return original(*arguments, **keywords)
        finally:
            stack.pop()

    with hooked_layers(model, hook):
        call_model(model, inputs)
    return times


def _time_call(original: Callable[..., Any], arguments: Any, keywords: Any) -> float:
    """Return the median milliseconds of one call, compiled for its own tensors."""
    flat = keras.tree.flatten((arguments, keywords))
    places = [place for place, value in enumerate(flat) if tf.is_tensor(value)]

    def call(*tensors: Any) -> Any:
        filled = list(flat)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        given, named = keras.tree.pack_sequence_as((arguments, keywords), filled)
        return original(*given, **named)

    tensors = [flat[place] for place in places]
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
    compiled = tf.function(call, autograph=False).get_concrete_function(*specs)
    times = timing.measure(
        lambda: compiled(*tensors), warm_ups=2, least=5, most=100, seconds=_LAYER_SECONDS
    )
    return float(np.median(times))


def _set_own_time(layer: LayerProfile, times: Mapping[tuple[str, ...], float]) -> LayerProfile:
    """Give a layer its time, less that of the layers within it that have lines of their own."""
    whole = times.get(layer.path)
    if whole is None:
        return layer
    depth = len(layer.path)
    within = sum(
        time
        for path, time in times.items()
        if len(path) > depth and path[:depth] == layer.path and _is_outermost(path, depth, times)
    )
    return replace(layer, latency_ms=max(0.0, whole - within))


def _is_outermost(
    path: tuple[str, ...], depth: int, times: Mapping[tuple[str, ...], float]
) -> bool:
    return not any(path[:length] in times for length in range(depth + 1, len(path)))
