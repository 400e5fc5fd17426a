"""Seconds an epoch with deterministic operations against without them.

    python benchmarks/bench_determinism.py --out bench_determinism.json

Both sides train the same recipe on the same photos, whole network, and differ in
``runtime.deterministic`` alone. TensorFlow cannot switch determinism off again, so each
training has a process of its own; sides take turns, and the first epoch of each, which
compiles, is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import describe_machine, spread
from PIL import Image

CLASSES = 4
SIDES = ("deterministic", "free")


def main() -> None:
    arguments = parse_arguments()
    if arguments.side:
        print(json.dumps(measure(arguments)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder) / "photos", arguments.images)
        result = compare(arguments, folder)
    show(result)
    if arguments.out:
        from tfclassify.files import write_json

        write_json(arguments.out, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenet_025")
    parser.add_argument("--size", type=int, default=96, help="height and width in pixels")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3, help="measured in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def write_photos(folder: Path, count: int) -> None:
    """Write noise around one colour a class; what is on them does not change the speed."""
    generator = np.random.default_rng(0)
    colours = generator.integers(40, 216, (CLASSES, 3))
    for number in range(count):
        pixels = colours[number % CLASSES] + generator.normal(0, 25, (120, 120, 3))
        path = folder / f"class {number % CLASSES}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)


def compare(arguments: argparse.Namespace, folder: str) -> dict[str, object]:
    rounds: dict[str, list[dict[str, list[float]]]] = {side: [] for side in SIDES}
    for number in range(arguments.rounds):
        # Whoever goes first changes, lest one always follow the slow side.
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            words = [sys.executable, __file__, "--side", side, "--folder", folder]
            for name in ("backbone", "size", "epochs"):
                words += [f"--{name}", str(getattr(arguments, name))]
            told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            rounds[side].append(json.loads(told.splitlines()[-1]))
    ratios = {}
    for clock in ("wall", "processor"):
        pairs = zip(*(rounds[side] for side in SIDES), strict=True)
        ratios[clock] = spread(
            [np.median(one[clock]) / np.median(two[clock]) for one, two in pairs]
        )
    return {
        "backbone": arguments.backbone,
        "image_size": [arguments.size, arguments.size],
        "images": arguments.images,
        "seconds_per_epoch": {
            side: spread([value for each in rounds[side] for value in each["wall"]])
            for side in SIDES
        },
        "deterministic_over_free": ratios["wall"],
        "deterministic_over_free_processor": ratios["processor"],
        "machine": describe_machine(),
    }


def measure(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Train one side in this process; return the seconds of its epochs by clock."""
    from tfclassify.data.preparation import prepare_data
    from tfclassify.events import Observer
    from tfclassify.recipe.schema import Recipe
    from tfclassify.training.trainer import Trainer
    from tfclassify.workflows.material import build_network, open_material
    from tfclassify.workflows.start import set_up_keras

    class Clock(Observer):
        """Notes how long each epoch took, on the wall and on the processor."""

        def __init__(self) -> None:
            self.marks: list[tuple[float, float]] = []

        def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
            self.marks.append((time.perf_counter(), time.process_time()))

    recipe = Recipe.model_validate(
        {
            "name": "bench",
            "data": {"source": str(arguments.folder / "photos"), "image_size": arguments.size},
            "augment": {"flip": ["horizontal"], "rotate": 0.1},
            "model": {"backbone": arguments.backbone, "weights": "none"},
            "phases": [{"name": "all", "epochs": 1 + arguments.epochs}],
            "runtime": {"deterministic": arguments.side == "deterministic"},
        }
    )
    set_up_keras(recipe)
    index, clock = prepare_data(recipe).index, Clock()
    material = open_material(recipe, index, clock)
    state = arguments.folder / f"state-{time.time_ns()}"
    Trainer(recipe, build_network(recipe, index), material, state, observer=clock).run()
    gaps = np.diff(np.array(clock.marks), axis=0)
    return {"wall": gaps[:, 0].tolist(), "processor": gaps[:, 1].tolist()}


def show(result: dict[str, object]) -> None:
    print(f"{result['backbone']} at {result['image_size']}, {result['images']} images")
    rows = {f"{side} s/epoch": values for side, values in result["seconds_per_epoch"].items()}
    for name in ("deterministic_over_free", "deterministic_over_free_processor"):
        rows[name] = result[name]
    for name, values in rows.items():
        print(f"{name:34} {values['median']:8.3f}  ({values['min']:.3f}-{values['max']:.3f})")


if __name__ == "__main__":
    main()
