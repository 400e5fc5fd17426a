"""Covering parts of images, against models whose answer is known from the pixels."""

from __future__ import annotations

import numpy as np

from tfclassify.inference.occlusion import CELLS, OcclusionMaps


def ask_for_red(images: np.ndarray) -> np.ndarray:
    """Say by the mean of red how likely the first class is."""
    share = images[..., 0].mean(axis=(1, 2)) / 255
    return np.stack([share, 1 - share], axis=1)


def test_the_evidence_is_where_the_red_is() -> None:
    images = np.zeros((2, 32, 48, 3), np.float32)
    images[0, 4:12, 30:42, 0] = 255
    images[1, 20:28, 6:18, 0] = 255
    drawn = OcclusionMaps(ask_for_red, (32, 48))(images, [0, 0])
    assert drawn.shape == (2, 32, 48)
    for each, (rows, columns) in zip(
        drawn, [((4, 12), (30, 42)), ((20, 28), (6, 18))], strict=True
    ):
        positive = each.clip(min=0)
        row, column = np.unravel_index(each.argmax(), each.shape)
        assert rows[0] <= row < rows[1]
        assert columns[0] <= column < columns[1]
        near = positive[rows[0] - 4 : rows[1] + 4, columns[0] - 6 : columns[1] + 6]
        assert near.sum() > 0.75 * positive.sum()
    # What speaks for one class speaks against the other.
    against = OcclusionMaps(ask_for_red, (32, 48))(images, [1, 1])
    np.testing.assert_allclose(against, -drawn, atol=1e-4)


def test_a_sure_model_gives_a_finite_map_and_batches_do_not_matter() -> None:
    sizes: list[int] = []

    def ask(images: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        return np.tile([1.0, 0.0], (len(images), 1))

    drawn = OcclusionMaps(ask, (16, 4), batch_size=10)(np.zeros((1, 16, 4, 3)), [0])
    assert np.isfinite(drawn).all()
    assert sizes == [10] * 3 + [3]  # 8 x 4 windows, and the image itself
    assert CELLS == 8
