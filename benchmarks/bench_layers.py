"""How far the times of a network's layers add up to the time of the whole.

    python benchmarks/bench_layers.py --out reports/bench_layers.json
    python benchmarks/bench_layers.py mobilenet_v2 FOLDER_OF_A_MODULE --rounds 3

The layers are timed by the kernels of a trace of the whole (``profiler.kernels``). Weights are
random, but for a module, whose scopes are timed. ``hub:NAME`` is the TensorFlow Hub module that
``tfclassify backbones NAME --export`` writes, made on the spot.
"""

from __future__ import annotations

import argparse
import os
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tfclassify.files import write_json
from tfclassify.runs.environment import describe_processor
from tfclassify.workflows.start import start_tensorflow

if TYPE_CHECKING:
    from tfclassify.profiler.results import Profile

NETWORKS = [
    *("resnet50", "mobilenet_v2", "efficientnet_lite0", "convnext_tiny"),
    "hub:efficientnet_lite0",
]


def main() -> None:
    arguments = parse_arguments()
    start_tensorflow()
    from tfclassify.workflows.profile import ProfileRequest, profile_targets

    print(
        f"{'network':<24}{'whole ms':>9}{'p5':>8}{'p95':>8}{'parts ms':>9}{'parts/whole':>12}"
        f"{'calling':>9}{'between':>9}{'compute':>9}{'memory':>8}"
    )
    size = ((arguments.size, arguments.size),) if arguments.size else ()
    rows = []
    with TemporaryDirectory() as folder:
        names = arguments.networks or NETWORKS
        targets = {name: find_module(name, Path(folder), arguments.size) for name in names}
        for name in names * arguments.rounds:
            request = ProfileRequest((targets[name],), size, arguments.batch_size, device="cpu")
            (found,) = profile_targets(request)
            rows.append({"target": name, **report(name, found.profile)})
    if arguments.out:
        machine = {
            "processor": describe_processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "tensorflow": version("tensorflow"),
        }
        write_json(arguments.out, {"machine": machine, "rows": rows})


def find_module(name: str, folder: Path, size: int | None) -> str:
    """Return what to profile: the module of a backbone, made in a folder, or the name itself."""
    kind, _, backbone = name.partition(":")
    if kind != "hub":
        return name
    from tfclassify.workflows.backbones import BackboneExportRequest, export_backbone

    sides = (size, size) if size else None
    request = BackboneExportRequest(backbone, folder / backbone, sides, "none")
    return str(export_backbone(request).folder)


def report(name: str, profile: Profile) -> dict[str, Any]:
    """Print a line on one network: the parts, the rest, and the share of either bound."""
    latency = profile.latency
    assert latency is not None  # it was asked for
    assert latency.calling_ms is not None
    assert latency.between_ms is not None
    whole = latency.batch
    rated = [layer.rated for layer in profile.layers if layer.rated is not None]
    bounds = {
        bound: sum(each.latency_ms for each in rated if each.bound == bound) / whole.median_ms
        for bound in ("compute", "memory")
    }
    print(
        f"{name:<24}{whole.median_ms:>9.2f}{whole.p5_ms:>8.2f}{whole.p95_ms:>8.2f}"
        f"{latency.parts_ms:>9.2f}{latency.parts_share:>12.1%}"
        f"{latency.calling_ms / whole.median_ms:>9.1%}{latency.between_ms / whole.median_ms:>9.1%}"
        f"{bounds['compute']:>9.1%}{bounds['memory']:>8.1%}",
        flush=True,
    )
    return {**latency.to_dict(), "share_bound_by": bounds}


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
