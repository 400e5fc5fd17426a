"""What a recipe and an index become before anything is trained or drawn.

Owns: decoding an index's images and building the network for its classes.
Does not own: the order of a training (``train``), what is in the index (``data``).
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.events import Observer
from tfclassify.recipe.schema import Recipe

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.pipeline.stream import TrainingSet
    from tfclassify.training.sources import Material


def anchor_images(data: PreparedData) -> PreparedData:
    """Make the images' paths absolute, so that a run is usable from any working folder."""
    frame = data.index.frame
    paths = [str(Path(path).absolute()) for path in frame["path"]]
    return PreparedData(data.index.with_frame(frame.assign(path=paths)), data.integrity)


def build_network(recipe: Recipe, index: Index) -> Classifier:
    """Build the recipe's classifier for the index's classes."""
    from tfclassify.model.assembly import build_classifier

    # Keras shows a download on standard output, which belongs to results.
    with contextlib.redirect_stdout(sys.stderr):
        return build_classifier(
            recipe.model, len(index.classes), recipe.data.image_size, seed=recipe.seed
        )


def count_trainable(recipe: Recipe, classifier: Classifier) -> list[int]:
    """Count the parameters that each phase trains; the network is left as the last phase's."""
    from tfclassify.model.freezing import apply_freezing

    return [
        apply_freezing(classifier, phase.train, recipe.model.batch_norm).trainable_parameters
        for phase in recipe.phases
    ]


def open_material(recipe: Recipe, index: Index, observer: Observer) -> Material:
    """Decode the training and validation images and pair them with their targets."""
    from tfclassify.pipeline.cache import open_images
    from tfclassify.training.class_weights import resolve_class_weights
    from tfclassify.training.sources import Material

    for warning in find_augmentation_warnings(recipe):
        observer.on_warning(warning)
    train, validation = index.in_split("train"), index.in_split("validation")
    training_set = open_training_set(recipe, train, observer)
    observer.on_note(training_set.images.describe())
    watched = None
    if len(validation):
        watched = open_images(validation.paths(), recipe.data, observer=observer)
    weights = resolve_class_weights(
        recipe.class_weights, training_set.targets, index.classes, recipe.task
    )
    return Material(training_set, watched, validation.targets(), weights)


def find_augmentation_warnings(recipe: Recipe) -> list[str]:
    """Say what is to know of a recipe's augmentation; raise what rules it out."""
    from tfclassify.pipeline.augmentation import find_warnings

    return find_warnings(recipe.augment)


def open_training_set(recipe: Recipe, index: Index, observer: Observer) -> TrainingSet:
    """Decode the images of an index and pair them with their targets."""
    from tfclassify.pipeline.cache import open_images
    from tfclassify.pipeline.stream import TrainingSet

    return TrainingSet(
        images=open_images(index.paths(), recipe.data, observer=observer),
        keys=index.keys(),
        targets=index.targets(),
        weights=index.frame["weight"].to_numpy(dtype=np.float32),
    )
