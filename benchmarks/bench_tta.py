"""Test-time views in one batched graph, against two ways to do the same by hand.

    python benchmarks/bench_tta.py --out reports/bench_tta.json

ours      every view of a batch of images in one graph (``build_view_model``)
predict   one ``model.predict`` a view and image, as written in many a submission
floor     views x images plain forward passes of the same network, already shifted
          and flipped and in batches of the same size: nothing can be faster

The three take turns within each round, on the same network, so that a busy
machine is as busy for each. Weights are random: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from measuring import describe_machine, spread

from tfclassify.files import write_json
from tfclassify.inference.views import ViewModel, build_view_model
from tfclassify.model.assembly import build_classifier
from tfclassify.recipe.schema import ModelRecipe, TtaRecipe

TTA = TtaRecipe(flips=("horizontal", "vertical"), shift=0.1)
CLASSES = 8


def main() -> None:
    arguments = parse_arguments()
    model = build_model(arguments.backbone, arguments.size)
    views = build_view_model(model, TTA)
    per_batch = views.images_per_batch(arguments.batch_size)
    count = per_batch * max(1, arguments.images // per_batch)
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *views.image_size, 3), dtype=np.uint8)
    sides = {
        "ours": (count, lambda: run_ours(views, images, per_batch)),
        "floor": (count, make_floor(views, images, per_batch)),
        "predict": (arguments.one_by_one, lambda: run_predict(views, images, arguments.one_by_one)),
    }
    check_agreement(sides)
    seconds = measure(sides, arguments.rounds)
    result = summarise(seconds, views, arguments.size, arguments.backbone, count, per_batch)
    show(result)
    if arguments.out:
        write_json(arguments.out, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--size", type=int, default=96, help="height and width in pixels")
    parser.add_argument("--images", type=int, default=9, help="images a round")
    parser.add_argument("--one-by-one", type=int, default=1, help="images a round for predict")
    parser.add_argument("--batch-size", type=int, default=64, help="forward passes a batch")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


def build_model(backbone: str, size: int) -> keras.Model:
    recipe = ModelRecipe(backbone=backbone, weights="none")
    network = build_classifier(recipe, CLASSES, (size, size), seed=0).network
    outputs = keras.layers.Softmax(name="probabilities")(network.outputs[0])
    return keras.Model(network.inputs, outputs)


def run_ours(views: ViewModel, images: np.ndarray, per_batch: int) -> np.ndarray:
    starts = range(0, len(images), per_batch)
    return np.concatenate([views(images[start : start + per_batch]).numpy() for start in starts])


def make_floor(views: ViewModel, images: np.ndarray, per_batch: int) -> Callable[[], np.ndarray]:
    """Prepare every view beforehand, so that only forward passes are timed."""
    forward = tf.function(lambda shown: views.model(shown, training=False))
    batches = []
    for start in range(0, len(images), per_batch):
        batch = tf.cast(images[start : start + per_batch], tf.float32)
        batches.append(tf.concat([view.apply(batch) for view in views.views], axis=0))

    def run() -> np.ndarray:
        answers = [forward(batch).numpy() for batch in batches]
        shape = (views.count, per_batch, CLASSES)
        return np.concatenate([answer.reshape(shape).mean(axis=0) for answer in answers])

    return run


def run_predict(views: ViewModel, images: np.ndarray, count: int) -> np.ndarray:
    answers = []
    for image in images[:count]:
        batch = tf.cast(image[None], tf.float32)
        each = [views.model.predict(view.apply(batch), verbose=0) for view in views.views]
        answers.append(np.mean(each, axis=0)[0])
    return np.array(answers)


Sides = dict[str, tuple[int, Callable[[], np.ndarray]]]


def check_agreement(sides: Sides) -> None:
    """Run each side once, which warms it up, and make sure all give the same answers."""
    answers = {name: run() for name, (_, run) in sides.items()}
    for answer in answers.values():
        np.testing.assert_allclose(answer, answers["floor"][: len(answer)], atol=1e-5)


def measure(sides: Sides, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return wall and processor seconds an image of each side in each round."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    names = list(sides)
    for number in range(rounds):
        # Whoever goes first changes, lest one always follow the slow side.
        for name in names[number % len(names) :] + names[: number % len(names)]:
            count, run = sides[name]
            wall, processor = time.perf_counter(), time.process_time()
            run()
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            seconds[name].append((wall / count, processor / count))
    return seconds


def summarise(
    seconds: dict[str, list[tuple[float, float]]],
    views: ViewModel,
    size: int,
    backbone: str,
    count: int,
    per_batch: int,
) -> dict[str, object]:
    def ratios(other: str, clock: int) -> dict[str, float]:
        pairs = zip(seconds["ours"], seconds[other], strict=True)
        return spread([theirs[clock] / ours[clock] for ours, theirs in pairs])

    return {
        "backbone": backbone,
        "image_size": [size, size],
        "views": list(views.names),
        "images": count,
        "images_per_batch": per_batch,
        "rounds": len(seconds["ours"]),
        "images_per_second": {
            name: spread([1 / wall for wall, _ in values]) for name, values in seconds.items()
        },
        "ours_over_floor": ratios("floor", 0),
        "ours_over_predict": ratios("predict", 0),
        # Processor time leaves out what other programs took, so it is the steadier of the two.
        "ours_over_floor_processor": ratios("floor", 1),
        "ours_over_predict_processor": ratios("predict", 1),
        "machine": describe_machine(),
    }


def show(result: dict[str, object]) -> None:
    print(f"{result['backbone']} at {result['image_size']}, {len(result['views'])} views")
    for name, seen in result["images_per_second"].items():
        print(f"{name:8} {seen['median']:8.1f} images/s  ({seen['min']:.1f}-{seen['max']:.1f})")
    for name in result:
        if not name.startswith("ours_over"):
            continue
        seen = result[name]
        print(f"{name:28} {seen['median']:6.2f}  ({seen['min']:.2f}-{seen['max']:.2f})")


if __name__ == "__main__":
    main()
