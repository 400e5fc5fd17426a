"""Measures how long a function takes on a device.

Owns: warm-up, repetition, waiting for the device, and what a run of nothing costs. Does
not own: what is timed (``latency``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfclassify.profiler.results import Timing

#: Side of the square matrices whose product shows what a device can reach.
_PEAK_SIDE = {"cpu": 1536, "gpu": 8192}


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


def measure_peak(device: str) -> float:
    """Return the GFLOP/s that a large float32 matrix product reaches: the best of its runs."""
    side = _PEAK_SIDE[device.partition(":")[0]]
    spec = tf.TensorSpec((side, side), tf.float32)
    product = tf.function(tf.matmul).get_concrete_function(spec, spec)
    left, right = tf.random.normal((2, side, side))
    times = measure(lambda: product(left, right), warm_ups=2, least=5, most=20, seconds=1)
    return 2 * side**3 / min(times) / 1e6
