"""How far the times of a network's layers add up to the time of the whole.

    python benchmarks/bench_layers.py --out reports/bench_layers.json
    python benchmarks/bench_layers.py mobilenet_v2 FOLDER_OF_A_MODULE --rounds 3

The layers are timed by the kernels of a trace of the whole (``profiler.kernels``). Weights are
random, but for a module, whose scopes are timed.
"""

from __future__ import annotations

import argparse
import os
from importlib.metadata import version
from pathlib import Path

from tfclassify.files import write_json
from tfclassify.runs.environment import describe_processor
from tfclassify.workflows.start import start_tensorflow

NETWORKS = ["resnet50", "mobilenet_v2", "efficientnet_lite0", "convnext_tiny"]


def main() -> None:
    arguments = parse_arguments()
    start_tensorflow()
    from tfclassify.workflows.profile import ProfileRequest, profile_targets

    print(f"{'network':<22}{'whole ms':>10}{'p5':>9}{'p95':>9}{'parts ms':>10}{'parts/whole':>13}")
    size = ((arguments.size, arguments.size),) if arguments.size else ()
    rows = []
    for target in (arguments.networks or NETWORKS) * arguments.rounds:
        (found,) = profile_targets(
            ProfileRequest((target,), size, arguments.batch_size, device="cpu")
        )
        latency = found.profile.latency
        assert latency is not None  # it was asked for
        whole = latency.batch
        print(
            f"{target:<22}{whole.median_ms:>10.2f}{whole.p5_ms:>9.2f}{whole.p95_ms:>9.2f}"
            f"{latency.parts_ms:>10.2f}{latency.parts_share:>13.1%}"
        )
        rows.append({"target": target, **latency.to_dict()})
    if arguments.out:
        machine = {
            "processor": describe_processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "tensorflow": version("tensorflow"),
        }
        write_json(arguments.out, {"machine": machine, "rows": rows})


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", help="backbones, or folders of SavedModels")
    parser.add_argument("--size", type=int, help="height and width in pixels")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
