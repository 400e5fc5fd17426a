"""Batches for training and for prediction.

Owns: the order of images in an epoch, batching, sample weights, parallel reading. Does
not own: what happens to an image (``augmentation``), where pixels are kept (``cache``).

A stream is addressed: element ``k`` of epoch ``e`` is a function of (recipe, seed, e, k)
alone. Nothing else is remembered, so a stream that starts at a later epoch continues a
stream that was cut off, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfclassify.augmentations.randomness import Draws
from tfclassify.errors import DataError
from tfclassify.pipeline.augmentation import build_augmentation, is_changing
from tfclassify.pipeline.cache import ImageStore
from tfclassify.recipe.schema import AugmentRecipe

#: Batches of a stream: more than anyone trains, and a fixed range has no state.
ENDLESS = 2**62


@dataclass(frozen=True)
class TrainingSet:
    """Images with what training needs to know of each.

    Attributes:
        images: The decoded images, ``n`` of them.
        keys: ``(n,)`` int64, addresses for randomness (``Index.keys``).
        targets: ``(n, classes)`` float32, rows that sum to 1.
        weights: ``(n,)`` float32, the images' own weights.
    """

    images: ImageStore
    keys: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        counts = [len(self.images), len(self.keys), len(self.targets), len(self.weights)]
        if len(set(counts)) != 1:
            raise DataError(
                "training set: images, keys, targets and weights must be equally many, got "
                + ", ".join(map(str, counts))
            )


def training_stream(
    training_set: TrainingSet,
    augment: AugmentRecipe,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    mix: bool = True,
    augmented: bool = True,
    class_weights: npt.NDArray[np.float32] | None = None,
    parallel_calls: int | None = None,
    own_rows: Callable[[int], slice] | None = None,
) -> tf.data.Dataset:
    """Stream epoch after epoch of shuffled, augmented batches, without end.

    An epoch has ``ceil(n / batch_size)`` batches, the last one smaller where it does not
    come out even.

    Args:
        training_set: Images, keys, targets and weights.
        augment: The recipe's augmentation.
        batch_size: Images a batch.
        seed: The recipe's seed.
        first_epoch: Epoch that the stream starts with, from 0.
        mix: Whether CutMix and MixUp are on.
        augmented: Whether every other augmentation is on.
        class_weights: ``(classes,)`` float32; a sample weighs its image's weight times
            the expectation of these under its target after mixing.
        parallel_calls: Batches made at a time; None leaves it to tf.data. The stream is
            the same bits for any number.
        own_rows: From the images of a batch to the rows whose images are wanted, where other
            processes make the others; None for all of them.

    Returns:
        Elements of images ``(b, height, width, 3)`` float32 in 0..255, targets
        ``(b, classes)`` float32, weights ``(b,)`` float32.

    Raises:
        DataError: If there are no images.
        MissingExtraError: If the augmentation's engine is not installed.
    """
    count = len(training_set.images)
    if count == 0:
        raise DataError("training stream: there are no images to train on; got 0")

    batches = -(-count // batch_size)

    @lru_cache(maxsize=4)
    def order_of(epoch: int) -> npt.NDArray[np.int64]:
        return epoch_order(count, seed, epoch)

    def locate(number: int) -> tuple[int, npt.NDArray[np.int64]]:
        epoch, batch = divmod(number, batches)
        return epoch, order_of(epoch)[batch * batch_size : (batch + 1) * batch_size]

    numbers = tf.data.Dataset.range(first_epoch * batches, ENDLESS)
    make_batch = _build_batch_maker(
        training_set,
        augment,
        locate,
        seed=seed,
        mix=mix,
        augmented=augmented,
        class_weights=class_weights,
        own_rows=own_rows,
    )
    return _map_ahead(numbers, make_batch, parallel_calls)


def view_batches(
    training_set: TrainingSet,
    augment: AugmentRecipe,
    *,
    view: int,
    batch_size: int,
    seed: int,
    mix: bool = True,
    augmented: bool = True,
    class_weights: npt.NDArray[np.float32] | None = None,
) -> tf.data.Dataset:
    """Stream each image once in row order, as epoch ``view`` of training shows it.

    Mixed images take their partners from their own batch, which here is made of
    neighbouring rows, often of one class. What learns from mixed images wants
    ``training_stream``, whose order ``epoch_order`` gives.

    Args:
        training_set: Images, keys, targets and weights.
        augment: The recipe's augmentation.
        view: The epoch, from 0.
        batch_size: Images a batch.
        seed: The recipe's seed.
        mix: Whether CutMix and MixUp are on.
        augmented: Whether every other augmentation is on.
        class_weights: As in ``training_stream``.

    Returns:
        Elements as those of ``training_stream``.
    """
    count = len(training_set.images)

    def locate(number: int) -> tuple[int, npt.NDArray[np.int64]]:
        return view, np.arange(number * batch_size, min((number + 1) * batch_size, count))

    make_batch = _build_batch_maker(
        training_set,
        augment,
        locate,
        seed=seed,
        mix=mix,
        augmented=augmented,
        class_weights=class_weights,
    )
    return _map_ahead(tf.data.Dataset.range(-(-count // batch_size)), make_batch, None)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of an epoch: ``(count,)`` positions, as ``training_stream`` goes.

    Args:
        count: Images of the training set.
        seed: The recipe's seed.
        epoch: From 0.
    """
    return Draws(seed, epoch, np.arange(count)).order("order")


def _build_batch_maker(
    training_set: TrainingSet,
    augment: AugmentRecipe,
    locate: Callable[[int], tuple[int, npt.NDArray[np.int64]]],
    *,
    seed: int,
    mix: bool,
    augmented: bool,
    class_weights: npt.NDArray[np.float32] | None,
    own_rows: Callable[[int], slice] | None = None,
) -> Any:
    """Build the function that gives a batch by its number; ``locate`` gives its address."""
    images = training_set.images
    augmentation = build_augmentation(
        augment, images.image_size, seed=seed, augmented=augmented, mixed=mix
    )
    classes = training_set.targets.shape[1]
    is_mixed = is_changing(augment, augmented=False, mixed=mix)
    by_class = None if class_weights is None else tf.constant(class_weights, tf.float32)

    def make(number: np.int64) -> tuple[npt.NDArray[np.float32], ...]:
        epoch, positions = locate(int(number))
        weights = training_set.weights[positions]
        own = slice(0, len(positions)) if own_rows is None else own_rows(len(positions))
        made = positions if is_mixed else positions[own]  # partners are of the whole batch
        pixels, labels = augmentation.change(
            images.read(made), training_set.targets[made], training_set.keys[made], epoch
        )
        if own_rows is None:
            return pixels, labels, weights
        if is_mixed:
            return pixels[own], labels, weights
        return pixels, training_set.targets[positions], weights

    def make_batch(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        kinds = [tf.float32] * 3
        pixels, labels, weights = tf.numpy_function(make, [number], kinds, stateful=False)
        pixels = tf.ensure_shape(pixels, [None, *images.image_size, 3])
        labels, weights = tf.ensure_shape(labels, [None, classes]), tf.ensure_shape(weights, [None])
        if augmentation.layers is not None:
            pixels, labels = augmentation.layers(pixels, labels)
        if by_class is not None:
            weights *= tf.reduce_sum(labels * by_class[None, :], axis=1)
        return pixels, labels, weights

    return make_batch


def _map_ahead(
    addresses: tf.data.Dataset, make_batch: Any, parallel_calls: int | None
) -> tf.data.Dataset:
    """Make batches in parallel and ahead of their use, in the order of their addresses."""
    calls = tf.data.AUTOTUNE if parallel_calls is None else parallel_calls
    # No Python branch here depends on a tensor, and the conversion takes seconds.
    make = tf.autograph.experimental.do_not_convert(make_batch)
    batches = addresses.map(make, num_parallel_calls=calls, deterministic=True)
    return copy_ahead(batches)


def copy_ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Have the next batches ready: in the memory of the one GPU, where there is one."""
    devices = tf.config.list_logical_devices("GPU")
    if len(devices) == 1:
        return batches.apply(tf.data.experimental.prefetch_to_device(devices[0].name, 2))
    return batches.prefetch(tf.data.AUTOTUNE)
