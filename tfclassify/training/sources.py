"""Where a phase's batches come from: the image stream, or cached features.

Owns: one interface over both, and the feature cache. Does not own: what an
augmented image looks like (``pipeline``), the step (``steps``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import keras
import numpy as np

from tfclassify.events import Observer
from tfclassify.model.assembly import Classifier
from tfclassify.model.folding import fold_all
from tfclassify.model.prediction import predict_store
from tfclassify.pipeline.augmentation import is_changing
from tfclassify.pipeline.cache import ImageStore, naming_broken_images
from tfclassify.pipeline.stream import (
    TrainingSet,
    epoch_order,
    training_stream,
)
from tfclassify.recipe.schema import DataRecipe, PhaseRecipe, Recipe
from tfclassify.scoring.tasks import get_task
from tfclassify.training.feature_store import FeatureRoom, FeatureStore
from tfclassify.training.quantising import Quantiser
from tfclassify.training.replicas import ONE, Replicas
from tfclassify.training.steps import ForwardPass
from tfclassify.training.teacher import Teacher

Batch = tuple[Any, Any, Any]


@dataclass(frozen=True)
class Material:
    """What a training learns from and is watched on.

    Attributes:
        train: Training images with their targets.
        validation: Validation images, or None in whole-dataset mode.
        validation_targets: Their one-hot or multi-hot labels, ``(n, classes)`` float32.
        class_weights: ``(classes,)`` float32, or None; see ``class_weights`` for what they
            weigh under each task.
        features: Where trainings on these very images share what a frozen backbone gave;
            None keeps it to one training.
        teacher: Where the recipe distils: whose answers stand behind the labels in the
            targets of every batch.
    """

    train: TrainingSet
    validation: ImageStore | None
    validation_targets: np.ndarray
    class_weights: np.ndarray | None
    features: FeatureStore | None = None
    teacher: Teacher | None = None

    def decoded_as(self, data: DataRecipe, observer: Observer) -> Material:
        """Return it with training images of another size; validation images keep theirs."""
        images = self.train.images.decoded_as(data, observer)
        if images is self.train.images:
            return self
        observer.on_note(images.describe())
        return replace(self, train=replace(self.train, images=images))


class BatchSource(Protocol):
    """Batches of a phase, epoch by epoch, and its validation pass."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch of the phase, from 1, in increasing epochs."""
        ...

    def rows(self, epoch: int) -> np.ndarray:
        """Return the row of each training image in the order of an epoch, ``(n,)``."""
        ...

    def replay(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of any epoch of the phase, whichever was asked for last."""
        ...

    def validation_probabilities(self) -> np.ndarray:
        """Return the present model's probabilities on validation, ``(n, classes)``."""
        ...


class StreamSource:
    """Batches of augmented images, straight from the stream."""

    def __init__(
        self,
        material: Material,
        recipe: Recipe,
        phase: PhaseRecipe,
        network: ForwardPass,
        first_address: int,
        quantiser: Quantiser | None = None,
        replicas: Replicas = ONE,
    ) -> None:
        self._quantiser, self._replicas = quantiser, replicas
        self._material, self._recipe, self._phase = material, recipe, phase
        self._network = network
        self._first_address = first_address
        self._iterator: Iterator[Batch] | None = None
        self._steps = count_steps(len(material.train.images), recipe.step_images)
        self._answers = self._ask_once()

    def _ask_once(self) -> np.ndarray | None:
        """Ask the teacher about each image once, where every epoch shows it the same."""
        teacher, phase = self._material.teacher, self._phase
        augment = self._recipe.augment
        if teacher is None or is_changing(augment, augmented=phase.augment, mixed=phase.mix):
            return None
        return predict_store(teacher.ask, self._material.train.images, self._recipe.step_images)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; the stream starts at the first one asked for."""
        if self._quantiser is not None:
            self._quantiser.measure()
        if self._iterator is None:
            several = self._replicas.workers > 1
            self._iterator = self._open(epoch, self._replicas.own_rows if several else None)
        yield from self._take_epoch(self._iterator, epoch)

    def rows(self, epoch: int) -> np.ndarray:
        """Return the row of each training image in the order of an epoch."""
        images = len(self._material.train.images)
        return epoch_order(images, self._recipe.seed, self._first_address + epoch - 1)

    def replay(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from a stream of its own."""
        yield from self._take_epoch(self._open(epoch), epoch)

    def _open(self, epoch: int, own_rows: Callable[[int], slice] | None = None) -> Iterator[Batch]:
        first, phase = self._first_address + epoch - 1, self._phase
        return iter(
            open_stream(self._material, self._recipe, phase, first_epoch=first, own_rows=own_rows)
        )

    def _take_epoch(self, stream: Iterator[Batch], epoch: int) -> Iterator[Batch]:
        size, rows = self._recipe.step_images, self.rows(epoch)
        for step in range(self._steps):
            with naming_broken_images(self._material.train.images):
                images, targets, weights = next(stream)
            if self._answers is not None:
                here = rows[step * size : (step + 1) * size]
                targets = np.concatenate([targets, self._answers[here]], axis=1)
            elif self._material.teacher is not None:
                targets = self._ask(self._material.teacher, images, targets)
            yield images, targets, weights

    def _ask(self, teacher: Teacher, images: Any, targets: Any) -> np.ndarray:
        """Lay the teacher's answers behind the labels; those of images that are here."""
        if len(images) == len(targets):
            return teacher.join(images, targets)
        answers = np.zeros(targets.shape, np.float32)
        answers[self._replicas.own_rows(len(targets))] = teacher.ask(images)
        return np.concatenate([np.asarray(targets), answers], axis=1)

    def validation_probabilities(self) -> np.ndarray:
        """Run the whole network over the validation images."""
        if self._quantiser is not None:
            self._quantiser.measure()
        images, recipe = self._material.validation, self._recipe
        assert images is not None  # nobody asks without any
        return get_task(recipe.task).activate(
            self._replicas.predict(self._network, images, recipe.step_images)
        )


class FeatureSource:
    """Batches of features that the frozen backbone gave once.

    Epoch e reads view ``(e - 1) % views``, made of the stream's own batches of the
    phase's first epochs. So the first ``views`` epochs, and all of them without
    augmentation, train on exactly what the stream would have given.

    ``judged`` is the extractor for validation images, which may be of another size.
    """

    def __init__(
        self,
        material: Material,
        recipe: Recipe,
        phase: PhaseRecipe,
        extractor: keras.Model,
        judged: keras.Model,
        head: ForwardPass,
        first_address: int,
        observer: Observer,
    ) -> None:
        self._recipe, self._first_address = recipe, first_address
        self._head = head
        features = phase.features
        assert features is not None
        self._views = min(features.views, phase.epochs)

        def compute(room: FeatureRoom) -> list[np.ndarray]:
            extract = ForwardPass(extractor, fold_all(extractor))
            views = self._extract_views(material, phase, extract, room, observer)
            arrays = [array for view in views for array in view]
            held_out = np.zeros((0, 1), np.float32)
            if material.validation is not None:
                watch = extract if judged is extractor else ForwardPass(judged, fold_all(judged))
                held_out = predict_store(
                    watch, material.validation, recipe.step_images, make_array=room.make_array
                )
            return [*arrays, held_out]

        room = FeatureRoom(recipe.data)
        if material.features is None:
            *arrays, self._validation = compute(room)
        else:
            facts = self._list_facts(phase, material)
            making = partial(compute, FeatureRoom(recipe.data))
            *arrays, self._validation = material.features.fetch(extractor, facts, making, room)
        if room.describe():
            observer.on_note(room.describe())
        views = [arrays[row : row + 3] for row in range(0, len(arrays), 3)]
        self._cached = [
            (features, targets, _weigh(weights, targets, material.class_weights, recipe))
            for features, targets, weights in views
        ]

    def _list_facts(self, phase: PhaseRecipe, material: Material) -> dict[str, Any]:
        """List what the features depend on, besides the images and the network."""
        recipe = self._recipe
        judged = None if material.validation is None else list(material.validation.image_size)
        return {
            "judged_size": judged,
            "data": recipe.data.model_dump(mode="json", exclude={"cache", "cache_gb"}),
            "model": recipe.model.model_dump(mode="json", exclude={"head"}),
            "pool": recipe.model.head.pool,
            "augment": recipe.augment.model_dump(mode="json") if phase.augment else None,
            "mix": phase.mix,
            "task": recipe.task,
            "batch_size": recipe.batch_size,
            "seed": recipe.seed,
            "first_address": self._first_address,
            "views": self._views,
            "teacher": None if material.teacher is None else material.teacher.digest,
            "runtime": recipe.runtime.model_dump(mode="json"),
        }

    def _extract_views(
        self,
        material: Material,
        phase: PhaseRecipe,
        extract: ForwardPass,
        room: FeatureRoom,
        observer: Observer,
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """Run the stream's own epochs through the backbone; give rows back in index order."""
        images, size = len(material.train.images), self._recipe.step_images
        steps = count_steps(images, size)
        plain = replace(material, class_weights=None)  # which come in behind the features
        stream = iter(open_stream(plain, self._recipe, phase, first_epoch=self._first_address))
        observer.on_task_start("features", self._views * steps)
        for view in range(self._views):
            order = epoch_order(images, self._recipe.seed, self._first_address + view)
            arrays: tuple[np.ndarray, ...] = ()
            waiting: list[Batch] = []
            for step in range(steps):
                with naming_broken_images(material.train.images):
                    pixels, targets, weights = next(stream)
                labels = targets
                if material.teacher is not None:
                    labels = material.teacher.join(pixels, targets.numpy())
                waiting.append((extract(pixels), labels, weights))
                if step:  # the batch before, while that one runs
                    arrays = _fill(arrays, waiting.pop(0), order, (step - 1) * size, room)
                observer.on_task_step("features", view * steps + step + 1)
            yield _fill(arrays, waiting.pop(0), order, (steps - 1) * size, room)
        observer.on_task_end("features")

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the epoch's view in the order that the stream would have."""
        features, targets, weights = self._cached[(epoch - 1) % self._views]
        order = self.rows(epoch)
        for start in range(0, len(order), self._recipe.step_images):
            rows = order[start : start + self._recipe.step_images]
            yield features[rows], targets[rows], weights[rows]

    def rows(self, epoch: int) -> np.ndarray:
        """Return the row of each training image in the order of an epoch."""
        images = len(self._cached[0][0])
        return epoch_order(images, self._recipe.seed, self._first_address + epoch - 1)

    def replay(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of an epoch."""
        yield from self.batches(epoch)

    def validation_probabilities(self) -> np.ndarray:
        """Run the head over the cached validation features."""
        size = self._recipe.step_images
        starts = range(0, len(self._validation), size)
        logits = [self._head(self._validation[start : start + size]) for start in starts]
        return get_task(self._recipe.task).activate(np.concatenate(logits))


def open_stream(
    material: Material,
    recipe: Recipe,
    phase: PhaseRecipe,
    *,
    first_epoch: int,
    own_rows: Callable[[int], slice] | None = None,
) -> Any:
    """Open a phase's stream of training batches at an epoch's address; see ``training_stream``.

    Class weights of label sets are the loss's (``losses``), not the images'.
    """
    is_by_image = get_task(recipe.task).weighs_images
    return training_stream(
        material.train,
        recipe.augment,
        batch_size=recipe.step_images,
        seed=recipe.seed,
        first_epoch=first_epoch,
        mix=phase.mix,
        augmented=phase.augment,
        class_weights=material.class_weights if is_by_image else None,
        own_rows=own_rows,
    )


def _weigh(
    weights: np.ndarray, targets: np.ndarray, class_weights: np.ndarray | None, recipe: Recipe
) -> np.ndarray:
    """Weigh images by their classes as the stream does: by the expectation under the label."""
    if class_weights is None or not get_task(recipe.task).weighs_images:
        return weights
    labels = targets[:, : len(class_weights)]  # a teacher's answers follow
    return weights * (labels * class_weights.astype(np.float32)).sum(axis=1)


def _fill(
    arrays: tuple[np.ndarray, ...], batch: Batch, order: np.ndarray, start: int, room: FeatureRoom
) -> tuple[np.ndarray, ...]:
    """Write a batch into the rows of its images; the first one makes the arrays."""
    parts = [np.asarray(part) for part in batch]
    if not arrays:
        arrays = tuple(room.make_array((len(order), *p.shape[1:]), p.dtype) for p in parts)
    for array, part in zip(arrays, parts, strict=True):
        array[order[start : start + len(part)]] = part
    return arrays


def count_steps(images: int, batch_size: int) -> int:
    """Return the steps of an epoch; the last batch may be smaller.

    >>> count_steps(33, 32)
    2
    """
    return -(-images // batch_size)


def split_at_pooling(classifier: Classifier) -> tuple[keras.Model, keras.Model]:
    """Cut the network behind the pooling layer: (image to pooled, pooled to logits).

    Pooled features are what is worth caching: averaged, they are smaller by the
    area of the feature map.
    """
    pooled = classifier.head.get_layer("pool").output
    pool = keras.Model(classifier.head.input, pooled)
    body = keras.Model(classifier.backbone.input, pool(classifier.backbone.output))
    return body, keras.Model(pooled, classifier.head.output)
