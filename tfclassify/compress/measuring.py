"""What a variant of a model costs on this machine: bytes, milliseconds, memory.

Owns: measuring files, and networks side by side. Does not own: making variants
(``training.pruning``, ``export``), their scores (``scoring``), the table (``pages``).
"""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

#: Rounds that are not counted, and those that are.
WARM_UPS, ROUNDS = 3, 30


@dataclass(frozen=True)
class LatencyPercentiles:
    """How long one image takes.

    Attributes:
        p50_ms: Median.
        p95_ms: Time that 95 % of the runs were under.
    """

    p50_ms: float
    p95_ms: float


def time_interleaved(
    networks: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    image: np.ndarray,
    *,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, LatencyPercentiles]:
    """Time several networks on one image, one after another in every round.

    What else the machine does then falls on all of them alike. The order turns by one from
    round to round, so that none always follows the same one.

    Args:
        networks: By name; each takes ``(1, H, W, 3)`` float32.
        image: ``(1, H, W, 3)`` float32.
        rounds: Runs of each that count.
        clock: Seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in networks}
    order = list(networks)
    for number in range(WARM_UPS + rounds):
        turn = number % max(1, len(order))
        for name in order[turn:] + order[:turn]:
            started = clock()
            networks[name](image)
            if number >= WARM_UPS:
                times[name].append(1000 * (clock() - started))
    return {
        name: LatencyPercentiles(*(float(value) for value in np.percentile(spent, [50, 95])))
        for name, spent in times.items()
    }


def zip_size(path: Path) -> int:
    """Return the bytes of a file once zipped, as it would be sent."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    return stream.getbuffer().nbytes
