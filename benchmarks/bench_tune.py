"""A search of head trials: how long, how much of it is not training, and does memory grow.

    python benchmarks/bench_tune.py --images 5000 --trials 100 --out bench_tune.json
    python benchmarks/bench_tune.py --workers 2 --threads 1

All trials train a head on the frozen features of the same photos, which the first of them
stores and the others read (``search: head``). ``beside_ms`` is what a trial takes beside its
epochs: building its head, compiling, its files. ``search_ms`` is what the search takes
between one trial's end and the next one's beginning: proposing, the journal, the recipe;
with several workers that happens while others train, and is not measured. The memory is what
this process and its workers hold after every tenth trial.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import describe_machine, spread
from PIL import Image

from tfclassify.events import Observer
from tfclassify.executors.catalogue import ExecutorOptions
from tfclassify.files import write_json
from tfclassify.workflows.tune import TuneRequest, tune_recipe

CLASSES = 8


class Clock(Observer):
    """Notes when each trial ended, and the memory then."""

    def __init__(self) -> None:
        self.ends: list[float] = [time.perf_counter()]
        self.memory_mb: list[float] = []

    def on_task_step(self, task: str, done: int) -> None:
        """Note the end of a trial."""
        if task == "trials":
            self.ends.append(time.perf_counter())
            self.memory_mb.append(_read_memory_mb())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--size", type=int, default=96, help="height and width in pixels")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=10, help="epochs of a trial")
    parser.add_argument("--workers", type=int, help="trials at once; default: one, in this process")
    parser.add_argument("--threads", type=int, help="threads of each worker")
    parser.add_argument("--out", type=Path, help="JSON to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        result = measure(arguments, Path(work))
    print(json.dumps(result, indent=2))
    if arguments.out:
        write_json(arguments.out, result)


def measure(arguments: argparse.Namespace, work: Path) -> dict[str, object]:
    write_photos(work / "photos", arguments.images)
    recipe = {
        "name": "bench",
        "data": {"source": str(work / "photos"), "image_size": arguments.size},
        "model": {"backbone": "efficientnet_lite0"},
        "phases": [
            {
                "name": "head",
                "train": "head",
                "epochs": arguments.epochs,
                "learning_rate": 1e-3,
                "features": {"views": 1},
            }
        ],
        "search": "head",
    }
    clock, started = Clock(), time.perf_counter()
    workers, threads = arguments.workers, arguments.threads
    place = ExecutorOptions("processes", workers, threads) if workers else ExecutorOptions()
    request = TuneRequest(recipe, trials=arguments.trials, out=work / "search", executor=place)
    result = tune_recipe(request, clock)
    seconds = time.perf_counter() - started
    walls = np.diff(clock.ends)
    trained = [_read_training_seconds(work / "search", trial.number) for trial in result.trials]
    took = [trial.ended.seconds if trial.ended else 0.0 for trial in result.trials]
    beside = [1000 * (whole - own) for whole, own in zip(took, trained, strict=True)]
    between = [1000 * (wall - own) for wall, own in zip(walls, took, strict=True)]
    return {
        "images": arguments.images,
        "image_size": [arguments.size, arguments.size],
        "trials": len(result.trials),
        "states": sorted({trial.state for trial in result.trials}),
        "epochs": arguments.epochs,
        "seconds": seconds,
        "trials_a_minute": 60 * len(walls) / seconds,
        "first_trial_s": float(walls[0]),
        "trials_a_minute_after_the_first": 60 * len(walls[1:]) / float(walls[1:].sum()),
        "trial_s": spread(took[1:]),
        "training_s": spread(trained[1:]),
        "beside_ms": spread(beside[1:]),
        "search_ms": None if workers else spread(between[1:]),
        "workers": workers or 1,
        "memory_mb": [round(clock.memory_mb[at]) for at in range(0, len(clock.memory_mb), 10)],
        "memory_mb_at_the_end": round(clock.memory_mb[-1]),
        "machine": describe_machine(),
    }


def write_photos(folder: Path, count: int) -> None:
    """Write noise around one colour a class; what is on them does not change the speed."""
    generator = np.random.default_rng(0)
    colours = generator.integers(40, 216, (CLASSES, 3))
    for number in range(count):
        place = folder / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = colours[number % CLASSES] + generator.normal(0, 25, (96, 96, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        image.save(place / f"{number:05}.jpg", quality=90)


def _read_training_seconds(search: Path, number: int) -> float:
    (journal,) = search.glob(f"trial-{number:04d}/journal.jsonl")
    lines = journal.read_text("utf-8").splitlines()
    return sum(json.loads(line)["seconds"] for line in lines)


def _read_memory_mb() -> float:
    """Return what the process and its workers hold now."""
    workers = Path(f"/proc/self/task/{os.getpid()}/children").read_text("utf-8").split()
    pages = 0
    for process in ("self", *workers):
        pages += int(Path(f"/proc/{process}/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
