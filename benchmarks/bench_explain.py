"""Do maps point at what the network's answer rests on? Deletion and insertion curves.

    python benchmarks/bench_explain.py RUN --source data/coco256.zip

For each held-out photo and each of its true labels that the network gives a probability of at
least ``--least``, so that there is an answer to explain, the photo's cells are put in the order of
a map. Deletion blurs them one after the other, the strongest first: the sooner the label's
probability falls, the better (a low mean of the curve). Insertion starts from the blurred photo
and puts the cells back: the sooner it rises, the better (a high mean). Petsiuk et al. 2018,
arXiv:1806.07421.

cam       the map of ``tfclassify explain`` (or grad-cam, as the head is)
views     the same, averaged over the photo and its mirror image
occlusion the map by covering parts
random    cells in random order
centre    cells in order of their distance from the centre

Without RUN a small network is trained on drawn squares, which measures nothing but that it runs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measuring import describe_machine
from PIL import Image, ImageFilter

import tfclassify as tfc
from tfclassify.data.images import decode_image
from tfclassify.data.preparation import prepare_labelled
from tfclassify.export.artefact import open_bundle
from tfclassify.files import write_json
from tfclassify.inference.explanation import Explainer
from tfclassify.model.bundle import Bundle
from tfclassify.recipe.schema import TtaRecipe

#: Cells along each side of a photo; steps of a curve.
CELLS, STEPS = 14, 14
BASELINES = ("random", "centre")
RESAMPLES = 5000
Drawer = Callable[[np.ndarray, int, int], np.ndarray]


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or train_on_squares(Path(folder), arguments.size)
        bundle = open_bundle(Path(run))
        photos, labels = read_photos(bundle, run, arguments)
        labels = choose_labels(bundle, photos, labels, arguments.least)
        curves = measure(bundle, photos, labels, arguments)
    result = {
        "run": bundle.recipe.name,
        "image_size": list(bundle.image_size),
        "photos": len(photos),
        "labels": len(labels),
        "cells": CELLS,
        "method": Explainer(bundle).method,
        "curves": {name: summarise(values, labels) for name, values in curves.items()},
        "differences": {
            f"{name} - {other}": compare(curves[name], curves[other], labels)
            for name in curves
            for other in BASELINES
            if name not in BASELINES
        },
        "machine": describe_machine(),
    }
    show(result)
    if arguments.out:
        write_json(arguments.out, result)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, nargs="?", help="run, bundle; none: drawn squares")
    parser.add_argument("--source", help="labelled photos; default: the run's held-out")
    parser.add_argument("--split", default="validation", help="of the source, where it has any")
    parser.add_argument("--limit", type=int, default=1000, help="photos at most")
    parser.add_argument("--size", type=int, default=64, help="side of drawn squares' photos")
    parser.add_argument("--least", type=float, default=0.1, help="probability of a label")
    parser.add_argument("--no-views", dest="views", action="store_false")
    parser.add_argument("--no-occlusion", dest="occlusion", action="store_false")
    parser.add_argument("--out", type=Path, help="JSON to write")
    return parser.parse_args()


def train_on_squares(folder: Path, size: int) -> Path:
    """Train a small network on photos of noise with one coloured square each."""
    generator = np.random.default_rng(0)
    for number in range(24):
        pixels = generator.normal(128, 40, (size, size, 3))
        row, column = generator.integers(0, size - size // 4, 2)
        channel = number % 3
        pixels[row : row + size // 4, column : column + size // 4] = 250 * np.eye(3)[channel]
        place = folder / "photos" / ("red", "green", "blue")[channel]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place / f"{number}.png")
    network = {"backbone": "custom_cnn", "weights": "none", "layers": [{"conv": 4, "stride": 2}]}
    recipe = {
        "name": "squares",
        "data": {"source": str(folder / "photos"), "image_size": size, "validation": 0.25},
        "model": network,
        "phases": [{"name": "all", "train": "all", "epochs": 1}],
    }
    return Path(tfc.train(recipe, out=folder / "run", progress=False))


def read_photos(
    bundle: Bundle, run: Path, arguments: argparse.Namespace
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return photos ``(n, H, W, 3)`` uint8, and (photo, class) of each true label."""
    source = arguments.source or bundle.recipe.data.source
    index = prepare_labelled(bundle.recipe, source, bundle.classes).index.usable()
    own = index.in_split(arguments.split)
    index = own if len(own) else index
    paths, targets = index.paths()[: arguments.limit], index.targets()[: arguments.limit]
    photos = [decode_image(path, bundle.image_size, bundle.resize) for path in paths]
    return np.stack(photos), [(int(row), int(column)) for row, column in np.argwhere(targets > 0)]


def choose_labels(
    bundle: Bundle, photos: np.ndarray, labels: list[tuple[int, int]], least: float
) -> list[tuple[int, int]]:
    """Keep the labels that the network gives so much probability; all, if that is none."""
    views = Explainer(bundle).views
    chances = np.concatenate(
        [views.probabilities(photos[start : start + 16]) for start in range(0, len(photos), 16)]
    )
    return [label for label in labels if chances[label] >= least] or labels


def measure(
    bundle: Bundle,
    photos: np.ndarray,
    labels: list[tuple[int, int]],
    arguments: argparse.Namespace,
) -> dict[str, np.ndarray]:
    """Return the means of the deletion and insertion curves of each map, ``(labels, 2)``."""
    plain = Explainer(bundle)
    drawers: dict[str, Drawer] = {plain.method: ask(plain)}
    if arguments.views:
        drawers["views"] = ask(Explainer(bundle, TtaRecipe(flips=["horizontal"])))
    if arguments.occlusion:
        drawers["occlusion"] = ask(Explainer(bundle, method="occlusion"))
    generator = np.random.default_rng(0)
    height, width = bundle.image_size
    rows, columns = np.mgrid[0:height, 0:width]
    middle = -((rows / height - 0.5) ** 2) - (columns / width - 0.5) ** 2
    drawers["random"] = lambda *_: generator.random((height, width))
    drawers["centre"] = lambda *_: middle
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in drawers}
    for number, (row, column) in enumerate(labels, start=1):
        for name, draw in drawers.items():
            found[name].append(trace(plain, photos[row], column, draw(photos[row], row, column)))
        if number % 50 == 0:
            print(f"{number} of {len(labels)} labels", flush=True)
    return {name: np.array(values) for name, values in found.items()}


def ask(explainer: Explainer) -> Drawer:
    return lambda photo, _, column: explainer.draw(photo[None], np.array([column]))[0]


def trace(
    explainer: Explainer, photo: np.ndarray, column: int, map: np.ndarray
) -> tuple[float, float]:
    """Return the mean of the deletion and of the insertion curve of one map."""
    height, width = photo.shape[:2]
    cells = np.asarray(
        Image.fromarray(map.astype(np.float32)).resize((CELLS, CELLS), Image.Resampling.BOX)
    )
    rank = (-cells.ravel()).argsort(kind="stable").argsort().reshape(CELLS, CELLS)
    rows, columns = np.arange(height) * CELLS // height, np.arange(width) * CELLS // width
    order = rank[rows[:, None], columns]
    radius = max(height, width) / 12
    blurred = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(radius)))
    shown = []
    for step in range(STEPS + 1):
        is_early = (order < step * CELLS * CELLS / STEPS)[..., None]
        shown += [np.where(is_early, blurred, photo), np.where(is_early, photo, blurred)]
    chances = explainer.views.probabilities(np.stack(shown))[:, column]
    return float(chances[0::2].mean()), float(chances[1::2].mean())


def resample(labels: list[tuple[int, int]]) -> np.ndarray:
    """Draw resamples of the photos: how often each label counts, ``(R, labels)``."""
    photos = np.array([row for row, _ in labels])
    generator = np.random.default_rng(0)
    names = np.unique(photos)
    drawn = generator.integers(len(names), size=(RESAMPLES, len(names)))
    times = np.stack([np.bincount(each, minlength=len(names)) for each in drawn])
    return times[:, np.searchsorted(names, photos)].astype(np.float64)


def summarise(values: np.ndarray, labels: list[tuple[int, int]]) -> dict[str, list[float]]:
    """Return mean and 95 % interval over photos, of deletion and insertion."""
    weights = resample(labels)
    means = weights @ values / weights.sum(axis=1, keepdims=True)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return {
        name: [float(values[:, side].mean()), float(low[side]), float(high[side])]
        for side, name in enumerate(("deletion", "insertion"))
    }


def compare(
    ours: np.ndarray, theirs: np.ndarray, labels: list[tuple[int, int]]
) -> dict[str, list[float]]:
    """Return the paired difference with its interval."""
    return summarise(ours - theirs, labels)


def show(result: dict[str, object]) -> None:
    print(f"{result['run']}: {result['photos']} photos, {result['labels']} labels")
    print("mean of the curve, 95 % interval     deletion (low)           insertion (high)")
    for part in ("curves", "differences"):
        for name, values in result[part].items():
            cells = [f"{m:7.3f} ({lo:.3f} to {hi:.3f})" for m, lo, hi in values.values()]
            print(f"{name:32} {cells[0]:>26} {cells[1]:>26}")


if __name__ == "__main__":
    main()
