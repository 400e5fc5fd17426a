"""How much faster XNNPACK runs a network once most of its 1x1 weights are zero.

The network has random weights and is not fine-tuned: this measures speed alone. It is built,
pruned and written as ``tfclassify compress --sparse`` does.

    python benchmarks/bench_sparse.py --size 224 --out sparse.json
    python benchmarks/bench_sparse.py --without-avx

XNNPACK leaves its sparse kernels alone on x86 processors with AVX. ``--without-avx`` times
a copy of the runtime whose question for the vector registers that the system saves is
always answered with none; it shows what a processor without AVX would use.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import describe_machine

from tfclassify.compress.measuring import time_interleaved, zip_size
from tfclassify.files import write_json

SPARSITIES = (0.0, 0.8, 0.9)
#: xgetbv, and instructions of the same length that answer with no bit set.
_ASK, _NONE = b"\x0f\x01\xd0", b"\x31\xc0\x90"


def write_files(folder: Path, options: argparse.Namespace) -> dict[str, Path]:
    """Write the network with a head of eight classes, dense and sparse, at every sparsity."""
    from tfclassify.export.litert_file import write_litert
    from tfclassify.export.saved_model import Graph
    from tfclassify.inference.views import build_view_model
    from tfclassify.model.assembly import build_classifier
    from tfclassify.model.bundle import build_probability_model
    from tfclassify.recipe.schema import ModelRecipe
    from tfclassify.training.pruning import find_kernels, keep_largest

    recipe = ModelRecipe(backbone=options.backbone, weights="none", padding="symmetric")
    classifier = build_classifier(recipe, 8, (options.size, options.size), seed=0)
    model, files = build_probability_model(classifier), {}
    for sparsity in options.sparsity:
        for kernel in find_kernels(classifier.network, is_pointwise=True):
            values = kernel.numpy()
            kernel.assign(values * keep_largest(values, round((1 - sparsity) * values.size)))
        for precision in ("float32", "float32-sparse"):
            name = f"{100 * sparsity:g} % zero, {precision}"
            files[name] = folder / f"{len(files)}.tflite"
            graph = Graph(build_view_model(model, None), 1)
            write_litert(files[name], graph, {}, precision=precision, calibration=None)
    return files


def time_files(files: dict[str, Path], size: int, rounds: int) -> dict[str, Any]:
    """Time the files in turn on one thread of this process."""
    from tfclassify.export.formats import ARTEFACT_FORMATS
    from tfclassify.export.reading import load_program

    program = load_program(ARTEFACT_FORMATS["litert"], Path("artefact"))
    networks = {name: program.Network(file, 1) for name, file in files.items()}
    image = np.random.default_rng(0).uniform(0, 255, (1, size, size, 3))
    times = time_interleaved(networks, image.astype(np.float32), rounds=rounds)
    return {name: [found.p50_ms, found.p95_ms] for name, found in times.items()}


def hide_avx(folder: Path) -> Path:
    """Copy the runtime into a folder, and let the copy find no AVX."""
    import ai_edge_litert

    package = Path(ai_edge_litert.__file__).parent
    shutil.copytree(package, folder / package.name)
    for library in (folder / package.name).glob("*.so"):
        library.write_bytes(library.read_bytes().replace(_ASK, _NONE))
    return folder


def time_afresh(files: dict[str, Path], options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Time the files in a fresh process, with the runtime that was asked for."""
    paths = [str(path) for path in (Path(__file__).parents[1], os.environ.get("PYTHONPATH", ""))]
    if options.without_avx:
        paths.insert(0, str(hide_avx(work / "packages")))
    task = work / "task.json"
    write_json(task, {"files": files, "size": options.size, "rounds": options.rounds})
    answer = subprocess.run(
        [sys.executable, __file__, "--task", str(task)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(answer.stdout.splitlines()[-1]))


def main() -> None:
    """Time the variants in turn on one thread and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--sparsity", type=float, nargs="*", default=list(SPARSITIES))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--without-avx", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--task", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        task = json.loads(options.task.read_text("utf-8"))
        files = {name: Path(file) for name, file in task["files"].items()}
        print(json.dumps(time_files(files, task["size"], task["rounds"])))
        return
    rows = []
    with TemporaryDirectory() as folder:
        work = Path(folder)
        files = write_files(work, options)
        times = time_afresh(files, options, work)
        dense = times[next(iter(files))][0]
        for name, file in files.items():
            row = {
                "variant": name,
                "p50_ms": times[name][0],
                "p95_ms": times[name][1],
                "times_as_fast": dense / times[name][0],
                "size_bytes": file.stat().st_size,
                "zipped_bytes": zip_size(file),
            }
            rows.append(row)
            print(
                f"{name:24} {row['p50_ms']:8.2f} ms (p95 {row['p95_ms']:.2f}) "
                f"{row['times_as_fast']:5.2f}x  {row['size_bytes']:>10,} B"
            )
    if options.out:
        machine = describe_machine() | {"hides_avx": options.without_avx}
        write_json(options.out, {"machine": machine, "variants": rows})


if __name__ == "__main__":
    main()
