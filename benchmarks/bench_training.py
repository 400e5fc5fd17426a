"""Images/s of a whole-network phase against plain ``model.fit``, in one run.

    python benchmarks/bench_training.py --out bench_training.json

Every side fine-tunes the same network, all of it but its BatchNorms, with Adam on batches
of 32 of the same photos, decoded once and kept in memory. Two settings:

- whole: augmentation (flips, rotation, zoom, CutMix or MixUp), the step, loss and accuracy,
  as ``tfclassify train`` runs an epoch and as ``model.fit`` does with Keras' layers in
  ``Dataset.map``.
- step: the gradient step alone, on one batch that is there already.

``keras`` is compiled as Keras does by itself (``jit_compile="auto"``, which is XLA),
``keras without XLA`` with ``jit_compile=False``. Rounds of all sides are interleaved, each
in another order; in ``whole`` each round opens its data anew and leaves its first epoch out.
Ratios are made round by round. Processor time counts
every core, and a busy machine disturbs it less than images/s. Op determinism is off, since
Keras' augmentation layers do not go with it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from bench_pipeline import AUGMENT, BATCH, CLASSES, build_theirs, write_photos
from measuring import describe_machine, spread

from tfclassify.files import write_json
from tfclassify.model.assembly import Classifier, build_classifier
from tfclassify.model.freezing import apply_freezing
from tfclassify.pipeline.cache import open_images
from tfclassify.pipeline.stream import TrainingSet
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.tasks import get_task
from tfclassify.training.phases import build_step, start_phase
from tfclassify.training.sources import Material
from tfclassify.training.steps import ForwardPass
from tfclassify.training.tally import EpochTally
from tfclassify.training.trainer import Trainer

BACKBONES = ("efficientnet_lite0", "mobilenet_v2", "resnet50")
OURS, THEIRS = "tfclassify", {"keras": "auto", "keras without XLA": False}

#: Takes the steps that are asked for; returns seconds on the wall and of the processor.
Side = Callable[[int], tuple[float, float]]


def make_recipe(backbone: str, size: int) -> Recipe:
    phase = {"name": "whole", "train": "all", "epochs": 9999, "learning_rate": 1e-4}
    return Recipe.model_validate(
        {
            "name": "bench",
            "data": {"source": "photos", "image_size": size},
            "augment": AUGMENT.model_dump(exclude_defaults=True),
            "model": {"backbone": backbone, "weights": "none", "batch_norm": "frozen"},
            "batch_size": BATCH,
            "phases": [phase | {"keep_best": None}],
            "runtime": {"deterministic": False},
        }
    )


def timed(work: Callable[[], object]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def build(recipe: Recipe) -> Classifier:
    return build_classifier(recipe.model, CLASSES, recipe.data.image_size, seed=0)


def build_keras(recipe: Recipe, jit: object) -> keras.Model:
    """Compile the same network as the guides to fine-tuning do, BatchNorms frozen."""
    classifier = build(recipe)
    apply_freezing(classifier, "all", "frozen")
    network = classifier.network
    network.compile(
        optimizer=keras.optimizers.Adam(1e-4),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=jit,
    )
    return network


def make_steps(recipe: Recipe, theirs: dict[str, object]) -> dict[str, Side]:
    """Make the sides of ``step``."""
    pixels = np.random.default_rng(0).uniform(0, 255, (BATCH, *recipe.data.image_size, 3))
    images = tf.constant(pixels, tf.float32)
    targets = tf.one_hot(np.arange(BATCH) % CLASSES, CLASSES)
    weights = tf.ones([BATCH])
    classifier = build(recipe)
    step, _ = build_step(recipe, recipe.phases[0], classifier, None)

    def take_ours(steps: int) -> tuple[float, float]:
        return timed(lambda: float([step(images, targets, weights)[0] for _ in range(steps)][-1]))

    def make_side(jit: object) -> Side:
        network = build_keras(recipe, jit)
        network.make_train_function()
        batches = tf.data.Dataset.from_tensors((images, targets)).repeat()

        def take(steps: int) -> tuple[float, float]:
            iterator = iter(batches)
            return timed(lambda: [network.train_function(iterator) for _ in range(steps)])

        return take

    return {OURS: take_ours} | {name: make_side(jit) for name, jit in theirs.items()}


class SecondEpoch(keras.callbacks.Callback):
    """Times the second epoch of a fit."""

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        """Note when an epoch begins."""
        self.began = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Note what it took; the last one stays."""
        wall, processor = self.began
        self.took = time.perf_counter() - wall, time.process_time() - processor


def make_wholes(
    recipe: Recipe, theirs: dict[str, object], folder: Path, paths: list[str]
) -> dict[str, Side]:
    """Make the sides of ``whole``; a call's steps are those of an epoch."""
    count, size = len(paths), recipe.data.image_size[0]
    targets = np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES]
    images = open_images(paths, recipe.data)
    training_set = TrainingSet(images, np.arange(count), targets, np.ones(count, np.float32))
    material = Material(training_set, None, targets[:0], None)
    classifier = build(recipe)
    trainer = Trainer(
        recipe, classifier, material, folder / f"state-{recipe.model.backbone}-{size}"
    )
    network = ForwardPass(classifier.network)
    work = start_phase(recipe, 0, classifier, material, network, trainer._observer)
    opened = [0]

    def take_ours(steps: int) -> tuple[float, float]:
        work.source._iterator = None  # a stream of its own, with nothing made ahead
        first = opened[0] + 1
        opened[0] += 2
        for epoch in (first, first + 1):
            tally = EpochTally(get_task(recipe.task), targets)
            took = timed(lambda: trainer._train_epoch(work, epoch, tally))  # noqa: B023
        return took

    def make_side(jit: object) -> Side:
        model = build_keras(recipe, jit)
        photos = build_theirs(folder / "photos", "cached", keras.layers, size)

        def take(steps: int) -> tuple[float, float]:
            clock = SecondEpoch()
            calls = [clock]
            model.fit(
                photos, epochs=2, steps_per_epoch=steps, shuffle=False, verbose=0, callbacks=calls
            )
            return clock.took

        return take

    return {OURS: take_ours} | {name: make_side(jit) for name, jit in theirs.items()}


def measure(sides: dict[str, Side], rounds: int, steps: int, label: str) -> dict[str, object]:
    names = list(sides)
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for take in sides.values():
        take(steps)  # traces, fills caches
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            wall, processor = sides[name](steps)
            measured[name].append((steps * BATCH / wall, 1000 * processor / (steps * BATCH)))
            print(f"{label} round {number + 1} {name}: {measured[name][-1][0]:.1f} images/s")
    return summarise(measured)


def summarise(measured: dict[str, list[tuple[float, float]]]) -> dict[str, object]:
    result: dict[str, object] = {
        name: {
            "images_per_s": spread([one[0] for one in rounds]),
            "cpu_ms_per_image": spread([one[1] for one in rounds]),
        }
        for name, rounds in measured.items()
    }
    others = [name for name in measured if name != OURS]
    for name in others:
        pairs = list(zip(measured[OURS], measured[name], strict=True))
        result[f"over {name}"] = {
            "speed_ratio": spread([a[0] / b[0] for a, b in pairs]),
            "cpu_ratio": spread([b[1] / a[1] for a, b in pairs]),
        }
    result["load"] = os.getloadavg()
    return result


def show(name: str, result: dict[str, object]) -> None:
    print(f"\n{name}: median (min-max), load {result['load'][0]:.1f}")
    for side, values in result.items():
        if side == "load":
            continue
        for unit, each in values.items():
            print(
                f"  {side:<24} {unit:<17} {each['median']:8.2f} "
                f"({each['min']:.2f}-{each['max']:.2f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--sizes", nargs="+", type=int, default=[96, 160, 224])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps of a round")
    parser.add_argument("--sides", nargs="+", default=list(THEIRS), choices=list(THEIRS))
    parser.add_argument("--settings", nargs="+", default=["step", "whole"])
    options = parser.parse_args()
    theirs = {name: THEIRS[name] for name in options.sides}
    result: dict[str, object] = {"machine": describe_machine(), "batch_size": BATCH}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        photos = folder / "photos"
        paths = write_photos(photos, options.steps * BATCH, max(options.sizes))
        for backbone in options.backbones:
            for size in options.sizes:
                recipe = make_recipe(backbone, size)
                for setting in options.settings:
                    keras.backend.clear_session()
                    sides = (
                        make_steps(recipe, theirs)
                        if setting == "step"
                        else make_wholes(recipe, theirs, folder, paths)
                    )
                    name = f"{backbone} {size} px, {setting}"
                    result[name] = measure(sides, options.rounds, options.steps, name)
                    show(name, result[name])
                    if options.out:
                        write_json(options.out, result)


if __name__ == "__main__":
    main()
