"""What one hostile input is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        group: What was done to it, such as ``bit flips``.
        name: What tells it from the others of its group.
        content: The file's bytes.
        options: What else the reader of its kind needs.
    """

    group: str
    name: str
    content: bytes
    options: Mapping[str, Any] = field(default_factory=dict)


def flip_bits(content: bytes, seed: int, count: int) -> bytes:
    """Flip ``count`` bits at random places."""
    changed = bytearray(content)
    generator = np.random.default_rng(seed)
    for place in generator.integers(0, 8 * len(changed), count).tolist():
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def overwrite(content: bytes, seed: int, share: float) -> bytes:
    """Put noise over one stretch of the content."""
    generator = np.random.default_rng(seed)
    length = max(1, int(len(content) * share))
    start = int(generator.integers(0, max(1, len(content) - length)))
    return content[:start] + generator.bytes(length) + content[start + length :]
