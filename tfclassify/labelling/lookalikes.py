"""Images that look alike, by the features of a network: neighbours, and an order of groups.

Owns: the nearest neighbours of every row, in blocks; how many of them a search in fewer
dimensions finds; clusters, and the order in which a grid shows them. Does not own: the
features (``features``).

Alike is the cosine: the product of two rows of length 1. Every row is compared with every
other. Choosing the nearest of so many products costs more than the products, so the columns
are dealt into strips: the best of each strip are found first, and only as many strips as
neighbours are wanted can hold one of them.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import RequestError

Floats = NDArray[np.float32]
#: Dimensions in which all rows are compared, where they have more.
DIMENSIONS = 128
#: Times as many candidates are taken there as neighbours are wanted; at least so many.
_CANDIDATES, _LEAST_CANDIDATES = 4, 32
#: Rows whose neighbours are compared with the exact ones, to say how many are found.
_SAMPLE = 200
#: Products held by one thread: 51 MB of 100,000 columns.
_BLOCK = 128
#: Columns in a strip.
_STRIP = 32
#: Sweeps after which the principal directions are taken.
_SWEEPS = 6
#: Images in a cluster, about; and clusters at most.
_CLUSTER, _MOST_CLUSTERS = 30, 300


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest others of every row.

    Attributes:
        rows: Their row numbers, the nearest first, ``(n, k)``.
        similarities: Their cosines, ``(n, k)``.
        recall: Share of the true nearest that are among them: 1 where the search was exact,
            else measured on a sample of rows.
    """

    rows: NDArray[np.int64]
    similarities: Floats
    recall: float


def find_neighbours(
    features: NDArray[np.floating[Any]], count: int, *, dimensions: int = DIMENSIONS, seed: int = 0
) -> Neighbours:
    """Find the nearest others of every row.

    Rows of more dimensions than ``dimensions`` are compared by their first principal ones;
    the nearest there, four times as many as wanted, are then ranked by all dimensions.

    Args:
        features: ``(n, d)``; a row of zeros is like nothing.
        count: How many of each, ``k``; fewer where there are no more rows.
        dimensions: In how many all rows are compared; at least ``d`` makes the search exact.
        seed: Of the sample that the recall is measured on.

    Raises:
        RequestError: If the features are no finite numbers, or none is wanted.
    """
    check_features(features)
    if count < 1:
        raise RequestError(f"neighbours: at least 1 must be wanted, got {count}")
    size, width = features.shape
    count = min(count, size - 1)
    if count < 1:
        return Neighbours(np.zeros((size, 0), np.int64), np.zeros((size, 0), np.float32), 1.0)
    scales = _find_scales(features)
    if width <= dimensions:
        rows, similarities = _search(features * scales[:, None], count)
        return Neighbours(rows, similarities, 1.0)
    wanted = min(max(_CANDIDATES * count, _LEAST_CANDIDATES), size - 1)
    candidates, _ = _search(project(features, scales, dimensions), wanted)
    rows, similarities = _rank(features, scales, candidates, count)
    return Neighbours(rows, similarities, _measure_recall(features, scales, similarities, seed))


def on_one_thread() -> AbstractContextManager[object]:
    """Let linear algebra use one thread: of many small steps, several mostly wait."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

    limits: AbstractContextManager[object] = threadpool_limits(1)
    return limits


def check_features(features: NDArray[np.floating[Any]]) -> None:
    """Refuse what is no table of finite numbers.

    Raises:
        RequestError: If it is not.
    """
    if features.ndim != 2 or not np.isfinite(features).all():
        raise RequestError(
            f"features: must be (n, d) finite numbers, got {features.shape}"
            f"{'' if features.ndim != 2 else ' with NaN or infinite ones'}; compute them again"
        )


def _find_scales(features: NDArray[np.floating[Any]]) -> Floats:
    """Return what each row is multiplied by to have the length 1, ``(n,)``; 0 for no length."""
    lengths = np.sqrt(np.einsum("nd,nd->n", features, features, dtype=np.float64))
    return np.divide(1.0, lengths, out=np.zeros(len(features)), where=lengths > 0).astype(
        np.float32
    )


def project(
    features: NDArray[np.floating[Any]], scales: Floats | None = None, dimensions: int = DIMENSIONS
) -> Floats:
    """Return rows of length 1 in the dimensions that keep most of their products, ``(n, p)``."""
    scales = _find_scales(features) if scales is None else scales
    square = np.zeros((features.shape[1], features.shape[1]))
    for start in range(0, len(features), 4096):
        part = features[start : start + 4096] * scales[start : start + 4096, None]
        square += part.T @ part
    directions = _find_directions(square, dimensions).astype(np.float32)
    return np.asarray((features @ directions) * scales[:, None], dtype=np.float32)


def _find_directions(square: NDArray[np.float64], dimensions: int) -> NDArray[np.float64]:
    """Find the principal directions of a symmetric matrix, ``(d, p)``, by subspace iteration.

    All eigenvectors would take longer than all else; a few sweeps find the space of the
    largest closely enough, and what is lost shows in the recall.
    """
    if len(square) <= dimensions:
        return np.eye(len(square))
    directions = np.random.default_rng(0).standard_normal((len(square), dimensions))
    with on_one_thread():  # small steps: threads would mostly wait for one another
        for _ in range(_SWEEPS):
            directions = np.linalg.qr(square @ directions)[0]
    return directions


def _search(unit: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Find the ``count`` largest products of each row with others, ``(n, count)`` both."""
    size = len(unit)
    strips = -(-size // _STRIP)
    padded = np.zeros((strips * _STRIP, unit.shape[1]), np.float32)
    padded[:size] = unit
    rows = np.empty((size, count), np.int64)
    similarities = np.empty((size, count), np.float32)

    def search_block(start: int) -> None:
        stop = min(start + _BLOCK, size)
        found = padded[start:stop] @ padded.T
        found[:, size:] = -2.0
        found[np.arange(stop - start), np.arange(start, stop)] = -2.0
        columns = _list_candidates(found, strips, count)
        values = np.take_along_axis(found, columns, axis=1)
        best = np.argpartition(values, -count, axis=1)[:, -count:]
        values = np.take_along_axis(values, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        columns = np.take_along_axis(columns, best, axis=1)
        rows[start:stop] = np.take_along_axis(columns, order, axis=1)
        similarities[start:stop] = np.take_along_axis(values, order, axis=1)

    # Each thread multiplies its own block: the choice of the nearest runs beside it.
    with on_one_thread(), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(search_block, range(0, size, _BLOCK)))
    return rows, similarities


def _list_candidates(found: Floats, strips: int, count: int) -> NDArray[np.int64]:
    """Return the columns of the strips that can hold the largest products of each row."""
    if strips <= count:
        return np.broadcast_to(np.arange(found.shape[1]), found.shape)
    # Strip t is the columns t, t + strips, t + 2 strips, …: their best are one sweep away.
    best = found.reshape(len(found), _STRIP, strips).max(axis=1)
    chosen = np.argpartition(best, -count, axis=1)[:, -count:]
    offsets = strips * np.arange(_STRIP)
    return np.asarray((chosen[:, :, None] + offsets).reshape(len(found), -1))


def _rank(
    features: NDArray[np.floating[Any]],
    scales: Floats,
    candidates: NDArray[np.int64],
    count: int,
) -> tuple[NDArray[np.int64], Floats]:
    """Keep the candidates that are the nearest by all dimensions."""
    rows = np.empty((len(features), count), np.int64)
    similarities = np.empty((len(features), count), np.float32)
    for start in range(0, len(features), _BLOCK):
        block = slice(start, start + _BLOCK)
        there = candidates[block]
        values = np.einsum("bkd,bd->bk", features[there], features[block])
        values = values * scales[there] * scales[block, None]
        order = np.argsort(-values, axis=1, kind="stable")[:, :count]
        rows[block] = np.take_along_axis(there, order, axis=1)
        similarities[block] = np.take_along_axis(values, order, axis=1)
    return rows, similarities


def _measure_recall(
    features: NDArray[np.floating[Any]], scales: Floats, similarities: Floats, seed: int
) -> float:
    """Compare some rows' neighbours with all others: the share that is no less alike."""
    size, count = similarities.shape
    sample = np.random.default_rng(seed).permutation(size)[:_SAMPLE]
    exact = (features[sample] * scales[sample, None]) @ features.T * scales
    exact[np.arange(len(sample)), sample] = -2.0
    limit = np.partition(exact, -count, axis=1)[:, -count]
    return float((similarities[sample] >= limit[:, None] - 1e-5).mean())


def find_alike(features: NDArray[np.floating[Any]], row: int, count: int) -> list[int]:
    """Return the rows most like one, the most alike first."""
    products = _find_scales(features) * (features @ features[row])
    products[row] = -np.inf
    count = min(count, len(features) - 1)
    if count < 1:
        return []
    best = np.argpartition(products, -count)[-count:]
    return [int(each) for each in best[np.argsort(-products[best], kind="stable")]]


def order_by_cluster(
    features: NDArray[np.floating[Any]], *, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Group rows that are alike, and order them so that a grid shows groups one after another.

    Args:
        features: ``(n, d)``.
        seed: Of where the clusters begin.

    Returns:
        All rows in order, ``(n,)``, and the cluster of each row, ``(n,)``: clusters are
        numbered as they come, each beside one that is like it, and in each the rows nearest
        its centre come first.
    """
    from sklearn.cluster import MiniBatchKMeans

    check_features(features)
    size = len(features)
    wanted = min(_MOST_CLUSTERS, max(1, size // _CLUSTER))
    if wanted < 2:
        return np.arange(size), np.zeros(size, np.int64)
    flat = project(features, dimensions=64)
    means = MiniBatchKMeans(wanted, random_state=seed, n_init=1, batch_size=4096).fit(flat)
    places = np.argsort(_chain(means.cluster_centers_))
    clusters = places[means.labels_].astype(np.int64)
    distance = np.linalg.norm(flat - means.cluster_centers_[means.labels_], axis=1)
    return np.lexsort((distance, clusters)), clusters


def _chain(centres: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Order points so that each is followed by the nearest one that is left."""
    order, left = [0], set(range(1, len(centres)))
    while left:
        others = sorted(left)
        distance = ((centres[others] - centres[order[-1]]) ** 2).sum(axis=1)
        order.append(others[int(distance.argmin())])
        left.remove(order[-1])
    return np.array(order)
