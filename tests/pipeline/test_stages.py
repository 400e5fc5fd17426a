from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfclassify.pipeline.stages import ALIGNMENT, Stage, empty_aligned, run_stages


def add(image: np.ndarray, number: np.ndarray) -> np.ndarray:
    return image + np.uint8(number)


def scale(image: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return image * np.uint8(factor) + np.uint8(offset)


@pytest.fixture
def images() -> tf.Tensor:
    return tf.constant(np.arange(3 * 4 * 5 * 3).reshape(3, 4, 5, 3) % 20, tf.uint8)


def test_stages_run_in_order_with_their_own_parameters(images: tf.Tensor):
    stages = [
        Stage((tf.constant([1, 2, 3]),), add),
        Stage((tf.constant([2, 3, 4]), tf.constant([5, 6, 7])), scale),
    ]
    changed = run_stages(images, stages).numpy()
    original = images.numpy()
    assert np.array_equal(changed[0], (original[0] + 1) * 2 + 5)
    assert np.array_equal(changed[1], (original[1] + 2) * 3 + 6)
    assert np.array_equal(changed[2], (original[2] + 3) * 4 + 7)


def test_no_stage_returns_the_images(images: tf.Tensor):
    assert run_stages(images, []) is images


def test_shape_is_known_inside_a_dataset(images: tf.Tensor):
    stage = Stage((tf.constant([1]),), add)
    dataset = tf.data.Dataset.from_tensors(images[:1]).map(lambda batch: run_stages(batch, [stage]))
    assert dataset.element_spec.shape == (1, 4, 5, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_memory_is_aligned(dtype: type):
    for _ in range(5):
        array = empty_aligned((3, 5, 7), dtype)
        assert array.shape == (3, 5, 7)
        assert array.dtype == dtype
        assert array.ctypes.data % ALIGNMENT == 0
        array[...] = 1
