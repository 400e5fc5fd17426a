"""Tells which block of a network a layer belongs to, by its name.

Owns: the use of the catalog's rules on any network. Imports no TensorFlow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfclassify.backbones.catalog import BACKBONES, BlockRule


def name_blocks(names: Sequence[str]) -> list[str]:
    """Return the block of each layer of one container, given in order.

    The catalog's rule that splits the names into the most blocks is taken; a name that
    it does not match stands with the layer before. Layers before the first block have
    the block ``stem`` where there is any block at all, else the empty name.
    """
    rules = dict.fromkeys(spec.blocks for spec in BACKBONES.values())
    splits = [_split(names, rule) for rule in rules]
    best = max(splits, key=lambda blocks: len(set(blocks)))
    return best if len(set(best)) > 2 else [""] * len(names)


def _split(names: Sequence[str], rule: BlockRule) -> list[str]:
    found = [re.search(rule.pattern, name) for name in names]
    marks = [match.group(1) if match else None for match in found]
    if not any(marks):
        return [""] * len(names)
    if rule.marks_end:
        return _name_by_ends(marks)
    blocks, current = [], "stem"
    last = max(place for place, mark in enumerate(marks) if mark)
    for place, mark in enumerate(marks):
        current = mark or (current if place < last else "top")
        blocks.append(current)
    return blocks


def _name_by_ends(marks: Sequence[str | None]) -> list[str]:
    """Name blocks of which only the last layer is marked."""
    blocks: list[str] = []
    current = "top"
    for mark in reversed(marks):
        current = mark or current
        blocks.append(current)
    return blocks[::-1]
