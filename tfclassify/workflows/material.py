"""What a recipe and an index become before anything is trained or drawn.

Owns: decoding an index's images and building the network for its classes.
Does not own: the order of a training (``train``), what is in the index (``data``).
"""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import ModelError
from tfclassify.events import Observer
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import join_names
from tfclassify.runs.directory import RunDirectory

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.pipeline.stream import TrainingSet
    from tfclassify.training.sources import Material


def anchor_images(data: PreparedData) -> PreparedData:
    """Make the images' paths absolute, so that a run is usable from any working folder."""
    frame = data.index.frame
    paths = [str(Path(path).absolute()) for path in frame["path"]]
    return replace(data, index=data.index.with_frame(frame.assign(path=paths)))


def build_network(recipe: Recipe, index: Index) -> Classifier:
    """Build the recipe's classifier for the index's classes."""
    from tfclassify.model.assembly import build_classifier

    # Keras shows a download on standard output, which belongs to results.
    with contextlib.redirect_stdout(sys.stderr):
        classifier = build_classifier(
            recipe.model, len(index.classes), recipe.data.image_size, seed=recipe.seed
        )
    if recipe.model.start_from:
        _take_weights(classifier, Path(recipe.model.start_from), index)
    return classifier


def _take_weights(classifier: Classifier, start: Path, index: Index) -> None:
    """Give a network the weights of a run's or a bundle's.

    Raises:
        TargetError: If there is no such run.
        ModelError: If it is of another network or of other classes.
    """
    from tfclassify.model.bundle import load_bundle

    is_bundle = (start / "bundle.json").is_file()
    folder = start if is_bundle else RunDirectory.open(start, needs_bundle=True).bundle_dir
    bundle = load_bundle(folder)
    if bundle.classes != tuple(index.classes):
        raise ModelError(
            f"model.start_from: {start} has the classes {join_names(bundle.classes)}, the data "
            f"{join_names(index.classes)}; name a run on the same classes"
        )
    own, given = classifier.network.weights, bundle.model.weights
    if [tuple(each.shape) for each in own] != [tuple(each.shape) for each in given]:
        raise ModelError(
            f"model.start_from: {start} is of another network, with {len(given)} arrays of weights "
            f"against {len(own)} or of other shapes; name a run with the same section model"
        )
    for variable, value in zip(own, given, strict=True):
        variable.assign(value)


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
