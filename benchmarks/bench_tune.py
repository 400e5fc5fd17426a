"""A search of head trials: how long, how much of it is not training, and does memory grow.

    python benchmarks/bench_tune.py --images 5000 --trials 100 --out bench_tune.json

All trials train a head on the frozen features of the same photos, which the first of them
stores and the others read (``search: head``). What a trial takes beside its epochs, from
proposing its values to its line in the journal, is ``beside_ms``; the memory is what the
process holds after every tenth trial. One process, trial after trial.
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
    request = TuneRequest(recipe, trials=arguments.trials, out=work / "search")
    result = tune_recipe(request, clock)
    seconds = time.perf_counter() - started
    walls = np.diff(clock.ends)
    trained = [_read_training_seconds(work / "search", trial.number) for trial in result.trials]
    beside = [1000 * (wall - own) for wall, own in zip(walls, trained, strict=True)]
    return {
        "images": arguments.images,
        "image_size": [arguments.size, arguments.size],
        "trials": len(result.trials),
        "states": sorted({trial.state for trial in result.trials}),
        "epochs": arguments.epochs,
        "seconds": seconds,
        "first_trial_s": float(walls[0]),
        "other_trials_s": spread(walls[1:].tolist()),
        "training_s": spread(trained[1:]),
        "beside_ms": spread(beside[1:]),
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
    """Return what the process holds now."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
