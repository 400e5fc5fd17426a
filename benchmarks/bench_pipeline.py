"""Images/s of the training stream against keras and keras-cv, in one run.

    python benchmarks/bench_pipeline.py --out bench_pipeline.json

Every side reads the same synthetic photos (JPEG) from a temporary folder, brings them to
a size (224 x 224) and augments batches of 32 float32 images as the plants recipe does: both flips,
rotation by up to 0.35 of a turn, zoom out by up to 15 %, CutMix or MixUp. Two settings:

- cached: decoded once and kept in memory; later epochs only augment.
- decoded: every image is decoded in every epoch.

The keras sides are built as the keras and TensorFlow guides build them, in the form that
costs them least: batches are cached as they are and only their order is shuffled, and one
draw a batch, not one an image, chooses CutMix or MixUp. Rounds of all sides are interleaved,
each after a warm-up. ``cpu_ms_per_image`` is processor time, which a busy machine disturbs
less than images/s.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from measuring import describe_machine, spread
from PIL import Image

from tfclassify.files import write_json
from tfclassify.pipeline.cache import open_images
from tfclassify.pipeline.stream import TrainingSet, training_stream
from tfclassify.recipe.schema import AugmentRecipe, DataRecipe

BATCH = 32
CLASSES = 8
AUGMENT = AugmentRecipe.model_validate(
    {
        "flip": ["horizontal", "vertical"],
        "rotate": 0.35,
        "zoom": [0.0, 0.15],
        "mix": {"cutmix": 0.5, "mixup": 0.5},
    }
)
SETTINGS = ("cached", "decoded")


def write_photos(folder: Path, count: int, size: int) -> list[str]:
    """Write smooth noise of photo-like sizes as JPEG, a folder a class."""
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        width, height = (int(side) for side in generator.integers(size, 2 * size, 2))
        layers = np.zeros((height, width, 3))
        for cells, strength in ((4, 120), (16, 60), (64, 30)):
            noise = generator.random((cells, cells, 3)) * 255
            layer = Image.fromarray(noise.astype(np.uint8)).resize((width, height), 3)
            layers += strength / 210 * np.asarray(layer)
        path = folder / f"class_{number % CLASSES}" / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(layers.astype(np.uint8)).save(path, quality=90)
        paths.append(str(path))
    return paths


def build_ours(folder: Path, paths: list[str], setting: str, size: int) -> tf.data.Dataset:
    cache = "memory" if setting == "cached" else "none"
    data = DataRecipe(source=str(folder), image_size=(size, size), cache=cache)
    count = len(paths)
    training_set = TrainingSet(
        images=open_images(paths, data),
        keys=np.arange(count),
        targets=np.eye(CLASSES, dtype=np.float32)[np.arange(count) % CLASSES],
        weights=np.ones(count, np.float32),
    )
    return training_stream(training_set, AUGMENT, batch_size=BATCH, seed=0)


def build_theirs(folder: Path, setting: str, layers: object, size: int) -> tf.data.Dataset:
    """Build what the guides show, with the layers of keras or of keras-cv."""
    single = [
        layers.RandomFlip("horizontal_and_vertical"),
        layers.RandomRotation(tuple(AUGMENT.rotate)),
        layers.RandomZoom(tuple(AUGMENT.zoom)),
    ]
    cutmix, mixup = layers.CutMix(1.0), layers.MixUp(0.2)

    @tf.autograph.experimental.do_not_convert
    def augment(images: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        for layer in single:
            images = layer(images, training=True)
        batch = {"images": images, "labels": targets}
        mixed = tf.cond(
            tf.random.uniform([]) < 0.5,
            lambda: cutmix(dict(batch), training=True),
            lambda: mixup(dict(batch), training=True),
        )
        return mixed["images"], mixed["labels"]

    photos = keras.utils.image_dataset_from_directory(
        folder, label_mode="categorical", image_size=(size, size), batch_size=BATCH, verbose=False
    )
    if setting == "cached":
        photos = photos.cache().shuffle(64)
    augmented = photos.repeat().map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    return augmented.prefetch(tf.data.AUTOTUNE)


def measure(dataset: tf.data.Dataset, warm_up: int, batches: int) -> dict[str, float]:
    """Time batches of a fresh iterator, so that nothing was made while others ran."""
    iterator = iter(dataset)
    for _ in range(warm_up):
        next(iterator)
    images = 0
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(batches):
        batch = next(iterator)
        assert batch[0].dtype == tf.float32
        images += len(batch[0])
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"images_per_s": images / wall, "cpu_ms_per_image": 1000 * processor / images}


def summarise(rounds: list[dict[str, float]]) -> dict[str, object]:
    return {name: spread([one[name] for one in rounds]) for name in rounds[0]}


def compare(sides: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    """Give the ratio of ours to the fastest other side, round by round."""
    medians = {
        name: spread([one["images_per_s"] for one in rounds])["median"]
        for name, rounds in sides.items()
        if name != "tfclassify"
    }
    fastest = max(medians, key=lambda name: medians[name])
    pairs = list(zip(sides["tfclassify"], sides[fastest], strict=True))
    return {
        "fastest_other": fastest,
        "speed_ratio": spread([a["images_per_s"] / b["images_per_s"] for a, b in pairs]),
        "cpu_ratio": spread([b["cpu_ms_per_image"] / a["cpu_ms_per_image"] for a, b in pairs]),
    }


def run(count: int, rounds: int, warm_up: int, batches: int, size: int) -> dict[str, object]:
    result: dict[str, object] = {
        "machine": describe_machine() | {"pillow": version("pillow"), "load": os.getloadavg()},
        "images": count,
        "image_size": size,
        "batch_size": BATCH,
        "rounds": rounds,
        "batches_per_round": batches,
        "augment": AUGMENT.model_dump(exclude_defaults=True),
    }
    has_keras_cv = importlib.util.find_spec("keras_cv") is not None
    if not has_keras_cv:
        result["keras_cv"] = 'absent; pip install "tfclassify[augment]" to compare with it'
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        paths = write_photos(folder, count, size)
        for setting in SETTINGS:
            sides = {"tfclassify": build_ours(folder, paths, setting, size)}
            sides["keras"] = build_theirs(folder, setting, keras.layers, size)
            if has_keras_cv:
                import keras_cv

                sides["keras_cv"] = build_theirs(folder, setting, keras_cv.layers, size)
            measured: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
            for dataset in sides.values():
                measure(dataset, count // BATCH + 1, 1)  # fills caches, traces
            for number in range(rounds):
                for name, dataset in sides.items():
                    measured[name].append(measure(dataset, warm_up, batches))
                    rate = measured[name][-1]["images_per_s"]
                    print(f"{setting} round {number + 1} {name}: {rate:.0f} images/s", flush=True)
            result[setting] = {name: summarise(values) for name, values in measured.items()}
            result[setting]["comparison"] = compare(measured)
    return result


def report(result: dict[str, object]) -> None:
    for setting in SETTINGS:
        print(f"\n{setting}:  median (min-max)")
        for name, side in result[setting].items():
            if name == "comparison":
                continue
            speed, processor = side["images_per_s"], side["cpu_ms_per_image"]
            print(
                f"  {name:<11} {speed['median']:6.0f} images/s "
                f"({speed['min']:.0f}-{speed['max']:.0f}), "
                f"{processor['median']:.2f} ms of processor an image"
            )
        comparison = result[setting]["comparison"]
        speed, processor = comparison["speed_ratio"], comparison["cpu_ratio"]
        print(
            f"  tfclassify / {comparison['fastest_other']}: {speed['median']:.2f}x images/s "
            f"({speed['min']:.2f}-{speed['max']:.2f}), {processor['median']:.2f}x by processor time"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--size", type=int, default=224, help="height and width in pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--warm-up", type=int, default=6, help="batches before each round")
    parser.add_argument("--batches", type=int, default=16, help="batches of a round")
    options = parser.parse_args()
    result = run(options.images, options.rounds, options.warm_up, options.batches, options.size)
    report(result)
    if options.out:
        write_json(options.out, result)


if __name__ == "__main__":
    main()
