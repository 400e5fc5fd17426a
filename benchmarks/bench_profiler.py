"""Profiling a network, against the tf.profiler route to the same totals.

    python benchmarks/bench_profiler.py --out reports/bench_profiler.json

ours       trace the model, attribute every operation, count, walk the receptive field
tfprofiler freeze the weights into a graph and ask ``tf.compat.v1.profiler``, which is what
           keras-flops and most snippets do; it gives totals by operation, no layers

Each side runs in a process of its own, so that imports and peak memory are in it. The two
take turns within each round. The network's weights are random: counts do not depend on
them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from statistics import median

from tfclassify.files import write_json

COMMON = """
import os, resource, sys, time
started = time.perf_counter()
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, tensorflow as tf
shape = ({size}, {size}, 3)
imported = time.perf_counter()
model = keras.applications.{name}(weights=None, input_shape=shape)
built = time.perf_counter()
{body}
import json
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
weights = sum(4 * w.shape.num_elements() for w in (v.value for v in model.variables))
print(json.dumps({{
    "import_s": imported - started,
    "build_s": built - imported,
    "profile_s": time.perf_counter() - built,
    "total_s": time.perf_counter() - started,
    "peak_bytes": peak,
    "weight_bytes": weights,
    "flops": flops,
    "macs": macs,
}}))
"""

OURS = """
from tfclassify.profiler.keras_profile import profile_model
profile = profile_model(model, [shape], title="m", target="m")
flops, macs = profile.flops, profile.macs
"""

TFPROFILER = """
from tensorflow.python.framework.convert_to_constants import (
    convert_variables_to_constants_v2_as_graph,
)
spec = tf.TensorSpec((1, *shape), tf.float32)
function = tf.function(lambda x: model(x, training=False)).get_concrete_function(spec)
_, frozen = convert_variables_to_constants_v2_as_graph(function)
with tf.Graph().as_default() as graph:
    tf.import_graph_def(frozen, name="")
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output().build()
    found = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
flops, macs = found.total_float_ops, None
"""

SIDES = {"ours": OURS, "tfprofiler": TFPROFILER}


def main() -> None:
    arguments = parse_arguments()
    results = {}
    for name in arguments.networks:
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for _ in range(arguments.rounds):
            for side, body in SIDES.items():
                runs[side].append(run_side(name, arguments.size, body))
        results[name] = {side: summarise(found) for side, found in runs.items()}
        show(name, results[name])
    if arguments.out:
        machine = {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "tensorflow": version("tensorflow"),
            "keras": version("keras"),
        }
        write_json(arguments.out, {"machine": machine, "size": arguments.size, **results})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=["ResNet50", "ConvNeXtLarge"])
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


def run_side(name: str, size: int, body: str) -> dict[str, float]:
    """Run one side in a process of its own and return what it measured."""
    code = COMMON.format(name=name, size=size, body=body)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=1800
    )
    return json.loads(done.stdout.splitlines()[-1])


def summarise(runs: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each measurement, and the spread of the total time."""
    facts = {key: median(run[key] for run in runs) for key in runs[0] if runs[0][key] is not None}
    totals = [run["total_s"] for run in runs]
    return {**facts, "total_min_s": min(totals), "total_max_s": max(totals), "runs": len(runs)}


def show(name: str, sides: dict[str, dict[str, float]]) -> None:
    print(
        f"{name:16} {'import':>8} {'build':>8} {'profile':>8} {'total':>8} {'peak':>9} {'FLOPs':>9}"
    )
    for side, facts in sides.items():
        times = "".join(f"{facts[f'{key}_s']:8.1f} " for key in ("import", "build", "profile"))
        print(
            f"  {side:14} {times}{facts['total_s']:8.1f} {facts['peak_bytes'] / 1e9:6.2f} GB"
            f" {facts['flops'] / 1e9:7.3f} G"
        )
    ours = sides["ours"]
    over = (ours["peak_bytes"] - ours["weight_bytes"]) / 1e9
    ratio = sides["tfprofiler"]["total_s"] / ours["total_s"]
    print(f"  ours: {over:.2f} GB over the weights; {ratio:.2f}x as fast in all")


if __name__ == "__main__":
    main()
