"""Time an image and memory of scan, one epoch and predict, as a data set grows; a large index.

    python benchmarks/bench_scale.py --counts 1000 10000 100000 --out bench_scale.json
    python benchmarks/bench_scale.py --counts --rows 10000000 --out bench_index.json

Photos (JPEG, 64 pixels) are made on the spot, once for the largest count; a smaller count is
a folder of links to the first of them. Each task runs in a process of its own, whose peak of
resident memory is noted with that of its workers. ``epoch`` is the second epoch of a small
convolutional network under ``data.cache: none``, so each image is read and decoded in it;
``predict`` asks that network. Seconds are of the task alone, without starts.

``--rows`` makes an index of so many rows without files, writes it, and loads it in a process
of its own: bytes a row on disk and in memory, and seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measuring import describe_machine
from PIL import Image

from tfclassify.events import Observer
from tfclassify.files import write_json

TASKS = ("scan", "epoch", "predict")
RECIPE = """\
name: scale
data: {{source: {source}, image_size: 32, validation: 0.01, cache: none}}
augment: {{flip: [horizontal]}}
model:
  backbone: custom_cnn
  weights: none
  layers: [{{conv: 8, stride: 2}}, {{conv: 16, stride: 2}}]
batch_size: 32
phases: [{{name: whole, epochs: 2, learning_rate: 1.0e-3}}]
"""


class Clock(Observer):
    """Notes when each epoch ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def write_photos(folder: Path, count: int) -> None:
    """Write soft noise of two classes as JPEG, dated so that the scan cache may keep it."""
    generator = np.random.default_rng(0)
    for name in "ab":
        (folder / name).mkdir(parents=True)
    for number in range(count):
        small = generator.integers(0, 256, (9, 9, 3), np.uint8)
        place = folder / "ab"[number % 2] / f"{number:07}.jpg"
        Image.fromarray(small).resize((64, 64)).save(place, quality=90)
        os.utime(place, (1e9, 1e9))


def link_photos(source: Path, folder: Path, count: int) -> None:
    """Make a folder of the first photos of another."""
    for name in "ab":
        (folder / name).mkdir(parents=True)
    for number in range(count):
        name = f"{'ab'[number % 2]}/{number:07}.jpg"
        os.link(source / name, folder / name)


def run_scan(photos: Path, work: Path) -> float:
    """Look at every image once."""
    from tfclassify.data.readers import read_source
    from tfclassify.data.scan import scan
    from tfclassify.recipe.schema import DataRecipe

    index = read_source(DataRecipe(source=str(photos))).index
    started = time.perf_counter()
    scan(index)
    return time.perf_counter() - started


def run_epoch(photos: Path, work: Path) -> float:
    """Train two epochs, and return what the second one took, validation included."""
    from tfclassify.workflows.train import TrainRequest, train_recipe

    recipe, clock = work / "scale.yaml", Clock()
    recipe.write_text(RECIPE.format(source=photos), "utf-8")
    train_recipe(TrainRequest(recipe, out=work / "run"), clock)
    return clock.ends[1] - clock.ends[0]


def run_predict(photos: Path, work: Path) -> float:
    """Predict every image by the network of ``run_epoch``."""
    from tfclassify.export.artefact import open_bundle
    from tfclassify.inference.prediction import predict_paths
    from tfclassify.workflows.start import start_tensorflow

    start_tensorflow()
    bundle = open_bundle(work / "run")
    first = sorted((photos / "a").iterdir())[:64]
    predict_paths(bundle, [str(path) for path in first])
    started = time.perf_counter()
    predict_paths(bundle, str(photos))
    return time.perf_counter() - started


def make_index(path: Path, rows: int) -> None:
    """Write an index of ImageNet-21k's kind: names of 24 letters, 21,841 classes."""
    import pandas as pd

    from tfclassify.data.index import Index, make_frame, save_index

    numbers = np.arange(rows)
    classes = [f"n{number:08}" for number in range(21_841)]
    labels = pd.Series(classes).take(numbers % len(classes)).to_numpy()
    names = [f"{label}/{number:09}.JPEG" for label, number in zip(labels, numbers, strict=True)]
    paths = [f"/data/imagenet/{name}" for name in names]
    digests = [f"{number:064x}" for number in numbers]
    frame = make_frame(names, paths, label=labels, sha256=digests, split="train")
    save_index(Index(frame, tuple(classes), "made"), path)


def load_index(path: Path) -> float:
    """Load an index; return the seconds."""
    from tfclassify.data.index import load_index as load

    started = time.perf_counter()
    load(path)
    return time.perf_counter() - started


def peak_mb(who: int) -> float:
    """Return the peak of resident memory in megabytes."""
    return resource.getrusage(who).ru_maxrss / 1000


def run_one(options: argparse.Namespace) -> None:
    """Do one task in this process and print what it took."""
    before = peak_mb(resource.RUSAGE_SELF)
    task: Any = load_index if options.task == "load" else globals()[f"run_{options.task}"]
    seconds = task(*options.given)
    own, workers = peak_mb(resource.RUSAGE_SELF), peak_mb(resource.RUSAGE_CHILDREN)
    print(
        json.dumps({"seconds": seconds, "peak_mb": own, "workers_mb": workers, "base_mb": before})
    )


def measure(task: str, home: Path, *given: Path) -> dict[str, float]:
    """Do one task in a process of its own."""
    words = [sys.executable, __file__, "--task", task, "--given", *map(str, given)]
    environment = {**os.environ, "TFCLASSIFY_CACHE": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, env=environment)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure_counts(counts: list[int], home: Path) -> list[dict[str, Any]]:
    """Do every task at every count."""
    rows = []
    write_photos(home / "all", max(counts))
    for count in counts:
        photos, work = home / f"photos-{count}", home / f"work-{count}"
        link_photos(home / "all", photos, count)
        work.mkdir()
        for task in TASKS:
            cache = home / f"cache-{count}"
            row = {"task": task, "images": count, **measure(task, cache, photos, work)}
            row["us_per_image"] = 1e6 * row["seconds"] / count
            rows.append(row)
            print(
                f"{task:8} {count:8,} images  {row['us_per_image']:8.0f} us an image  "
                f"{row['peak_mb']:7.0f} MB, workers {row['workers_mb']:.0f} MB",
                flush=True,
            )
    return rows


def measure_index(rows: int, home: Path) -> dict[str, float]:
    """Write and load a large index."""
    path = home / "index.csv"
    started = time.perf_counter()
    make_index(path, rows)
    written = time.perf_counter() - started
    loaded = measure("load", home, path)
    taken = 1e6 * (loaded["peak_mb"] - loaded["base_mb"]) / rows
    print(
        f"{rows:,} rows: written in {written:.1f} s, {path.stat().st_size / rows:.0f} bytes a row "
        f"on disk; loaded in {loaded['seconds']:.1f} s, at its peak {taken:.0f} bytes a row"
    )
    return {
        "rows": rows,
        "disk_bytes_per_row": path.stat().st_size / rows,
        "load_seconds": loaded["seconds"],
        "peak_bytes_per_row": taken,
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    parser.add_argument("--given", type=Path, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        run_one(options)
        return
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as home:
        if options.counts:
            result["tasks"] = measure_counts(options.counts, Path(home))
        if options.rows:
            result["index"] = measure_index(options.rows, Path(home))
    write_json(options.out, {"machine": describe_machine(), **result})


if __name__ == "__main__":
    main()
