"""Batches for training and for prediction.

Owns: the order of images in an epoch, batching, sample weights, parallel reading. Does
not own: what happens to an image (``augmentation``), where pixels are kept (``cache``).

A stream is addressed: element ``k`` of epoch ``e`` is a function of (recipe, seed, e, k)
alone. Nothing else is remembered, so a stream that starts at a later epoch continues a
stream that was cut off, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfclassify.errors import DataError
from tfclassify.pipeline.augmentation import build_augmentation
from tfclassify.pipeline.cache import ImageStore
from tfclassify.pipeline.randomness import Slot, draw_order
from tfclassify.recipe.schema import AugmentRecipe

#: Epochs of a stream: more than anyone trains, and a fixed range has no state.
ENDLESS = 2**40


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

    @tf.autograph.experimental.do_not_convert
    def order_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = _draw_epoch_order(count, seed, epoch)
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        return batches.map(lambda positions: (epoch, positions))

    addresses = tf.data.Dataset.range(first_epoch, ENDLESS).flat_map(order_epoch)
    make_batch = _build_batch_maker(
        training_set, augment, seed=seed, mix=mix, augmented=augmented, class_weights=class_weights
    )
    return _map_ahead(addresses, make_batch, parallel_calls)


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
    positions = tf.data.Dataset.range(len(training_set.images)).batch(batch_size)
    addresses = positions.map(lambda batch: (tf.constant(view, tf.int64), batch))
    make_batch = _build_batch_maker(
        training_set, augment, seed=seed, mix=mix, augmented=augmented, class_weights=class_weights
    )
    return _map_ahead(addresses, make_batch, None)


def epoch_order(count: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """Return the order of an epoch: ``(count,)`` positions, as ``training_stream`` goes.

    Args:
        count: Images of the training set.
        seed: The recipe's seed.
        epoch: From 0.
    """
    order: npt.NDArray[np.int64] = _draw_epoch_order(count, seed, epoch).numpy()
    return order


def _draw_epoch_order(count: int, seed: int, epoch: Any) -> tf.Tensor:
    rows = tf.range(count, dtype=tf.int64)
    return tf.cast(draw_order(seed, epoch, rows, Slot.ORDER), tf.int64)


def _build_batch_maker(
    training_set: TrainingSet,
    augment: AugmentRecipe,
    *,
    seed: int,
    mix: bool,
    augmented: bool,
    class_weights: npt.NDArray[np.float32] | None,
) -> Any:
    """Build the function of (epoch, positions) that gives a batch."""
    images = training_set.images
    augment_batch = build_augmentation(
        augment, images.image_size, seed=seed, augmented=augmented, mixed=mix
    )
    # Captured once here; inside the function they would be copied into its graph.
    keys = tf.constant(training_set.keys, tf.int64)
    targets = tf.constant(training_set.targets, tf.float32)
    weights = tf.constant(training_set.weights, tf.float32)
    by_class = None if class_weights is None else tf.constant(class_weights, tf.float32)

    def make_batch(epoch: tf.Tensor, positions: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pixels, labels = augment_batch(
            _read(images, positions),
            tf.gather(targets, positions),
            tf.gather(keys, positions),
            epoch,
        )
        sample_weights = tf.gather(weights, positions)
        if by_class is not None:
            sample_weights *= tf.reduce_sum(labels * by_class[None, :], axis=1)
        return pixels, labels, sample_weights

    return make_batch


def _read(images: ImageStore, positions: tf.Tensor) -> tf.Tensor:
    pixels = tf.numpy_function(images.read, [positions], tf.uint8, stateful=False)
    return tf.ensure_shape(pixels, [None, *images.image_size, 3])


def _map_ahead(
    addresses: tf.data.Dataset, make_batch: Any, parallel_calls: int | None
) -> tf.data.Dataset:
    """Make batches in parallel and ahead of their use, in the order of their addresses."""
    calls = tf.data.AUTOTUNE if parallel_calls is None else parallel_calls
    # No Python branch here depends on a tensor, and the conversion takes seconds.
    make = tf.autograph.experimental.do_not_convert(make_batch)
    batches = addresses.map(make, num_parallel_calls=calls, deterministic=True)
    return batches.prefetch(tf.data.AUTOTUNE)
