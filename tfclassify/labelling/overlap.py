"""Who labels which image, and which images two people label without seeing one another.

Owns: the deal, a pure function of names and a seed. Does not own: what has been answered.

Each labeller draws a number for each image, from the seed and the two names alone, and the
lowest draw has the image (Thaler and Ravishankar's rendezvous hashing, 1998). So another
labeller, or another image, moves nothing but what becomes theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tfclassify.errors import RequestError

#: Draws are whole numbers below this.
_DRAWS = 1 << 64


def deal_images(
    images: Sequence[str], labellers: Sequence[str], *, overlap: float, seed: int
) -> dict[str, NDArray[np.bool_]]:
    """Deal images to labellers, a share of them to two.

    Args:
        images: Stable names, ``n`` of them.
        labellers: Who labels; the order makes no difference.
        overlap: Chance of each image to have a second labeller, 0 to 1, so about this
            share of the images has one.
        seed: Decides the deal.

    Returns:
        For each labeller which images are theirs, ``(n,)``; with a single labeller all are.

    Raises:
        RequestError: If the share is none, a name comes twice, or nobody is there.
    """
    if not 0.0 <= overlap <= 1.0:
        raise RequestError(
            f"--overlap: must be from 0 to 1, the share of images with a second labeller, got "
            f"{overlap!r}"
        )
    if not labellers or len(set(labellers)) < len(labellers):
        raise RequestError(
            f"labellers: must be one or more different names, got {', '.join(labellers) or 'none'}"
        )
    names = sorted(labellers)
    draws = np.stack([_draw(images, seed, "labeller", name) for name in names])
    order = np.argsort(draws, axis=0, kind="stable")
    is_mine = np.zeros((len(names), len(images)), dtype=bool)
    columns = np.arange(len(images))
    is_mine[order[0], columns] = True
    if len(names) > 1:
        is_shared = mark_shared(images, overlap=overlap, seed=seed)
        is_mine[order[1][is_shared], columns[is_shared]] = True
    return dict(zip(names, is_mine, strict=True))


def mark_shared(images: Sequence[str], *, overlap: float, seed: int) -> NDArray[np.bool_]:
    """Say which images have a second labeller, ``(n,)``."""
    # As whole numbers: the nearest float to the highest draw is _DRAWS itself.
    limit = int(overlap * _DRAWS)
    draws = _draw(images, seed, "shared", "").tolist()
    return np.array([draw < limit for draw in draws], dtype=bool)


def _draw(images: Sequence[str], seed: int, purpose: str, name: str) -> NDArray[np.uint64]:
    """Draw one number an image, addressed by everything that is given, ``(n,)``."""
    # Lengths keep apart what would join to the same text.
    address = f"{seed} {purpose} {len(name)} {name} ".encode("utf-8", "surrogatepass")
    start = hashlib.blake2b(address, digest_size=8)
    draws = np.empty(len(images), dtype=np.uint64)
    for row, image in enumerate(images):
        digest = start.copy()
        digest.update(image.encode("utf-8", "surrogatepass"))
        draws[row] = int.from_bytes(digest.digest(), "big")
    return draws
