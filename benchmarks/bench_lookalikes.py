"""How long the look-alikes of many feature rows take, and how many of the true ones are found.

    python benchmarks/bench_lookalikes.py --rows 100000 --width 1280

Rows are made up: points around centres, cut off at 0 as a network's features are. The search
with all dimensions is timed beside it on a part of the rows.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from measuring import describe_machine

from tfclassify.files import write_json
from tfclassify.labelling.lookalikes import find_neighbours, order_by_cluster


def make_features(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """Make rows whose spread falls off over the dimensions, around a centre for each 50."""
    generator = np.random.default_rng(seed)
    scale = (1.0 / np.sqrt(1.0 + np.arange(width) / 20)).astype(np.float32)
    centres = generator.normal(size=(max(2, rows // 50), width)).astype(np.float32)
    features = np.empty((rows, width), np.float32)
    for start in range(0, rows, 4096):
        part = features[start : start + 4096]
        part[:] = centres[generator.integers(len(centres), size=len(part))]
        part += 0.7 * generator.standard_normal(part.shape, np.float32)
        np.maximum(part * scale, 0, out=part)
    return features


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--exact-rows", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    features = make_features(options.rows, options.width)
    started, busy = time.perf_counter(), time.process_time()
    found = find_neighbours(features, options.count)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - busy
    searched = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{seconds:.1f} s, {cpu_seconds:.1f} s of processors, {searched / 1e9:.2f} GB", flush=True
    )
    started = time.perf_counter()
    order_by_cluster(features)
    cluster_seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    part = features[: options.exact_rows]
    started = time.perf_counter()
    find_neighbours(part, options.count, dimensions=options.width)
    result = {
        "rows": options.rows,
        "width": options.width,
        "neighbours": options.count,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "recall": found.recall,
        "cluster_seconds": cluster_seconds,
        "peak_bytes": peak,
        "exact_rows": len(part),
        "exact_seconds": time.perf_counter() - started,
        "machine": describe_machine(),
    }
    for name, value in result.items():
        print(f"{name}: {value}")
    if options.out is not None:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
