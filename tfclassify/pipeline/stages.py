"""Pixel work: a batch of images through a list of changes, one image at a time.

Owns: what a stage is, and running stages inside a TensorFlow graph. Does not own: any
single stage (``geometry``, ``colour``, ``erasing``).

What to do is drawn for a whole batch at once in TensorFlow; doing it is left to Pillow and
NumPy, image by image. One image stays in the processor's cache from stage to stage, where
a graph of batch operations would write and read the batch's memory in each, and Pillow's
resampling is about twice as fast as TensorFlow's (``benchmarks/bench_pipeline.py``). Both
release the interpreter lock, so the batches that tf.data makes in parallel do run in
parallel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

Pixels = npt.NDArray[np.uint8]

#: TensorFlow takes over memory that starts at such a multiple without copying it.
ALIGNMENT = 64


@dataclass(frozen=True)
class Stage:
    """One change of every image of a batch.

    Attributes:
        parameters: Tensors ``(b, ...)``: row ``k`` of each is what image ``k`` undergoes.
        apply: Takes an image ``(height, width, 3)`` uint8 and its row of each parameter,
            returns an image of the same kind; must not write to what it is given.
    """

    parameters: tuple[tf.Tensor, ...]
    apply: Callable[..., Pixels]


def run_stages(images: tf.Tensor, stages: Sequence[Stage]) -> tf.Tensor:
    """Put each image through all stages.

    Args:
        images: ``(b, height, width, 3)`` uint8.
        stages: In the order of their work; with none the images are returned as they are.

    Returns:
        ``(b, height, width, 3)`` uint8.
    """
    if not stages:
        return images
    applies = [stage.apply for stage in stages]
    counts = [len(stage.parameters) for stage in stages]

    def run(batch: Pixels, *rows: npt.NDArray[Any]) -> Pixels:
        changed = empty_aligned(batch.shape, np.uint8)
        for number, image in enumerate(batch):
            used = 0
            for apply, count in zip(applies, counts, strict=True):
                image = apply(image, *(row[number] for row in rows[used : used + count]))
                used += count
            changed[number] = image
        return changed

    parameters = [tensor for stage in stages for tensor in stage.parameters]
    changed = tf.numpy_function(run, [images, *parameters], tf.uint8, stateful=False)
    return tf.ensure_shape(changed, images.shape)


def empty_aligned(shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Make an array, not filled, that becomes a tensor without a copy."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)
