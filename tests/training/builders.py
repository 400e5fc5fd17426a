"""Small trainings for the tests of this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.builders import make_photo_folder
from tfclassify.data.index import image_key
from tfclassify.events import SILENT, Observer
from tfclassify.model.assembly import build_classifier
from tfclassify.pipeline.cache import open_images
from tfclassify.pipeline.stream import TrainingSet
from tfclassify.recipe.schema import Recipe
from tfclassify.scoring.epochs import EpochRecord
from tfclassify.training.feature_store import FeatureStore
from tfclassify.training.replicas import ONE, Replicas
from tfclassify.training.sources import Material
from tfclassify.training.teacher import Teacher
from tfclassify.training.trainer import Trainer

HEAD = {"name": "head", "train": "head", "epochs": 3, "learning_rate": 0.01}
WHOLE = {"name": "whole", "train": "all", "epochs": 3, "learning_rate": 0.003}
LAYERS = [
    {"conv": 4, "stride": 2, "batch_norm": True, "dropout": 0.1},
    {"conv": 8, "pool": 2},
]


def make_recipe(phases: list[dict[str, Any]], **sections: Any) -> Recipe:
    """Make a recipe of a small custom CNN; sections replace or add keys."""
    content: dict[str, Any] = {
        "name": "tiny",
        "seed": 3,
        "data": {"source": "photos", "image_size": 16},
        "model": {
            "backbone": "custom_cnn",
            "weights": "none",
            "layers": LAYERS,
            "head": {"dropout": 0.2, "dense": [8], "l2": 0.001},
        },
        "batch_size": 4,
        "phases": phases,
    }
    if sections.get("task") == "multi_label":
        content["data"] = {"source": "tags.csv", "image_size": 16, "label_separator": "+"}
    return Recipe.model_validate(content | sections)


def make_targets(recipe: Recipe, ids: np.ndarray, classes: int) -> np.ndarray:
    """Make one-hot labels; of a multi-label recipe every third set has another label more.

    Every fifth set is empty.
    """
    targets = np.eye(classes, dtype=np.float32)[ids]
    if recipe.task == "multi_label":
        targets[::3] = np.maximum(targets[::3], np.roll(targets[::3], 1, axis=1))
        targets[::5] = 0.0
    return targets


def make_material(
    recipe: Recipe,
    folder: Path,
    validation: int = 6,
    class_weights: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    features: FeatureStore | None = None,
) -> Material:
    """Make material from a folder of photos: the last rows of a shuffle are validation."""
    if not folder.exists():
        make_photo_folder(folder, images_per_class=6)
    files = sorted(folder.rglob("*.png"))
    names = sorted({file.parent.name for file in files})
    ids = np.array([names.index(file.parent.name) for file in files])
    order = np.random.default_rng(5).permutation(len(files))
    held, kept = np.sort(order[:validation]), np.sort(order[validation:])

    def open_rows(rows: np.ndarray) -> Any:
        return open_images([str(files[row]) for row in rows], recipe.data)

    targets = make_targets(recipe, ids, len(names))
    training_set = TrainingSet(
        open_rows(kept),
        np.array([image_key(files[row].name) for row in kept], dtype=np.int64),
        targets[kept],
        np.ones(len(kept), np.float32) if weights is None else weights,
    )
    watched = open_rows(held) if validation else None
    teacher = make_teacher() if recipe.distil is not None else None
    return Material(training_set, watched, targets[held], class_weights, features, teacher)


def make_teacher(seen: list[np.ndarray] | None = None) -> Teacher:
    """Make a teacher of three classes that tells an image by the shares of its colours."""

    def tell(images: Any) -> np.ndarray:
        pixels = np.asarray(images)
        if seen is not None:
            seen.append(pixels)
        light = pixels.mean(axis=(1, 2)) + 1.0
        return light / light.sum(axis=1, keepdims=True)

    return Teacher(tell, (16, 16), [2, 0, 1], digest="a teacher")


def make_trainer(
    recipe: Recipe,
    folder: Path,
    state: Path,
    *,
    observer: Observer = SILENT,
    replicas: Replicas = ONE,
    **options: Any,
) -> Trainer:
    """Make a trainer of a fresh network."""
    material = make_material(recipe, folder, **options)
    classifier = build_classifier(recipe.model, 3, recipe.data.image_size, seed=recipe.seed)
    return Trainer(recipe, classifier, material, state, observer=observer, replicas=replicas)


def score_now(trainer: Trainer) -> dict[str, float]:
    """Score a trainer's network as it is now on the validation images."""
    return trainer._score(trainer.validation_probabilities())


def weights_of(trainer: Trainer) -> list[np.ndarray]:
    """Return copies of a trainer's network weights."""
    return [np.array(value) for value in trainer.classifier.network.get_weights()]


class StopsAfter(Observer):
    """Stops the training as Ctrl-C would, in the middle of a later epoch."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.finished = 0

    def on_epoch_end(self, epoch: int, values: object, is_best: bool) -> None:
        self.finished += 1

    def on_step(self, epoch: int, step: int, images_per_second: float, loss: float) -> None:
        if self.finished == self.epochs and step == 2:
            raise KeyboardInterrupt


def comparable(records: list[EpochRecord]) -> list[tuple[object, ...]]:
    """Return what two trainings of the same bits record alike: all but the times."""
    return [(r.phase, r.epoch, r.learning_rate, dict(r.train), dict(r.validation)) for r in records]
