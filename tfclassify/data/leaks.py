"""Finds images of one side of a split that are also, nearly, on the other.

Owns: fingerprints and the search for near-duplicates. Does not own: exact duplicates
(``scan``), the split itself (``splits``).

A fingerprint is the difference hash of N. Krawetz (2013), along rows and columns: one
bit for each pair of neighbouring pixels of a grey thumbnail, set where the brightness
rises. It survives resizing, recompression and slight changes of brightness.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfclassify.data.index import Index
from tfclassify.data.integrity import Finding

# The two limits were set on photos of plants and of clothes: they keep resized,
# recompressed and slightly moved shots of one scene, and tell apart different shirts
# photographed on one sheet, which come as near as 3 bits but not 6 levels.
#: Bits of 144 that may differ between near-duplicates.
MAX_DISTANCE = 14
#: Mean difference of the thumbnails' colours, 0 to 255, that near-duplicates may have.
MAX_COLOUR_DIFFERENCE = 5.0
#: Standard deviation of a thumbnail's grey, 0 to 255, below which its bits are noise.
MIN_CONTRAST = 4.0
_BLOCK = 1 << 17  # pairs compared at a time: 1 MiB stays in a processor's cache
_WORDS = 3


def make_fingerprints(thumbnails: np.ndarray) -> np.ndarray:
    """Hash thumbnails so that similar images differ in few bits.

    Args:
        thumbnails: uint8 RGB, ``(n, side, side, 3)`` with a side of 9.

    Returns:
        uint64, ``(n, 3)``: 144 bits and 48 zeros.
    """
    grey = thumbnails.astype(np.int32) @ np.array([299, 587, 114])
    along_rows = grey[:, :, 1:] > grey[:, :, :-1]
    along_columns = grey[:, 1:, :] > grey[:, :-1, :]
    bits = np.concatenate(
        [along_rows.reshape(len(grey), -1), along_columns.reshape(len(grey), -1)], axis=1
    )
    packed = np.zeros((len(grey), 8 * _WORDS), dtype=np.uint8)
    packed[:, : -(-bits.shape[1] // 8)] = np.packbits(bits, axis=1)
    return packed.view(np.uint64)


def find_near_pairs(
    left: np.ndarray, right: np.ndarray, max_distance: int = MAX_DISTANCE
) -> Iterator[np.ndarray]:
    """Find every pair of fingerprints that differ in few bits.

    Compares all pairs in blocks, most of them by one word of three.

    Args:
        left: uint64, ``(n, 3)``.
        right: uint64, ``(m, 3)``.
        max_distance: Bits that may differ.

    Yields:
        int64, ``(pairs, 3)``: position in ``left``, in ``right``, and the distance;
        ordered by the first two, all pairs of one ``left`` in one piece.
    """
    step = max(1, _BLOCK // max(1, len(right)))
    first_words = np.ascontiguousarray(right[:, 0])
    for start in range(0, len(left), step):
        block = left[start : start + step]
        near = np.bitwise_count(block[:, :1] ^ first_words[None, :]) <= max_distance
        rows, columns = np.nonzero(near)
        distance = np.bitwise_count(block[rows] ^ right[columns]).sum(axis=1, dtype=np.int64)
        keep = distance <= max_distance
        if keep.any():
            yield np.stack([rows + start, columns, distance], axis=1)[keep]


def find_near_duplicates(index: Index, thumbnails: np.ndarray) -> list[Finding]:
    """Find held-out images that nearly equal a training image.

    Exact duplicates are left out, as are images with next to no contrast, whose
    fingerprints are noise.

    Args:
        index: Split images.
        thumbnails: uint8 RGB, ``(n, 9, 9, 3)``, in row order.

    Returns:
        One finding for each such held-out image, naming its nearest training image.
    """
    frame = index.frame
    contrast = thumbnails.mean(axis=3).std(axis=(1, 2))
    is_usable = (frame["status"] == "ok").to_numpy() & (contrast >= MIN_CONTRAST)
    splits = frame["split"].to_numpy(dtype=object)
    train = np.flatnonzero(is_usable & (splits == "train"))
    held_out = np.flatnonzero(is_usable & ~np.isin(splits, ["train", ""]))
    prints = make_fingerprints(thumbnails)
    images, digests, labels = (frame[name].tolist() for name in ("image", "sha256", "label"))
    findings = []
    for pairs in find_near_pairs(prints[held_out], prints[train]):
        lefts, rights = held_out[pairs[:, 0]], train[pairs[:, 1]]
        for left, right, distance in _keep_nearest(lefts, rights, pairs[:, 2], thumbnails):
            if digests[left] == digests[right]:
                continue
            detail = f"in {splits[left]}; {images[right]} in training differs in {distance} of "
            detail += "144 bits"
            if labels[left] != labels[right]:
                detail += f", labels {labels[left]!r} and {labels[right]!r}"
            findings.append(Finding(images[left], "near_duplicate", detail))
    return findings


def find_near_matches(images: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Say which images nearly equal one of others; equal ones are among them.

    Args:
        images: Thumbnails, uint8 RGB, ``(n, 9, 9, 3)``; of next to no contrast, they match
            nothing.
        known: Those of the others, ``(m, 9, 9, 3)``.

    Returns:
        bool ``(n,)``.
    """
    both = np.concatenate([images, known])
    is_telling = both.mean(axis=3).std(axis=(1, 2)) >= MIN_CONTRAST
    lefts = np.flatnonzero(is_telling[: len(images)])
    rights = np.flatnonzero(is_telling[len(images) :]) + len(images)
    is_near = np.zeros(len(images), dtype=bool)
    prints = make_fingerprints(both)
    for pairs in find_near_pairs(prints[lefts], prints[rights]):
        found = _keep_nearest(lefts[pairs[:, 0]], rights[pairs[:, 1]], pairs[:, 2], both)
        is_near[[left for left, _, _ in found]] = True
    return is_near


def find_near_groups(thumbnails: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Find every two images that nearly equal one another; equal ones are among them.

    Args:
        thumbnails: uint8 RGB, ``(n, 9, 9, 3)``; those of next to no contrast match nothing.

    Yields:
        Positions of both, the lower one first, and the bits in which they differ.
    """
    usable = np.flatnonzero(thumbnails.mean(axis=3).std(axis=(1, 2)) >= MIN_CONTRAST)
    if not len(usable):
        return
    prints = make_fingerprints(thumbnails[usable])
    for pairs in find_near_pairs(prints, prints):
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        lefts, rights = usable[pairs[:, 0]], usable[pairs[:, 1]]
        is_near = find_colour_differences(lefts, rights, thumbnails) <= MAX_COLOUR_DIFFERENCE
        yield from zip(
            lefts[is_near].tolist(),
            rights[is_near].tolist(),
            pairs[is_near, 2].tolist(),
            strict=True,
        )


def find_colour_differences(
    lefts: np.ndarray, rights: np.ndarray, thumbnails: np.ndarray
) -> np.ndarray:
    """Return the mean difference of two thumbnails' colours, pair by pair, ``(pairs,)``."""
    if not len(lefts):
        return np.zeros(0)
    parts = -(-len(lefts) // 4096)
    return np.concatenate(
        [
            np.abs(thumbnails[one].astype(np.int16) - thumbnails[other]).mean(axis=(1, 2, 3))
            for one, other in zip(
                np.array_split(lefts, parts), np.array_split(rights, parts), strict=True
            )
        ]
    )


def _keep_nearest(
    lefts: np.ndarray, rights: np.ndarray, distances: np.ndarray, thumbnails: np.ndarray
) -> list[tuple[int, int, int]]:
    """Drop pairs of other colours, and keep the nearest ``right`` of each ``left``."""
    differences = find_colour_differences(lefts, rights, thumbnails)
    is_near = differences <= MAX_COLOUR_DIFFERENCE
    best: dict[int, tuple[int, float, int]] = {}
    for left, right, distance, difference in zip(
        lefts[is_near].tolist(),
        rights[is_near].tolist(),
        distances[is_near].tolist(),
        differences[is_near].tolist(),
        strict=True,
    ):
        best[left] = min(best.get(left, (999, 0.0, -1)), (distance, difference, right))
    return [(left, right, distance) for left, (distance, _, right) in best.items()]


def find_shared_groups(index: Index) -> list[Finding]:
    """Find groups that the source's own split puts on both sides.

    Returns:
        One finding for each held-out image whose group is also trained on.
    """
    usable = index.usable().frame
    grouped = usable[usable["group"] != ""]
    trained = set(grouped["group"][grouped["split"] == "train"])
    shared = grouped[(grouped["split"] != "train") & grouped["group"].isin(trained)]
    return [
        Finding(image, "shared_group", f"in {split}; group {group!r} is also trained on")
        for image, split, group in zip(
            shared["image"], shared["split"], shared["group"], strict=True
        )
    ]
