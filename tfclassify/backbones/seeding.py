"""Makes the building of a network repeatable.

Owns: the seed behind initialisers and dropout that were given none of their own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded_construction(seed: int, part: str) -> Iterator[None]:
    """Build layers inside this block, and the same seed gives the same weights.

    ``part`` names what is built, so that a change of one part of a network leaves
    the weights of the others as they were.

    Keras draws the seed of every initialiser and dropout without one from
    Python's global generator when the layer is made. The networks of
    ``keras.applications`` offer no other way in. The generator goes on afterwards
    as if nothing had been drawn.
    """
    state = random.getstate()
    random.seed(f"{part}/{seed}")
    try:
        yield
    finally:
        random.setstate(state)
