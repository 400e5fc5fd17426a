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
from tfclassify.data.places import make_absolute
from tfclassify.data.preparation import PreparedData
from tfclassify.errors import ModelError
from tfclassify.events import Observer
from tfclassify.judging.seen import find_seen
from tfclassify.recipe.schema import Recipe
from tfclassify.recipe.wording import join_names
from tfclassify.runs.directory import RunDirectory
from tfclassify.workflows.evaluate import find_run

if TYPE_CHECKING:
    from tfclassify.model.assembly import Classifier
    from tfclassify.pipeline.stream import TrainingSet
    from tfclassify.training.sources import Material
    from tfclassify.training.teacher import Teacher


def anchor_images(data: PreparedData) -> PreparedData:
    """Make the images' paths absolute, so that a run is usable from any working folder."""
    frame = data.index.frame
    paths = [make_absolute(path) for path in frame["path"]]
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
    from tfclassify.training.phases import freeze

    return [freeze(recipe, phase, classifier) for phase in recipe.phases]


def open_material(recipe: Recipe, index: Index, observer: Observer) -> Material:
    """Decode the training and validation images and pair them with their targets.

    Training images have the size of the first phase; a phase with another decodes them anew.
    """
    from tfclassify.pipeline.cache import open_images
    from tfclassify.training.class_weights import resolve_class_weights
    from tfclassify.training.sources import Material

    for warning in [*find_augmentation_warnings(recipe), *find_precision_warnings(recipe)]:
        observer.on_warning(warning)
    train, validation = index.in_split("train"), index.in_split("validation")
    training_set = open_training_set(recipe.as_in(recipe.phases[0]), train, observer)
    observer.on_note(training_set.images.describe())
    watched = None
    if len(validation):
        watched = open_images(validation.paths(), recipe.data, observer=observer)
    weights = resolve_class_weights(
        recipe.class_weights, training_set.targets, index.classes, recipe.task
    )
    teacher = open_teacher(recipe, index, observer)
    return Material(training_set, watched, validation.targets(), weights, teacher=teacher)


def open_teacher(recipe: Recipe, index: Index, observer: Observer) -> Teacher | None:
    """Load the model that a recipe names as teacher; None where it names none.

    Raises:
        TargetError: If there is no such model.
        ModelError: If it is of another task or of other classes.
    """
    if recipe.distil is None:
        return None
    from tfclassify.export.artefact import hash_model, open_bundle
    from tfclassify.inference.views import build_view_model
    from tfclassify.training.teacher import Teacher

    path = Path(recipe.distil.teacher)
    bundle = open_bundle(path)
    if bundle.recipe.task != recipe.task:
        raise ModelError(
            f"distil.teacher: {path} is of task {bundle.recipe.task!r}, the recipe of "
            f"{recipe.task!r}; name a run of the same task"
        )
    if set(bundle.classes) != set(index.classes):
        lacking = sorted(set(index.classes) - set(bundle.classes))
        more = sorted(set(bundle.classes) - set(index.classes))
        parts = [
            f"{what} {join_names(names)}"
            for what, names in (("does not know", lacking), ("also knows", more))
            if names
        ]
        raise ModelError(
            f"distil.teacher: {path} {' and '.join(parts)}; a teacher has the classes of the data, "
            "in any order: name a run on the same classes"
        )
    caution = _find_teacher_caution(path, index)
    if caution:
        observer.on_warning(caution)
    model = build_view_model(bundle.model, None)
    columns = [bundle.classes.index(name) for name in index.classes]
    return Teacher(model.probabilities, model.image_size, columns, hash_model(path), caution)


def _find_teacher_caution(path: Path, index: Index) -> str:
    """Say how many held-out images the teacher was trained on, by its run's index."""
    run = find_run(path)
    held_out = index.with_frame(index.frame[index.frame["split"].isin(["validation", "test"])])
    if run is None or not len(held_out):
        return ""
    own = PreparedData.load(run.index_path, run.integrity_path).index
    known = find_seen(run, own, held_out, None).trained
    if not known:
        return ""
    return (
        f"The teacher was trained on {known:,} of the {len(held_out):,} held-out images, so the "
        "score flatters its student."
    )


def find_augmentation_warnings(recipe: Recipe) -> list[str]:
    """Say what is to know of a recipe's augmentation; raise what rules it out."""
    from tfclassify.pipeline.augmentation import find_warnings

    return find_warnings(recipe.augment)


def find_precision_warnings(recipe: Recipe) -> list[str]:
    """Say where a lower precision costs time instead of saving it: without a GPU."""
    import tensorflow as tf

    precision = recipe.runtime.precision
    if precision == "float32" or tf.config.list_physical_devices("GPU"):
        return []
    return [
        f"runtime.precision: {precision} takes longer than float32 on a processor, and there is "
        "no GPU here; use float32"
    ]


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
