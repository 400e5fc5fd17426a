"""Seconds an epoch of a head phase: cached features against the streamed backbone.

    python benchmarks/bench_features.py --out bench_features.json

Both sides are the program's own training of the same recipe on the same photos; they
differ in ``features: {views: 1}`` alone, and without augmentation they must reach the same
losses, which is checked. An epoch is all that a user waits for: training, the pass over the
validation images, saving the state. Sides take turns; the first epoch of each training,
which compiles, is left out. Running the backbone once for the cache is a cost of its own,
given as ``extraction_s``, and ``pays_after_epochs`` says when it is earned back.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import describe_machine, spread
from PIL import Image

from tfclassify.data.index import image_key
from tfclassify.events import Observer
from tfclassify.files import write_json
from tfclassify.model.assembly import build_classifier
from tfclassify.pipeline.cache import open_images
from tfclassify.pipeline.stream import TrainingSet
from tfclassify.recipe.schema import Recipe
from tfclassify.training.sources import Material
from tfclassify.training.trainer import Trainer

CLASSES = 8
SIDES = ("streamed", "cached")


class Clock(Observer):
    """Notes how long the start and each epoch took, on the wall and on the processor."""

    def __init__(self) -> None:
        self.epochs: list[tuple[float, float]] = []
        self.losses: list[float] = []
        self.start_s = 0.0
        self._mark = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def on_phase_start(
        self, phase: str, epochs: int, steps: int, images: int, watched: str = ""
    ) -> None:
        """Note what came before the first epoch: with cached features, the extraction."""
        now = self._now()
        self.start_s = now[0] - self._mark[0]
        self._mark = now

    def on_epoch_end(self, epoch: int, values: Mapping[str, float], is_best: bool) -> None:
        """Note an epoch's time and loss."""
        now = self._now()
        self.epochs.append((now[0] - self._mark[0], now[1] - self._mark[1]))
        self.losses.append(values["train_loss"])
        self._mark = now


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), arguments.images + arguments.validation)
        result = compare(arguments, paths, Path(folder))
    show(result)
    if arguments.out:
        write_json(arguments.out, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet", help="imagenet or none")
    parser.add_argument("--size", type=int, default=96, help="height and width in pixels")
    parser.add_argument("--images", type=int, default=256, help="training images")
    parser.add_argument("--validation", type=int, default=64, help="validation images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streamed-epochs", type=int, default=2, help="measured in a round")
    parser.add_argument("--cached-epochs", type=int, default=20, help="measured in a round")
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


def write_photos(folder: Path, count: int) -> list[str]:
    """Write noise around one colour a class; what is on them does not change the speed."""
    generator = np.random.default_rng(0)
    colours = generator.integers(40, 216, (CLASSES, 3))
    paths = []
    for number in range(count):
        pixels = colours[number % CLASSES] + generator.normal(0, 25, (120, 160, 3))
        path = folder / f"{number:04}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)
        paths.append(str(path))
    return paths


def make_recipe(arguments: argparse.Namespace, side: str) -> Recipe:
    epochs = 1 + (arguments.cached_epochs if side == "cached" else arguments.streamed_epochs)
    phase = {"name": "head", "train": "head", "epochs": epochs, "learning_rate": 1e-3}
    if side == "cached":
        phase["features"] = {"views": 1}
    return Recipe.model_validate(
        {
            "name": "bench",
            "data": {"source": "photos", "image_size": arguments.size},
            "model": {
                "backbone": arguments.backbone,
                "weights": arguments.weights,
                "head": {"dropout": 0.2, "dense": [128]},
            },
            "phases": [phase],
        }
    )


def make_material(recipe: Recipe, paths: list[str], images: int) -> Material:
    targets = np.eye(CLASSES, dtype=np.float32)[np.arange(len(paths)) % CLASSES]
    training_set = TrainingSet(
        images=open_images(paths[:images], recipe.data),
        keys=np.array([image_key(path) for path in paths[:images]], dtype=np.int64),
        targets=targets[:images],
        weights=np.ones(images, np.float32),
    )
    return Material(training_set, open_images(paths[images:], recipe.data), targets[images:], None)


def compare(arguments: argparse.Namespace, paths: list[str], folder: Path) -> dict[str, object]:
    clocks: dict[str, list[Clock]] = {side: [] for side in SIDES}
    for number in range(arguments.rounds):
        # Whoever goes first changes, lest one always follow the slow side.
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            recipe = make_recipe(arguments, side)
            material = make_material(recipe, paths, arguments.images)
            classifier = build_classifier(
                recipe.model, CLASSES, recipe.data.image_size, seed=recipe.seed
            )
            state, clock = folder / f"{side}-{number}", Clock()
            Trainer(recipe, classifier, material, state, observer=clock).run()
            clocks[side].append(clock)
    check_agreement(clocks)
    return summarise(arguments, clocks)


def check_agreement(clocks: dict[str, list[Clock]]) -> None:
    """Make sure that both sides learnt the same in the epochs that both did."""
    streamed, cached = (clocks[side][0].losses for side in SIDES)
    shared = min(len(streamed), len(cached))
    np.testing.assert_allclose(streamed[:shared], cached[:shared], atol=1e-3)


def summarise(arguments: argparse.Namespace, clocks: dict[str, list[Clock]]) -> dict[str, object]:
    def collect(side: str, position: int) -> list[list[float]]:
        return [[epoch[position] for epoch in clock.epochs[1:]] for clock in clocks[side]]

    def ratios(position: int) -> dict[str, float]:
        pairs = zip(collect("streamed", position), collect("cached", position), strict=True)
        return spread(
            [spread(streamed)["median"] / spread(cached)["median"] for streamed, cached in pairs]
        )

    seconds = {
        side: spread([wall for epochs in collect(side, 0) for wall in epochs]) for side in SIDES
    }
    extraction = spread([clock.start_s for clock in clocks["cached"]])
    saved = seconds["streamed"]["median"] - seconds["cached"]["median"]
    return {
        "backbone": arguments.backbone,
        "weights": arguments.weights,
        "image_size": [arguments.size, arguments.size],
        "training_images": arguments.images,
        "validation_images": arguments.validation,
        "rounds": arguments.rounds,
        "seconds_per_epoch": seconds,
        "streamed_over_cached": ratios(0),
        # Processor time leaves out what other programs took, so it is the steadier of the two.
        "streamed_over_cached_processor": ratios(1),
        "extraction_s": extraction,
        "pays_after_epochs": extraction["median"] / saved,
        "machine": describe_machine(),
    }


def show(result: dict[str, object]) -> None:
    print(
        f"{result['backbone']} at {result['image_size']}, {result['training_images']} training and "
        f"{result['validation_images']} validation images"
    )
    rows = {f"{side} s/epoch": values for side, values in result["seconds_per_epoch"].items()}
    rows["extraction s, once"] = result["extraction_s"]
    for name in ("streamed_over_cached", "streamed_over_cached_processor"):
        rows[name] = result[name]
    for name, values in rows.items():
        print(f"{name:32} {values['median']:8.3f}  ({values['min']:.3f}-{values['max']:.3f})")
    print(f"the cache is earned back after {result['pays_after_epochs']:.1f} epochs")


if __name__ == "__main__":
    main()
