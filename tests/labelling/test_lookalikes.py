"""Look-alikes against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from tfclassify.errors import RequestError
from tfclassify.labelling import lookalikes
from tfclassify.labelling.lookalikes import (
    check_features,
    find_alike,
    find_neighbours,
    order_by_cluster,
)


def make_features(size: int, width: int, seed: int = 0) -> np.ndarray:
    """Make rows around 10 centres, as a network's features are."""
    generator = np.random.default_rng(seed)
    centres = generator.normal(size=(10, width))
    rows = centres[generator.integers(10, size=size)] + generator.normal(size=(size, width))
    return np.maximum(rows, 0).astype(np.float32)


def find_by_brute_force(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    products = unit.astype(np.float64) @ unit.T
    np.fill_diagonal(products, -2)
    order = np.argsort(-products, axis=1)[:, :count]
    return order, np.take_along_axis(products, order, axis=1)


@pytest.mark.parametrize(("size", "count"), [(700, 5), (129, 5), (40, 39), (3, 9)])
def test_few_dimensions_are_exact(size: int, count: int) -> None:
    features = make_features(size, 24)
    found = find_neighbours(features, count)
    rows, similarities = find_by_brute_force(features, min(count, size - 1))
    assert found.recall == 1.0
    assert found.similarities == pytest.approx(similarities, abs=1e-5)
    # Equal products may come in another order.
    assert (found.rows == rows).mean() > 0.99


def test_many_dimensions_say_how_many_are_found() -> None:
    features = make_features(900, 160)
    found = find_neighbours(features, 10, dimensions=48)
    rows, _ = find_by_brute_force(features, 10)
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found.rows, rows, strict=True)])
    assert 0.5 < found.recall < 1.0
    assert found.recall == pytest.approx(share, abs=0.05)
    # What is found is ranked by all dimensions.
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    own = np.einsum("nkd,nd->nk", unit[found.rows], unit)
    assert found.similarities == pytest.approx(own, abs=1e-5)
    assert (np.diff(found.similarities, axis=1) <= 1e-6).all()


def test_a_row_is_not_its_own_neighbour_and_its_copy_is() -> None:
    features = make_features(200, 16)
    features[7] = 3 * features[100]  # of another length, of the same direction
    found = find_neighbours(features, 3)
    assert found.rows[7, 0] == 100
    assert found.similarities[7, 0] == pytest.approx(1.0, abs=1e-5)
    assert not (found.rows == np.arange(200)[:, None]).any()


def test_a_row_of_zeros_is_like_nothing() -> None:
    features = make_features(50, 8)
    features[4] = 0
    found = find_neighbours(features, 2)
    assert np.isfinite(found.similarities).all()
    assert found.similarities[4].tolist() == [0.0, 0.0]


def test_one_row_has_no_neighbours() -> None:
    assert find_neighbours(make_features(1, 4), 5).rows.shape == (1, 0)
    assert find_alike(make_features(1, 4), 0, 5) == []


def test_those_most_like_one() -> None:
    features = make_features(300, 32)
    rows, _ = find_by_brute_force(features, 6)
    assert find_alike(features, 17, 6) == rows[17].tolist()
    assert 17 not in find_alike(features, 17, 500)


def test_clusters_lie_side_by_side() -> None:
    features = make_features(600, 32)
    order, clusters = order_by_cluster(features, seed=1)
    assert sorted(order.tolist()) == list(range(600))
    assert (np.diff(clusters[order]) >= 0).all()  # one cluster after another
    assert len(set(clusters.tolist())) == 20
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    beside = np.einsum("nd,nd->n", unit[order[1:]], unit[order[:-1]]).mean()
    shuffled = np.random.default_rng(0).permutation(600)
    assert beside > np.einsum("nd,nd->n", unit[shuffled[1:]], unit[shuffled[:-1]]).mean() + 0.2
    again, _ = order_by_cluster(features, seed=1)
    assert again.tolist() == order.tolist()


def test_few_images_are_one_cluster() -> None:
    order, clusters = order_by_cluster(make_features(5, 8))
    assert order.tolist() == [0, 1, 2, 3, 4]
    assert clusters.tolist() == [0] * 5


def test_what_is_no_feature_is_refused() -> None:
    features = make_features(5, 4)
    features[2, 1] = np.nan
    with pytest.raises(RequestError, match=r"must be \(n, d\) finite numbers, got \(5, 4\) with"):
        check_features(features)
    with pytest.raises(RequestError, match=r"got \(5,\); compute"):
        find_neighbours(np.zeros(5), 1)
    with pytest.raises(RequestError, match="at least 1 must be wanted, got 0"):
        find_neighbours(make_features(5, 4), 0)


def test_strips_hold_the_nearest_wherever_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # All near ones in one strip, then each in a strip of its own.
    monkeypatch.setattr(lookalikes, "_STRIP", 4)
    for near in (range(0, 40, 10), range(4)):
        products = np.zeros((1, 40), np.float32)
        products[0, list(near)] = 1
        columns = lookalikes._list_candidates(products, 10, 4)
        assert set(near) <= set(columns[0].tolist())
